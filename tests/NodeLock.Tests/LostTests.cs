using Xunit;

namespace NodeLock.Tests;

/// <summary>A holder learns that it lost the node before anybody else can get it.</summary>
public sealed class LostTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task Lost_fires_before_the_lease_can_end_while_a_renewal_hangs()
    {
        TaskManager other = world.NewManager();
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        using ManualResetEventSlim goOn = new();
        using ManualResetEventSlim hangs = new();
        world.Way.OnRenew = renew =>
        {
            hangs.Set();
            goOn.Wait(Eventually.Limit);
            return renew();
        };
        Thread heartbeat = new(() => world.Time.Advance(TimeSpan.FromSeconds(10)));
        heartbeat.Start();
        Assert.True(hangs.Wait(Eventually.Limit));

        world.Pass(TimeSpan.FromSeconds(43));
        task.EnsureHeld();
        Assert.False(task.Lost.IsCancellationRequested);
        world.Pass(TimeSpan.FromSeconds(1.1));

        Assert.True(task.Lost.IsCancellationRequested);
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        Assert.Null(await other.TryAcquireAsync(1, "too early"));
        Assert.Empty(world.Log.With(40));
        goOn.Set();
        Assert.True(heartbeat.Join(Eventually.Limit));
        await task.DisposeAsync();
    }

    [Fact]
    public async Task Lost_fires_at_the_end_of_the_trust_window_and_not_before()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        World.Cut(world.Way);

        world.Time.Advance(TimeSpan.FromSeconds(54) - World.Tick);
        task.EnsureHeld();
        Assert.False(task.Lost.IsCancellationRequested);
        world.Time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.True(task.Lost.IsCancellationRequested);
        Assert.Contains("could not renew the lease in time", Assert.Single(world.Log.With(4)).Message);
        await task.DisposeAsync();
    }

    [Fact]
    public async Task Slow_callbacks_hold_nobody_up()
    {
        TaskScope first = await world.Manager.AcquireAsync(1, "test");
        TaskScope second = await world.Manager.AcquireAsync(2, "test");
        using ManualResetEventSlim goOn = new();
        using ManualResetEventSlim began = new();
        first.Lost.Register(() =>
        {
            began.Set();
            goOn.Wait(Eventually.Limit);
        });
        World.Cut(world.Way);

        world.Pass(TimeSpan.FromSeconds(55));

        Assert.True(began.Wait(Eventually.Limit));
        Assert.True(first.Lost.IsCancellationRequested);
        Assert.True(second.Lost.IsCancellationRequested);
        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(2));
        await using (await world.Manager.AcquireAsync(3, "the conductor goes on")) { }

        goOn.Set();
        await first.DisposeAsync();
        await second.DisposeAsync();
    }

    [Fact]
    public async Task A_log_that_blocks_holds_up_no_Lost()
    {
        TaskScope first = await world.Manager.AcquireAsync(1, "test");
        TaskScope second = await world.Manager.AcquireAsync(2, "test");
        using ManualResetEventSlim goOn = new();
        world.Log.Written = line =>
        {
            if (line.Id == 4) goOn.Wait(Eventually.Limit);
        };
        World.Cut(world.Way);

        Task pass = Task.Run(() => world.Pass(TimeSpan.FromSeconds(55)));

        await Eventually.TrueAsync(() => first.Lost.IsCancellationRequested && second.Lost.IsCancellationRequested,
            "both are told");
        goOn.Set();
        await pass.WithinLimit();
        await first.DisposeAsync();
        await second.DisposeAsync();
    }

    [Fact]
    public async Task A_callback_that_throws_is_logged()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        task.Lost.Register(() => throw new InvalidDataException("the callback's own"));
        World.Cut(world.Way);

        world.Pass(TimeSpan.FromSeconds(55));

        await Eventually.TrueAsync(() => world.Log.With(51).Count > 0, "the log entry");
        Assert.Contains("node 1", Assert.Single(world.Log.With(51)).Message);
        await task.DisposeAsync();
    }

    [Fact]
    public async Task A_reservation_that_was_taken_away_is_lost_at_the_next_heartbeat()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        TaskScope kept = await world.Manager.AcquireAsync(2, "test");
        await world.Store.ReleaseAsync(world.Manager.Holder, new HeldNode(1, task.FencingToken), World.Second);

        world.Pass(TimeSpan.FromSeconds(10));

        Assert.True(task.Lost.IsCancellationRequested);
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        Assert.Contains("it was taken away", Assert.Single(world.Log.With(4)).Message);
        kept.EnsureHeld();
        world.Pass(TimeSpan.FromSeconds(30));
        Assert.Single(world.Log.With(4));
        await task.DisposeAsync();
        await kept.DisposeAsync();
    }

    [Fact]
    public async Task An_outage_shorter_than_what_is_left_of_the_lease_loses_nothing()
    {
        await using TaskScope task = await world.Manager.AcquireAsync(1, "test");
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(52));

        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(60));

        task.EnsureHeld();
        Assert.False(task.Lost.IsCancellationRequested);
        Assert.Empty(world.Log.With(4));
    }

    [Fact]
    public async Task Those_behind_a_lost_scope_wait_until_it_is_disposed_while_its_conductor_lives()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        Task<TaskScope> behind = world.Manager.AcquireAsync(1,
            new AcquireOptions { Purpose = "behind", Retry = LockRetry.Patient }).AsTask();
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));
        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(5));
        Assert.True(task.Lost.IsCancellationRequested);
        Assert.False(behind.IsCompleted);

        await task.DisposeAsync();

        await using TaskScope next = await behind.WithinLimit();
        next.EnsureHeld();
        Assert.True(next.FencingToken > task.FencingToken);
    }
}
