using Xunit;

namespace NodeLock.Tests;

/// <summary>Cancellation ends a wait, never a holding, and leaks nothing.</summary>
public sealed class CancellationTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly CancellationTokenSource cancellation = new();

    public async ValueTask DisposeAsync()
    {
        await world.DisposeAsync();
        cancellation.Dispose();
    }

    [Fact]
    public async Task A_request_on_its_way_is_left_to_finish_and_what_it_reserved_is_released()
    {
        TaskCompletionSource goOn = HoldUpReserves();
        Task<TaskScope> acquire = world.Manager.AcquireAsync(1, "test", cancellation.Token).AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        Assert.Null(await world.FindAsync(1));
        int releases = 0;
        world.Way.OnRelease = (_, carryOut) =>
        {
            releases++;
            return carryOut();
        };
        goOn.SetResult();

        await Eventually.TrueAsync(() => releases == 1, "the release");
        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the node is free");
    }

    [Fact]
    public async Task What_a_cancelled_request_reserved_goes_to_the_next_in_line_without_a_release()
    {
        TaskCompletionSource goOn = HoldUpReserves();
        Task<TaskScope> first = world.Manager.AcquireAsync(1, "first", cancellation.Token).AsTask();
        Task<TaskScope> second = world.Manager.AcquireAsync(1, "second").AsTask();
        int releases = 0;
        world.Way.OnRelease = (_, carryOut) =>
        {
            releases++;
            return carryOut();
        };

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WithinLimit());
        goOn.SetResult();

        await using TaskScope task = await second.WithinLimit();
        Assert.Equal(0, releases);
        Reservation? found = await world.FindAsync(1);
        Assert.Equal((task.FencingToken, "second"), (found?.FencingToken, found?.Purpose));
        Assert.Equal([0, task.FencingToken - 1], world.Way.Requests.Select(r => r.KnownToken));
    }

    [Fact]
    public async Task A_cancelled_request_that_fails_is_logged_and_mended_by_the_heartbeat()
    {
        TaskCompletionSource goOn = new();
        world.Way.OnReserve = async (_, carryOut) =>
        {
            await carryOut();
            await goOn.Task;
            throw new StoreException("no answer");
        };
        Task<TaskScope> acquire = world.Manager.AcquireAsync(1, "test", cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());

        goOn.SetResult();
        await Eventually.TrueAsync(() => world.Log.With(9).Count == 1, "the log entry");
        world.Pass(TimeSpan.FromSeconds(20));

        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task One_who_is_cancelled_in_line_leaves_it_and_those_behind_move_up()
    {
        TaskScope held = await world.Manager.AcquireAsync(1, "held");
        Task<TaskScope> first = world.Manager.AcquireAsync(1, "first", cancellation.Token).AsTask();
        Task<TaskScope> second = world.Manager.AcquireAsync(1, "second").AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WithinLimit());
        await held.DisposeAsync();

        await using TaskScope task = await second.WithinLimit();
        Assert.Equal("second", task.Purpose);
    }

    [Fact]
    public async Task Cancellation_after_the_acquire_ends_no_holding()
    {
        await using TaskScope task = await world.Manager.AcquireAsync(1, "test", cancellation.Token);

        await cancellation.CancelAsync();
        world.Pass(TimeSpan.FromSeconds(100));

        task.EnsureHeld();
        Assert.NotNull(await world.FindAsync(1));
    }

    [Fact]
    public async Task An_acquire_that_waits_for_the_conductor_to_come_up_can_be_cancelled()
    {
        using ManualResetEventSlim goOn = new();
        using ManualResetEventSlim hangs = new();
        StoreWithFaults way = new(world.Memory)
        {
            Pace = HeartbeatPace.OwnThread,
            BeforeStatement = _ =>
            {
                hangs.Set();
                goOn.Wait(Eventually.Limit);
            },
        };
        Task<TaskScope> acquire = world.NewManager(way).AcquireAsync(1, "test", cancellation.Token).AsTask();
        Assert.True(hangs.Wait(Eventually.Limit));

        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        Assert.Empty(way.Requests);
        goOn.Set();
    }

    /// <remarks>Answers, cancellations and hand-overs meet in every order; no grant may be dropped.</remarks>
    [Fact]
    public async Task Thousands_of_cancellations_at_random_moments_leave_nothing_reserved()
    {
        Random random = new(42);
        StoreWithFaults way = new(world.Memory)
        {
            OnReserve = async (_, carryOut) =>
            {
                await Task.Yield();
                ReserveAnswer answer = await carryOut();
                await Task.Yield();
                return answer;
            },
        };
        TaskManager manager = world.NewManager(way, new NodeLockOptions
        {
            MaxWaiters = 4000,
            // So long that no answer is late, however far the clock is ahead of the thread pool.
            LeaseDuration = TimeSpan.FromDays(1),
            HeartbeatInterval = TimeSpan.FromHours(8),
        });
        int[] holders = new int[5];
        int acquired = 0;
        int cancelled = 0;
        Task[] all = [.. Enumerable.Range(0, 4000)
            .Select(_ => (Node: random.Next(5), Moment: random.Next(4000)))
            .Select(plan => Task.Run(() => RunAsync(plan.Node, plan.Moment)))];

        Task end = Task.WhenAll(all);
        await world.UntilAsync(() => end.IsCompleted, "the end of all acquires");
        await end;

        Assert.True(acquired > 800 && cancelled > 1000, $"{acquired} acquired, {cancelled} cancelled");
        way.OnReserve = null;
        await world.UntilAsync(() => world.Store.ListAsync(default).AsTask().Result.Count == 0,
            "every node is free");
        for (int node = 0; node < 5; node++)
        {
            await using TaskScope? task = await manager.TryAcquireAsync(node, "after");
            Assert.NotNull(task);
        }

        async Task RunAsync(int node, int moment)
        {
            using CancellationTokenSource source = new();
            Task cancel = Task.Run(() =>
            {
                if (moment % 4 == 0) return; // is never cancelled
                Thread.SpinWait(moment);
                source.Cancel();
            });
            try
            {
                await using TaskScope task = await manager.AcquireAsync(node,
                    new AcquireOptions { Purpose = "random", Retry = LockRetry.Patient }, source.Token);
                // Nobody else may be here.
                Assert.Equal(1, Interlocked.Increment(ref holders[node]));
                await Task.Yield();
                Interlocked.Decrement(ref holders[node]);
                Interlocked.Increment(ref acquired);
            }
            catch (OperationCanceledException)
            {
                Interlocked.Increment(ref cancelled);
            }

            await cancel;
        }
    }

    private TaskCompletionSource HoldUpReserves()
    {
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        world.Way.OnReserve = async (_, carryOut) =>
        {
            await goOn.Task;
            return await carryOut();
        };
        return goOn;
    }
}
