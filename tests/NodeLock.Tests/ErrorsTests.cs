using Xunit;

namespace NodeLock.Tests;

public sealed class ErrorsTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task Locked_says_who_holds_the_node_why_since_when_and_how_long_was_waited()
    {
        TaskManager other = world.NewManager(options: new NodeLockOptions { ConductorName = "rack-7" });
        await using TaskScope held = await other.AcquireAsync(1, "firmware update");

        NodeLockedException e = await RefusedAsync(1);

        Assert.Equal((NodeId)1, e.NodeId);
        Assert.Equal("power on", e.Purpose);
        Assert.Equal(other.Holder, e.Holder);
        Assert.Equal("firmware update", e.HolderPurpose);
        Assert.Equal(held.ReservedAt, e.Since);
        Assert.Equal(held.FencingToken, e.HolderFencingToken);
        Assert.Equal([other.Holder], e.Reservation?.Holders);
        Assert.False(e.IsHeldByThisProcess);
        Assert.False(e.IsTurnedAway);
        Assert.Equal(3, e.Attempts);
        Assert.Equal(TimeSpan.FromSeconds(2), e.Waited);
        Assert.Equal($"Node 1 is locked: held by {other.Holder} for \"firmware update\" since 2026-01-01 00:00:00Z, "
            + $"fencing token {held.FencingToken}. It was asked for \"power on\", 3 times over 2.0 s. Try again later.",
            e.Message);
    }

    [Fact]
    public async Task A_nested_acquire_of_ones_own_node_is_refused_in_time_and_told_that_it_is_its_own()
    {
        await using TaskScope outer = await world.Manager.AcquireAsync(1, "outer");

        NodeLockedException e = await RefusedAsync(1);

        Assert.True(e.IsHeldByThisProcess);
        Assert.Equal((3, TimeSpan.FromSeconds(2)), (e.Attempts, e.Waited));
        Assert.Equal((world.Manager.Holder, "outer", outer.FencingToken),
            (e.Holder, e.HolderPurpose, e.HolderFencingToken));
        Assert.Equal(outer.ReservedAt, e.Since);
        Assert.Contains($"held by this very process ({world.Manager.Holder}) for \"outer\"", e.Message);
        Assert.Contains("not re-entrant", e.Message);
        outer.EnsureHeld();
    }

    [Fact]
    public async Task A_row_in_the_hand_of_a_transaction_is_told_as_such()
    {
        world.Way.OnReserve = (_, _) => new(new ReserveAnswer.RowInHand());

        NodeLockedException e = await RefusedAsync(1);

        Assert.Null(e.Reservation);
        Assert.Equal((null, null, null, null), (e.Holder, e.HolderPurpose, e.Since, e.HolderFencingToken));
        Assert.Equal("Node 1 is locked: a database transaction has its row in hand. It was asked for \"power on\", 3 "
            + "times over 2.0 s. Try again later.", e.Message);
    }

    [Fact]
    public async Task One_behind_another_who_is_just_asking_is_told_so()
    {
        TaskCompletionSource<ReserveAnswer> answer = new();
        world.Way.OnReserve = (_, _) => new(answer.Task);
        Task<TaskScope> first = world.Manager.AcquireAsync(1, "first").AsTask();

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => world.Manager.AcquireAsync(1,
            new AcquireOptions { Purpose = "second", Retry = LockRetry.None }).WithinLimit());

        Assert.Null(e.Reservation);
        Assert.Contains("this process is just asking for it, for \"first\"", e.Message);
        Assert.Contains("1 time over 0.0 s", e.Message);
        answer.SetResult(new ReserveAnswer.NodeNotFound());
        await Assert.ThrowsAsync<NodeNotFoundException>(() => first.WithinLimit());
    }

    [Fact]
    public async Task Not_found_names_the_node_and_where_it_was_looked_for()
    {
        world.Way.OnReserve = (_, _) => new(new ReserveAnswer.NodeNotFound());

        NodeNotFoundException e = await Assert.ThrowsAsync<NodeNotFoundException>(
            () => world.Manager.AcquireAsync(42, "test").WithinLimit());

        Assert.Equal("memory", e.Kind);
        Assert.Equal("There is no node 42 in memory.", e.Message);
    }

    [Fact]
    public async Task Lost_names_the_node_its_token_and_its_holder()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "power on");
        string holder = world.Manager.Holder;
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));

        ReservationLostException e = Assert.Throws<ReservationLostException>(task.EnsureHeld);

        Assert.Equal(((NodeId)1, "power on", task.FencingToken, holder),
            (e.NodeId, e.Purpose, e.FencingToken, e.Holder));
        Assert.Contains("node 1", e.Message);
        Assert.Contains("\"power on\"", e.Message);
        Assert.Equal("its conductor could not renew the lease in time", e.Reason);
        Assert.Contains(e.Reason, e.Message);
        Assert.Contains("Stop working on the node", e.Message);
        await task.DisposeAsync();
    }

    private async Task<NodeLockedException> RefusedAsync(NodeId node)
    {
        Task<TaskScope> acquire = world.Manager.AcquireAsync(node, "power on").AsTask();
        world.Time.Advance(World.Second * 2);
        return await Assert.ThrowsAsync<NodeLockedException>(() => acquire.WithinLimit());
    }
}
