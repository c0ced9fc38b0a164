using Xunit;

namespace NodeLock.Tests;

/// <summary>Those who wait are woken when another conductor gives the node back, and are none the worse when they are
/// not.</summary>
public sealed class WakingTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_release_wakes_the_waiter_of_another_conductor_though_no_time_passes()
    {
        TaskManager other = await world.NewListeningManagerAsync();
        TaskScope held = await World.WriteAsync(world.Manager);
        Task<TaskScope> waiting = World.WriteAsync(other);

        await held.DisposeAsync();

        await using TaskScope task = await waiting.WithinLimit();
        Assert.True(task.FencingToken > held.FencingToken);
    }

    [Fact]
    public async Task Being_woken_uses_up_no_attempt()
    {
        TaskManager other = await world.NewListeningManagerAsync();
        TaskScope held = await World.WriteAsync(world.Manager);
        Task<TaskScope> waiting = World.WriteAsync(other, retry: new LockRetry(2, World.Second));
        for (int i = 0; i < 5; i++)
        {
            Tell();
            await Task.Yield();
        }

        Assert.False(waiting.IsCompleted);
        await held.DisposeAsync();
        await (await waiting.WithinLimit()).DisposeAsync();
    }

    [Fact]
    public async Task One_who_waits_for_several_is_woken_when_that_in_its_way_is_free()
    {
        TaskManager other = await world.NewListeningManagerAsync();
        TaskScope held = await World.WriteAsync(world.Manager);
        Task<TaskScopes> waiting = other.AcquireAllAsync([1, 2], "both").AsTask();

        await held.DisposeAsync();

        await (await waiting.WithinLimit()).DisposeAsync();
    }

    [Fact]
    public async Task Two_who_wait_for_several_with_one_in_common_do_not_wake_each_other()
    {
        await using TaskScope held = await World.WriteAsync(world.NewManager());
        int asked = 0;
        world.Way.OnReserveMany = (_, _, carryOut) =>
        {
            Assert.InRange(Interlocked.Increment(ref asked), 0, 1000);
            return carryOut();
        };

        Task<TaskScopes>[] waiting =
            [.. new NodeId[] { 2, 3 }.Select(n => world.Manager.AcquireAllAsync([1, n], "both").AsTask())];
        for (int i = 0; i < 100; i++) await Task.Yield();
        Assert.Equal(2, asked);

        await world.UntilAsync(() => waiting.All(w => w.IsCompleted), "both give up");
        Assert.InRange(asked, 2, 8); // three attempts each
        foreach (Task<TaskScopes> one in waiting) await Assert.ThrowsAsync<NodeLockedException>(() => one);
    }

    [Fact]
    public async Task Who_leaves_the_line_with_a_wake_up_passes_it_on()
    {
        TaskManager other = await world.NewListeningManagerAsync();
        TaskScope held = await World.WriteAsync(world.Manager);
        using CancellationTokenSource gone = new();
        Task<TaskScope> first = World.WriteAsync(other, cancellationToken: gone.Token);
        Task<TaskScope> second = World.WriteAsync(other);

        await Task.WhenAll(held.DisposeAsync().AsTask(), gone.CancelAsync());

        await (await second.WithinLimit()).DisposeAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await (await first.WithinLimit()).DisposeAsync();
            gone.Token.ThrowIfCancellationRequested(); // it was quicker
        });
    }

    [Fact]
    public async Task One_who_does_not_listen_finds_out_at_the_next_attempt()
    {
        TaskManager deaf = world.NewManager(options: new NodeLockOptions { ListenForReleases = false });
        TaskScope held = await World.WriteAsync(world.Manager);
        Task<TaskScope> waiting = World.WriteAsync(deaf);

        await held.DisposeAsync();

        world.Pass(World.Second - World.Tick);
        Assert.False(waiting.IsCompleted);
        world.Pass(World.Tick);
        await (await waiting.WithinLimit()).DisposeAsync();
    }

    [Fact]
    public async Task A_broken_connection_is_opened_again_and_told_of_once()
    {
        int opened = 0;
        world.Way.OnListen = carryOut => ++opened < 3 ? throw new StoreException("cut") : carryOut();
        await (await World.WriteAsync(world.Manager)).DisposeAsync();

        await world.UntilAsync(() => world.Log.With(36).Count == 1, "it hears again");

        Assert.Single(world.Log.With(35));
        Assert.Equal(3, opened);
    }

    [Fact]
    public async Task A_connection_on_which_nothing_arrives_is_given_up()
    {
        int opened = 0;
        world.Way.OnListen = carryOut => ++opened == 1 ? new(new DeafListener()) : carryOut();
        await (await World.WriteAsync(world.Manager)).DisposeAsync();

        await world.UntilAsync(() => world.Log.With(36).Count == 1, "it hears again");

        Assert.Single(world.Log.With(35));
    }

    [Fact]
    public async Task A_conductor_that_hears_nothing_tells_nothing_at_each_heartbeat()
    {
        int told = 0;
        world.Way.BeforeStatement = statement =>
        {
            if (statement == nameof(IConductorStore.TellNothing)) told++;
        };
        await (await World.WriteAsync(world.Manager)).DisposeAsync();
        int before = told;

        world.Pass(World.Second * 30);

        Assert.Equal(before + 3, told);
    }

    private void Tell()
    {
        lock (world.Memory.Sync) world.Memory.Tell_NeedsLock(1);
    }

    private sealed class DeafListener : IReleaseListener
    {
        public async ValueTask<NodeId?> HearAsync(CancellationToken cancellationToken)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken);
            return null;
        }

        public ValueTask DisposeAsync() => default;
    }
}
