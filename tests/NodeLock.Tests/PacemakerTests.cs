using Xunit;

namespace NodeLock.Tests;

/// <summary>The thread and the timer that a conductor runs on.</summary>
public sealed class PacemakerTests
{
    public static TheoryData<HeartbeatPace> Paces => [HeartbeatPace.OwnThread, HeartbeatPace.Timer];

    [Theory]
    [MemberData(nameof(Paces))]
    public async Task A_step_runs_again_when_it_asked_for_it(HeartbeatPace pace)
    {
        int steps = 0;
        Pacemaker pacemaker = Pacemaker.Create("test", () =>
        {
            Interlocked.Increment(ref steps);
            return TimeSpan.FromMilliseconds(1);
        }, () => { }, pace, TimeProvider.System);

        pacemaker.Start();

        await Eventually.TrueAsync(() => Volatile.Read(ref steps) >= 5, "five steps");
        await pacemaker.StopAsync().WithinLimit();
    }

    [Theory]
    [MemberData(nameof(Paces))]
    public async Task A_wake_runs_the_step_at_once(HeartbeatPace pace)
    {
        int steps = 0;
        Pacemaker pacemaker = Pacemaker.Create("test", () =>
        {
            Interlocked.Increment(ref steps);
            return Timeout.InfiniteTimeSpan;
        }, () => { }, pace, TimeProvider.System);
        pacemaker.Start();
        await Eventually.TrueAsync(() => Volatile.Read(ref steps) == 1, "the first step");

        pacemaker.Wake();

        await Eventually.TrueAsync(() => Volatile.Read(ref steps) == 2, "the second step");
        await pacemaker.StopAsync().WithinLimit();
    }

    [Theory]
    [MemberData(nameof(Paces))]
    public async Task The_last_step_runs_once_and_nothing_after_it(HeartbeatPace pace)
    {
        int steps = 0;
        int last = 0;
        Pacemaker pacemaker = Pacemaker.Create("test", () =>
        {
            Assert.Equal(0, last);
            Interlocked.Increment(ref steps);
            return TimeSpan.FromMilliseconds(1);
        }, () => last++, pace, TimeProvider.System);
        pacemaker.Start();
        await Eventually.TrueAsync(() => Volatile.Read(ref steps) >= 3, "three steps");

        await pacemaker.StopAsync().WithinLimit();
        await pacemaker.StopAsync().WithinLimit();
        int before = steps;
        pacemaker.Wake();
        pacemaker.Start();

        Assert.Equal(1, last);
        Assert.Equal(before, steps);
    }

    [Theory]
    [MemberData(nameof(Paces))]
    public async Task Steps_do_not_run_two_at_a_time(HeartbeatPace pace)
    {
        int running = 0;
        int most = 0;
        int steps = 0;
        Pacemaker pacemaker = Pacemaker.Create("test", () =>
        {
            most = Math.Max(most, Interlocked.Increment(ref running));
            Thread.SpinWait(1000);
            Interlocked.Decrement(ref running);
            Interlocked.Increment(ref steps);
            return TimeSpan.Zero;
        }, () => { }, pace, TimeProvider.System);
        pacemaker.Start();

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
        {
            for (int i = 0; i < 100; i++) pacemaker.Wake();
        }))).WithinLimit();
        await Eventually.TrueAsync(() => Volatile.Read(ref steps) >= 10, "ten steps");

        await pacemaker.StopAsync().WithinLimit();
        Assert.Equal(1, most);
    }

    [Theory]
    [MemberData(nameof(Paces))]
    public async Task What_flows_with_the_first_caller_is_none_of_the_pacemakers(HeartbeatPace pace)
    {
        AsyncLocal<string?> ambient = new();
        ManualTime time = new();
        List<string?> seen = [];
        int steps = 0;
        Pacemaker pacemaker = Pacemaker.Create("test", () =>
        {
            // The first step of a timer's runs in the caller, so that a test sees what it did.
            if (pace == HeartbeatPace.OwnThread || steps > 0) seen.Add(ambient.Value);
            Interlocked.Increment(ref steps);
            return TimeSpan.FromMilliseconds(1);
        }, () => { }, pace, pace == HeartbeatPace.Timer ? TimeProvider.System : time);
        ambient.Value = "a transaction";
        pacemaker.Start();

        await Eventually.TrueAsync(() => Volatile.Read(ref steps) >= 3, "three steps");
        await pacemaker.StopAsync().WithinLimit();

        Assert.All(seen, Assert.Null);
        Assert.NotEmpty(seen);
    }

    [Fact]
    public async Task A_thread_that_was_never_started_has_ended()
    {
        int last = 0;
        Pacemaker pacemaker = Pacemaker.Create("test", () => TimeSpan.Zero, () => last++, HeartbeatPace.OwnThread,
            TimeProvider.System);

        await pacemaker.StopAsync().WithinLimit();

        Assert.Equal(0, last);
    }

    [Fact]
    public async Task A_conductor_on_threads_of_its_own_keeps_its_node_past_its_lease()
    {
        int renewals = 0;
        StoreWithFaults way = new(new InMemoryNodeLockRepository())
        {
            Pace = HeartbeatPace.OwnThread,
            OnRenew = renew =>
            {
                Interlocked.Increment(ref renewals);
                return renew();
            },
        };
        LogLines log = new();
        await using TaskManager manager = new(way, new NodeLockOptions
        {
            LeaseDuration = TimeSpan.FromSeconds(30),
            HeartbeatInterval = TimeSpan.FromMilliseconds(100),
        }, loggerFactory: log);
        await using TaskScope task = await manager.AcquireAsync(1, "test");

        await Eventually.TrueAsync(() => Volatile.Read(ref renewals) >= 5, "five renewals");

        task.EnsureHeld();
        Assert.Empty(log.With(4));
    }

    [Fact]
    public async Task A_thread_that_hangs_in_a_renewal_keeps_no_scope_from_being_lost()
    {
        using ManualResetEventSlim goOn = new();
        bool hang = false;
        StoreWithFaults way = new(new InMemoryNodeLockRepository())
        {
            Pace = HeartbeatPace.OwnThread,
            BeforeStatement = _ =>
            {
                if (Volatile.Read(ref hang)) goOn.Wait(Eventually.Limit);
            },
        };
        await using TaskManager manager = new(way, new NodeLockOptions
        {
            LeaseDuration = TimeSpan.FromMilliseconds(1500),
            HeartbeatInterval = TimeSpan.FromMilliseconds(100),
            ReleaseTimeout = TimeSpan.FromMilliseconds(100),
        });
        TaskScope task = await manager.AcquireAsync(1, "test");
        Volatile.Write(ref hang, true);

        await Eventually.TrueAsync(() => task.Lost.IsCancellationRequested, "Lost fires");

        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        goOn.Set();
        await task.DisposeAsync();
    }
}
