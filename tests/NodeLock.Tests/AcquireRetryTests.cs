using Xunit;

namespace NodeLock.Tests;

/// <summary>When and how often an acquire asks, counted in statements and in time that only the test moves.</summary>
public sealed class AcquireRetryTests : IAsyncDisposable
{
    private readonly World world = new([1, 2]);
    private readonly TaskManager other;

    public AcquireRetryTests() => other = world.NewManager();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task By_default_a_node_held_longer_is_refused_after_exactly_two_seconds_and_three_attempts()
    {
        await using TaskScope held = await other.AcquireAsync(1, "in the way");
        Task<TaskScope> acquire = AcquireAsync();
        Assert.Single(world.Way.Requests);

        world.Time.Advance(World.Second - World.Tick);
        Assert.Single(world.Way.Requests);
        world.Time.Advance(World.Tick);
        Assert.Equal(2, world.Way.Requests.Count);
        world.Time.Advance(World.Second - World.Tick);
        Assert.Equal(2, world.Way.Requests.Count);
        Assert.False(acquire.IsCompleted);
        world.Time.Advance(World.Tick);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => acquire.WithinLimit());
        Assert.Equal(3, e.Attempts);
        Assert.Equal(TimeSpan.FromSeconds(2), e.Waited);
        Assert.Equal(3, world.Way.Requests.Count);
    }

    [Fact]
    public async Task A_node_released_meanwhile_elsewhere_is_acquired_at_the_next_tick()
    {
        TaskScope held = await other.AcquireAsync(1, "in the way");
        Task<TaskScope> acquire = AcquireAsync();
        await held.DisposeAsync();
        Assert.False(acquire.IsCompleted);

        world.Time.Advance(World.Second);

        await using TaskScope task = await acquire.WithinLimit();
        task.EnsureHeld();
    }

    [Fact]
    public async Task A_node_released_meanwhile_in_the_same_process_is_acquired_at_once()
    {
        TaskScope held = await world.Manager.AcquireAsync(1, "in the way");
        Task<TaskScope> acquire = AcquireAsync();
        Assert.False(acquire.IsCompleted);

        await held.DisposeAsync();

        await using TaskScope task = await acquire.WithinLimit();
        Assert.True(task.FencingToken > held.FencingToken);
        task.EnsureHeld();
    }

    [Fact]
    public async Task One_attempt_is_a_single_try_without_a_wait()
    {
        await using TaskScope held = await other.AcquireAsync(1, "in the way");

        Task<TaskScope> acquire = AcquireAsync(LockRetry.None);

        Assert.True(acquire.IsCompleted);
        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => acquire);
        Assert.Equal(1, e.Attempts);
        Assert.Equal(TimeSpan.Zero, e.Waited);
        Assert.Single(world.Way.Requests);
    }

    [Fact]
    public async Task A_node_that_does_not_exist_is_refused_at_once()
    {
        Task<TaskScope> acquire = world.Manager.AcquireAsync(3, "test").AsTask();

        Assert.True(acquire.IsCompleted);
        Assert.Equal((NodeId)3, (await Assert.ThrowsAsync<NodeNotFoundException>(() => acquire)).NodeId);
        Assert.Single(world.Way.Requests);
        Assert.Empty(await world.Manager.ListReservationsAsync());
    }

    [Fact]
    public async Task What_the_store_throws_comes_through_at_once_and_as_it_is()
    {
        StoreException thrown = new("the store is on fire");
        world.Way.OnReserve = (_, _) => throw thrown;

        Task<TaskScope> acquire = AcquireAsync();

        Assert.True(acquire.IsCompleted);
        Assert.Same(thrown, await Assert.ThrowsAsync<StoreException>(() => acquire));
        Assert.Single(world.Way.Requests);
    }

    [Fact]
    public async Task A_failure_of_a_later_attempt_is_not_tried_again_either()
    {
        await using TaskScope held = await other.AcquireAsync(1, "in the way");
        Task<TaskScope> acquire = AcquireAsync();
        world.Way.OnReserve = (_, _) => throw new StoreException("the store is on fire");

        world.Time.Advance(World.Second);

        await Assert.ThrowsAsync<StoreException>(() => acquire.WithinLimit());
        Assert.Equal(2, world.Way.Requests.Count);
    }

    [Fact]
    public async Task Patience_ends_when_it_is_cancelled()
    {
        using CancellationTokenSource cancellation = new();
        await using TaskScope held = await other.AcquireAsync(1, "in the way");
        Task<TaskScope> acquire = AcquireAsync(LockRetry.Patient, cancellation.Token);

        world.Time.Advance(TimeSpan.FromSeconds(50));
        Assert.False(acquire.IsCompleted);
        Assert.Equal(51, world.Way.Requests.Count);
        await cancellation.CancelAsync();

        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => acquire.WithinLimit());
        Assert.Equal(cancellation.Token, e.CancellationToken);
        Assert.Equal(51, world.Way.Requests.Count);
    }

    [Fact]
    public async Task An_acquire_that_is_cancelled_beforehand_asks_for_nothing()
    {
        CancellationToken cancelled = new(canceled: true);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => AcquireAsync(null, cancelled));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            async () => await world.Manager.TryAcquireAsync(1, "test", cancellationToken: cancelled));

        Assert.Empty(world.Way.Requests);
    }

    [Fact]
    public async Task Cancelled_is_the_outcome_also_where_the_node_was_locked_when_it_happened()
    {
        using CancellationTokenSource cancellation = new();
        await using TaskScope held = await other.AcquireAsync(1, "in the way");
        world.Way.OnReserve = (_, carryOut) =>
        {
            cancellation.Cancel();
            return carryOut();
        };

        Task<TaskScope> acquire = AcquireAsync(LockRetry.Patient, cancellation.Token);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
    }

    [Fact]
    public async Task An_extra_try_uses_no_attempt_and_moves_no_tick()
    {
        TaskScope held = await world.Manager.AcquireAsync(1, "in the way");
        int before = world.Way.Requests.Count;
        Task<TaskScope> acquire = AcquireAsync();
        world.Way.OnReserve = (_, _) => new(new ReserveAnswer.RowInHand());
        world.Time.Advance(World.Second / 2);

        await held.DisposeAsync();
        await Eventually.TrueAsync(() => world.Way.Requests.Count == before + 1, "the extra try");
        world.Time.Advance(World.Second / 2);
        await Eventually.TrueAsync(() => world.Way.Requests.Count == before + 2, "the second attempt");
        world.Time.Advance(World.Second);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => acquire.WithinLimit());
        Assert.Equal(3, e.Attempts);
        Assert.Equal(TimeSpan.FromSeconds(2), e.Waited);
        Assert.Equal(before + 3, world.Way.Requests.Count);
    }

    [Fact]
    public async Task Ticks_that_were_missed_are_not_made_up_by_a_burst()
    {
        await using TaskScope held = await other.AcquireAsync(1, "in the way");
        Task<TaskScope> acquire = AcquireAsync(new LockRetry(13, World.Second));

        world.Time.Jump(TimeSpan.FromSeconds(10.5));
        world.Time.Advance(TimeSpan.Zero);
        Assert.Equal(2, world.Way.Requests.Count);
        world.Time.Advance(World.Second / 2 - World.Tick);
        Assert.Equal(2, world.Way.Requests.Count);
        world.Time.Advance(World.Tick);
        Assert.Equal(3, world.Way.Requests.Count);
        world.Time.Advance(World.Second);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => acquire.WithinLimit());
        Assert.Equal(TimeSpan.FromSeconds(12), e.Waited);
        Assert.Equal(4, world.Way.Requests.Count);
    }

    [Fact]
    public async Task Beyond_the_most_that_may_wait_an_acquire_gets_one_attempt_and_no_wait()
    {
        TaskManager narrow = world.NewManager(options: new NodeLockOptions { MaxWaiters = 1 });
        await using TaskScope first = await other.AcquireAsync(1, "in the way");
        await using TaskScope second = await other.AcquireAsync(2, "in the way");
        Task<TaskScope> waiting = narrow.AcquireAsync(1, "test").AsTask();

        Task<TaskScope> oneTooMany = narrow.AcquireAsync(2, "test").AsTask();
        Assert.True(oneTooMany.IsCompleted);
        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => oneTooMany);
        Assert.Equal((1, true), (e.Attempts, e.IsTurnedAway));
        Assert.Contains("as many acquires wait already as MaxWaiters allows", e.Message);
        await Assert.ThrowsAsync<NodeLockedException>(() => narrow.AcquireAsync(2, "test").WithinLimit());
        Assert.Contains("(1)", Assert.Single(world.Log.With(11)).Message);

        world.Time.Advance(World.Second * 2);
        await Assert.ThrowsAsync<NodeLockedException>(() => waiting.WithinLimit());
        Task<TaskScope> next = narrow.AcquireAsync(2, "test").AsTask();
        Assert.False(next.IsCompleted);
        world.Time.Advance(World.Second * 2);
        e = await Assert.ThrowsAsync<NodeLockedException>(() => next.WithinLimit());
        Assert.Equal((3, false), (e.Attempts, e.IsTurnedAway));
    }

    [Fact]
    public async Task While_many_wait_only_the_first_in_line_asks()
    {
        using CancellationTokenSource cancellation = new();
        await using TaskScope held = await other.AcquireAsync(1, "in the way");
        Task<TaskScope>[] acquires = [.. Enumerable.Range(0, 100).Select(
            _ => AcquireAsync(LockRetry.Patient, cancellation.Token))];

        world.Time.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal(11, world.Way.Requests.Count);
        await cancellation.CancelAsync();
        foreach (Task<TaskScope> acquire in acquires)
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        Assert.Equal(11, world.Way.Requests.Count);
    }

    [Fact]
    public async Task Those_behind_the_first_count_the_ticks_too_and_are_told_what_it_met()
    {
        await using TaskScope held = await other.AcquireAsync(1, "in the way");
        Task<TaskScope> first = AcquireAsync(new LockRetry(9, World.Second));
        Task<TaskScope> behind = AcquireAsync();

        world.Time.Advance(World.Second * 2);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => behind.WithinLimit());
        Assert.Equal((3, other.Holder, "in the way"), (e.Attempts, e.Holder, e.HolderPurpose));
        Assert.Equal(3, world.Way.Requests.Count);
        world.Time.Advance(World.Second * 6);
        await Assert.ThrowsAsync<NodeLockedException>(() => first.WithinLimit());
    }

    private Task<TaskScope> AcquireAsync(LockRetry? retry = null, CancellationToken cancellationToken = default) =>
        world.Manager.AcquireAsync(1, new AcquireOptions { Purpose = "test", Retry = retry }, cancellationToken)
            .AsTask();
}
