using Xunit;

namespace NodeLock.Tests;

/// <summary>Several nodes, all or none; while it waits for one it keeps none of the others.</summary>
public sealed class AcquireAllTests : IAsyncDisposable
{
    private readonly World world = new([1, 2, 3, 4]);
    private readonly TaskManager other;

    public AcquireAllTests() => other = world.NewManager();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task All_are_reserved_at_once_in_the_order_given()
    {
        await using TaskScopes scopes = await world.Manager.AcquireAllAsync([3, 1, 2, 3], "all");

        Assert.Equal([3, 1, 2], scopes.Select(s => s.NodeId));
        Assert.Empty(scopes.Skipped);
        Assert.All(scopes, s => s.EnsureExclusive());
        Assert.Equal(3, (await world.Store.ListAsync(default)).Count);
    }

    [Fact]
    public async Task Where_one_is_locked_elsewhere_none_is_reserved_and_it_is_asked_as_often_as_configured()
    {
        await using TaskScope held = await other.AcquireAsync(2, "in the way");
        Task<TaskScopes> acquire = world.Manager.AcquireAllAsync([1, 2, 3], "all").AsTask();
        Assert.Equal(2, Assert.Single(await world.Store.ListAsync(default)).NodeId);
        world.Time.Advance(World.Second * 2);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => acquire.WithinLimit());

        Assert.Equal(((NodeId)2, other.Holder, 3), (e.NodeId, e.Holder, e.Attempts));
        Assert.Equal(2, Assert.Single(await world.Store.ListAsync(default)).NodeId);
        Assert.Equal(9, world.Way.Requests.Count);
    }

    [Fact]
    public async Task While_it_waits_others_of_this_process_and_elsewhere_get_those_that_are_free()
    {
        TaskScope held = await other.AcquireAsync(2, "in the way");
        Task<TaskScopes> acquire = AcquireAsync(LockRetry.Patient, 1, 2, 3);

        await using (TaskScope? here = await world.Manager.TryAcquireAsync(1, "here")) Assert.NotNull(here);
        await using (TaskScope? there = await other.TryAcquireAsync(3, "there")) Assert.NotNull(there);
        await held.DisposeAsync();
        world.Pass(World.Second);

        await using TaskScopes scopes = await acquire.WithinLimit();
        Assert.Equal(3, scopes.Count);
    }

    [Fact]
    public async Task One_held_in_this_process_is_not_asked_for_and_its_end_wakes_the_waiter()
    {
        TaskScope held = await world.Manager.AcquireAsync(2, "in the way");
        Task<TaskScopes> acquire = AcquireAsync(null, 1, 2, 3);
        Assert.Single(world.Way.Requests);

        await held.DisposeAsync();

        await using TaskScopes scopes = await acquire.WithinLimit();
        Assert.Equal(3, scopes.Count);
    }

    [Fact]
    public async Task One_held_in_this_process_is_named_in_the_exception()
    {
        await using TaskScope held = await world.Manager.AcquireAsync(2, "in the way");

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(
            () => AcquireAsync(LockRetry.None, 1, 2));

        Assert.Equal(((NodeId)2, true, "in the way"), (e.NodeId, e.IsHeldByThisProcess, e.HolderPurpose));
        await using TaskScope? free = await world.Manager.TryAcquireAsync(1, "free");
        Assert.NotNull(free);
    }

    [Fact]
    public async Task Two_that_want_the_same_nodes_in_another_order_both_get_them()
    {
        Task<TaskScopes> first = AcquireAsync(LockRetry.Patient, 1, 2, 3);
        Task<TaskScopes> second = AcquireAsync(LockRetry.Patient, 3, 2, 1);
        Task<TaskScopes> third = other.AcquireAllAsync([2, 3, 1],
            new AcquireOptions { Purpose = "all", Retry = LockRetry.Patient }).AsTask();
        int done = 0;
        Task all = Task.WhenAll(new[] { first, second, third }.Select(async a =>
        {
            await using TaskScopes scopes = await a;
            Assert.All(scopes, s => s.EnsureExclusive());
            Interlocked.Increment(ref done);
        }));

        await world.UntilAsync(() => all.IsCompleted, "all had their turn");

        await all;
        Assert.Equal(3, done);
    }

    [Fact]
    public async Task Where_one_does_not_exist_it_is_said_at_once_and_none_is_held()
    {
        Task<TaskScopes> acquire = AcquireAsync(null, 1, 9, 2);

        Assert.Equal(9, (await Assert.ThrowsAsync<NodeNotFoundException>(() => acquire.WithinLimit())).NodeId);
        Assert.Empty(await world.Store.ListAsync(default));
        await using TaskScopes scopes = await world.Manager.AcquireAllAsync([1, 2], "their places are free");
        Assert.Equal(2, scopes.Count);
    }

    [Fact]
    public async Task A_row_in_somebodys_hand_is_asked_for_again()
    {
        int asked = 0;
        world.Way.OnReserveMany = (many, _, carryOut) => asked++ > 0 ? carryOut()
            : new([.. many.Select((_, i) => i == 0 ? (ReserveAnswer)new ReserveAnswer.RowInHand()
                : new ReserveAnswer.Withheld())]);
        Task<TaskScopes> acquire = AcquireAsync(null, 1, 2);
        Assert.False(acquire.IsCompleted);

        world.Time.Advance(World.Second);

        await (await acquire.WithinLimit()).DisposeAsync();
    }

    [Fact]
    public async Task An_unanswered_one_leaks_nothing()
    {
        TaskCompletionSource answered = HoldAnswers();
        Task<TaskScopes> acquire = AcquireAsync(null, 1, 2);
        world.Time.Advance(TimeSpan.FromSeconds(10));
        await Assert.ThrowsAsync<TimeoutException>(() => acquire.WithinLimit());
        Assert.Equal(2, (await world.Store.ListAsync(default)).Count);

        answered.SetResult();

        await Eventually.TrueAsync(() => world.IsAllFree, "all are given back");
    }

    [Fact]
    public async Task A_cancelled_one_leaks_nothing()
    {
        using CancellationTokenSource cancellation = new();
        TaskCompletionSource answered = HoldAnswers();
        Task<TaskScopes> acquire = world.Manager.AcquireAllAsync([1, 2], "all", cancellation.Token).AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        answered.SetResult();

        await Eventually.TrueAsync(() => world.IsAllFree, "all are given back");
    }

    [Fact]
    public async Task Lost_replies_are_named_by_the_next_or_given_back_within_two_heartbeats()
    {
        world.Way.OnReserveMany = async (_, _, carryOut) =>
        {
            await carryOut();
            throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => AcquireAsync(null, 1, 2, 3));
        world.Way.OnReserveMany = null;

        await using (TaskScopes scopes = await world.Manager.AcquireAllAsync([1, 2], "again"))
            Assert.Equal(2, scopes.Count);

        Assert.Equal(3, Assert.Single(await world.Store.ListAsync(default)).NodeId);
        world.Pass(TimeSpan.FromSeconds(20));
        Assert.Empty(await world.Store.ListAsync(default));
    }

    [Fact]
    public async Task An_answer_that_comes_when_the_trust_window_has_closed_is_not_believed_and_leaks_nothing()
    {
        await using (await world.Manager.AcquireAsync(4, "start")) { }
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(53));
        TaskCompletionSource answered = HoldAnswers();
        Task<TaskScopes> acquire = AcquireAsync(null, 1, 2);
        world.Pass(TimeSpan.FromSeconds(2));

        answered.SetResult();

        await Assert.ThrowsAsync<ReservationLostException>(() => acquire.WithinLimit());
        await Eventually.TrueAsync(() => world.IsAllFree, "all are given back");
    }

    [Fact]
    public async Task A_conductor_that_stops_sends_it_away_before_the_next_attempt()
    {
        await using TaskScope held = await other.AcquireAsync(2, "in the way");
        Task<TaskScopes> acquire = AcquireAsync(new LockRetry(2, TimeSpan.FromHours(1)), 1, 2);

        world.Manager.BeginStop();

        await Assert.ThrowsAsync<ConductorStoppingException>(() => acquire.WithinLimit());
    }

    [Fact]
    public async Task Sharing_a_default_id_and_more_than_500_are_refused_and_of_none_nobody_is_asked()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => world.Manager.AcquireAllAsync([1],
            new AcquireOptions { Purpose = "all", Mode = ReservationMode.Shared }).WithinLimit());
        await Assert.ThrowsAsync<ArgumentException>(() => AcquireAsync(null, 1, default));
        await Assert.ThrowsAsync<ArgumentException>(
            () => AcquireAsync(null, [.. Enumerable.Range(1, 501).Select(n => (NodeId)n)]));
        await Assert.ThrowsAsync<ArgumentException>(() => world.Manager.AcquireAllAsync([1], " ").WithinLimit());

        await using TaskScopes none = await AcquireAsync(null);

        Assert.Empty(none);
        Assert.Empty(world.Way.Requests);
    }

    private TaskCompletionSource HoldAnswers()
    {
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        world.Way.OnReserveMany = async (_, _, carryOut) =>
        {
            IReadOnlyList<ReserveAnswer> answers = await carryOut();
            await goOn.Task;
            return answers;
        };
        return goOn;
    }

    private Task<TaskScopes> AcquireAsync(LockRetry? retry, params NodeId[] nodes) =>
        world.Manager.AcquireAllAsync(nodes, new AcquireOptions { Purpose = "all", Retry = retry }).AsTask();
}
