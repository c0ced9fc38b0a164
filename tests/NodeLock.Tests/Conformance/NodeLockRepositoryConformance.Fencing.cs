using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>Conductors whose nodes must be fenced before anybody else may have them.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task A_dead_conductor_that_requires_a_fence_keeps_its_nodes()
    {
        string dead = Register(requiresFence: true);
        string b = Register();
        long token = (await GrantAsync(Node, dead)).FencingToken;

        await KillAsync(dead, b);

        Assert.Equal(ReservationState.WaitingForFence, (await FindAsync(Node))?.State);
        Assert.Equal(ReservationState.WaitingForFence, (await RefuseAsync(Request(Node, b))).Reservation.State);
        await RefuseAsync(To(ReserveAction.Share, b));
        Assert.Equal(0, connection.Sweep(10));
        Assert.Equal(0, connection.Forget(TimeSpan.Zero));
        Assert.Empty(connection.DeclareDead(b, DateTimeOffset.MaxValue));
        Assert.Null(connection.Renew(dead, Lease));
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await ReserveAsync(Node, dead, known: token));
        await HeldByAsync(Node, dead, token, "test");
    }

    [Fact]
    public async Task What_one_that_waits_for_its_fence_merely_shared_is_free()
    {
        string dead = Register(requiresFence: true);
        string b = Register();
        await ShareAsync(dead);
        await KillAsync(dead, b);

        Reservation? left = await FindAsync(Node);
        Assert.Equal((ReservationMode.Shared, ReservationState.Revoked), (left?.Mode, left?.State));
        long stamp = (await ShareAsync(b)).FencingToken;
        await SharedByAsync((b, stamp));
        await GrantAsync(To(ReserveAction.Upgrade, b, known: stamp));
    }

    [Fact]
    public async Task What_one_that_waits_for_its_fence_merely_shared_is_swept()
    {
        string dead = Register(requiresFence: true);
        string b = Register();
        await ShareAsync(dead);
        await KillAsync(dead, b);

        Assert.Equal(1, connection.Sweep(10));
        Assert.Null(await FindAsync(Node));
    }

    [Fact]
    public async Task One_claims_all_that_wait_for_their_fence_for_as_long_as_it_lives()
    {
        string first = Register(requiresFence: true);
        string second = Register(requiresFence: true);
        string fencer = Register();
        string other = Register();
        await KillAsync(first, fencer);
        Assert.Equal([first], connection.ClaimForFence(fencer));
        await KillAsync(second, fencer);

        Assert.Equal([second], connection.ClaimForFence(other));
        Assert.Equal([first], connection.ClaimForFence(fencer));
        await RunOutAsync(fencer);
        Assert.Equal([second], connection.ClaimForFence(other));
        Assert.Empty(connection.ClaimForFence(fencer));

        await KillAsync(fencer, other);
        Assert.Equal([first, second], connection.ClaimForFence(other).Order());
        Assert.Empty(connection.ClaimForFence(fencer));
    }

    [Fact]
    public async Task A_claim_ends_with_the_claimer_even_if_it_is_forgotten_and_keeps_it_from_leaving()
    {
        string dead = Register(requiresFence: true);
        string forgotten = Register();
        string fencer = Register();
        await KillAsync(dead, fencer);

        Assert.Equal([dead], connection.ClaimForFence(forgotten));
        Assert.False(connection.Leave(forgotten));
        await KillAsync(forgotten, fencer);
        Assert.Equal(1, connection.Forget(TimeSpan.Zero));
        Assert.Equal([dead], connection.ClaimForFence(fencer));
    }

    [Fact]
    public async Task One_that_waits_for_its_fence_is_not_forgotten_though_no_node_names_it()
    {
        string dead = Register(requiresFence: true);
        string fencer = Register();
        await KillAsync(dead, fencer);

        Assert.Equal(0, connection.Forget(TimeSpan.Zero));

        Assert.Equal([dead], connection.ClaimForFence(fencer));
        Assert.True(await store.FinishFenceAsync(dead, fencer, Limit));
        Assert.Equal(1, connection.Forget(TimeSpan.Zero));
    }

    [Fact]
    public async Task Only_those_that_wait_for_a_fence_are_claimed_and_only_by_the_living()
    {
        string fenced = Register();
        string alive = Register(requiresFence: true);
        string left = Register(requiresFence: true);
        string fencer = Register();
        await KillAsync(fenced, fencer);
        Assert.True(connection.Leave(left));
        Assert.Empty(connection.ClaimForFence(fencer));

        await KillAsync(alive, fencer);
        Assert.Empty(connection.ClaimForFence("conductor/unknown"));
        Assert.Empty(connection.ClaimForFence(fenced));
        Assert.Empty(connection.ClaimForFence(alive));
        Assert.Equal([alive], connection.ClaimForFence(fencer));
    }

    [Fact]
    public async Task A_dead_holder_is_revoked_fenced_node_by_node_and_finished()
    {
        string dead = Register(requiresFence: true);
        string fencer = Register();
        string b = Register();
        ReserveAnswer.Granted first = await GrantAsync(Nodes[0], dead, purpose: "power on");
        ReserveAnswer.Granted second = await GrantAsync(Nodes[1], dead);
        await GrantAsync(Nodes[2], b);
        await KillAsync(dead, fencer);
        Assert.Equal([dead], connection.ClaimForFence(fencer));
        Assert.Equal([Nodes[0], Nodes[1]], (await store.FindReservedByAsync(dead, Limit)).OrderBy(n => n == Nodes[1]));

        Reservation revoked = await RevokeAsync(Nodes[0], dead, fencer);
        Assert.True(revoked.FencingToken > second.FencingToken);
        Assert.Equal(("power on", first.ReservedAt, ReservationMode.Exclusive, ReservationState.WaitingForFence),
            (revoked.Purpose, revoked.ReservedAt, revoked.Mode, revoked.State));
        await HeldByAsync(Nodes[0], dead, revoked.FencingToken, "power on");
        await ReleaseAsync(Nodes[0], dead, first.FencingToken);
        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Nodes[0], b));

        await ReleaseAsync(Nodes[0], dead, revoked.FencingToken);
        await GrantAsync(Nodes[0], b);
        Assert.False(await store.FinishFenceAsync(dead, fencer, Limit));
        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Nodes[1], b));
        revoked = await RevokeAsync(Nodes[1], dead, fencer);
        await ReleaseAsync(Nodes[1], dead, revoked.FencingToken);
        Assert.True(await store.FinishFenceAsync(dead, fencer, Limit));

        Assert.False(await store.FinishFenceAsync(dead, fencer, Limit));
        Assert.Empty(connection.ClaimForFence(fencer));
        Assert.Empty(await store.FindReservedByAsync(dead, Limit));
        Assert.Null(connection.Renew(dead, Lease));
        Assert.Equal(1, connection.Forget(TimeSpan.Zero));
    }

    [Fact]
    public async Task Each_revocation_draws_a_fresh_token_and_only_the_last_one_frees()
    {
        string dead = Register(requiresFence: true);
        string fencer = Register();
        await GrantAsync(Node, dead);
        await KillAsync(dead, fencer);
        connection.ClaimForFence(fencer);

        long first = (await RevokeAsync(Node, dead, fencer)).FencingToken;
        long second = (await RevokeAsync(Node, dead, fencer)).FencingToken;

        Assert.True(second > first);
        await ReleaseAsync(Node, dead, first);
        await HeldByAsync(Node, dead, second, "test");
        await ReleaseAsync(Node, dead, second);
        Assert.Null(await FindAsync(Node));
        Assert.Null(await store.RevokeAsync(Node, dead, fencer, Limit));
    }

    [Fact]
    public async Task Only_the_claimer_revokes_and_finishes()
    {
        string dead = Register(requiresFence: true);
        string fencer = Register();
        string other = Register();
        long token = (await GrantAsync(Node, dead)).FencingToken;
        Assert.Null(await store.RevokeAsync(Node, dead, fencer, Limit));
        await KillAsync(dead, fencer);
        Assert.Null(await store.RevokeAsync(Node, dead, fencer, Limit));
        Assert.False(await store.FinishFenceAsync(dead, fencer, Limit));
        connection.ClaimForFence(fencer);

        Assert.Null(await store.RevokeAsync(Node, dead, other, Limit));
        Assert.Null(await store.RevokeAsync(Nodes[1], dead, fencer, Limit));
        await HeldByAsync(Node, dead, token, "test");
        await ReleaseAsync(Node, dead, token);
        Assert.False(await store.FinishFenceAsync(dead, other, Limit));

        await KillAsync(fencer, other);
        Assert.Equal([dead], connection.ClaimForFence(other));
        Assert.False(await store.FinishFenceAsync(dead, fencer, Limit));
        Assert.True(await store.FinishFenceAsync(dead, other, Limit));
    }

    [Fact]
    public async Task A_claimer_that_is_dead_itself_revokes_nothing()
    {
        string dead = Register(requiresFence: true);
        string fencer = Register();
        string b = Register();
        long token = (await GrantAsync(Node, dead)).FencingToken;
        await KillAsync(dead, fencer);
        connection.ClaimForFence(fencer);
        await KillAsync(fencer, b);

        Assert.Null(await store.RevokeAsync(Node, dead, fencer, Limit));

        await HeldByAsync(Node, dead, token, "test");
    }

    [Fact]
    public async Task A_node_of_somebody_else_is_not_revoked()
    {
        string dead = Register(requiresFence: true);
        string fencer = Register();
        long stamp = (await ShareAsync(dead)).FencingToken;
        long token = (await GrantAsync(Nodes[1], fencer)).FencingToken;
        await KillAsync(dead, fencer);
        connection.ClaimForFence(fencer);

        Assert.Null(await store.RevokeAsync(Nodes[1], dead, fencer, Limit));
        Assert.Null(await store.RevokeAsync(Nodes[1], fencer, fencer, Limit));
        Assert.Null(await store.RevokeAsync(Node, dead, fencer, Limit));

        await HeldByAsync(Nodes[1], fencer, token, "test");
        await SharedByAsync((dead, stamp));
    }

    [Fact]
    public async Task When_the_fence_is_finished_the_shared_entries_count_no_more()
    {
        string dead = Register(requiresFence: true);
        string fencer = Register();
        await ShareAsync(dead);
        await GrantAsync(To(ReserveAction.Share, dead) with { NodeId = Nodes[1] });
        await KillAsync(dead, fencer);
        connection.ClaimForFence(fencer);
        Assert.Empty(await store.FindReservedByAsync(dead, Limit));

        Assert.True(await store.FinishFenceAsync(dead, fencer, Limit));

        Assert.Equal(ReservationState.Revoked, (await FindAsync(Node))?.State);
        Assert.Null((await GrantAsync(Node, fencer)).TakenOverFrom);
        Assert.Equal(1, connection.Sweep(10));
        Assert.Empty(connection.FindReservedBy(dead));
    }

    [Fact]
    public async Task A_stranger_that_requires_a_fence_is_buried_as_one_that_waits_for_it()
    {
        string stranger = Register();
        string fencer = Register();
        await GrantAsync(Node, stranger);
        await EraseConductorAsync(stranger);

        connection.Bury(stranger, requiresFence: true);

        Assert.Equal(ReservationState.WaitingForFence, (await FindAsync(Node))?.State);
        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Node, fencer));
        Assert.Equal(0, connection.Sweep(10));
        Assert.Equal([stranger], connection.ClaimForFence(fencer));
        await ReleaseAsync(Node, stranger, (await RevokeAsync(Node, stranger, fencer)).FencingToken);
        Assert.True(await store.FinishFenceAsync(stranger, fencer, Limit));
    }

    private async Task<Reservation> RevokeAsync(NodeId node, string dead, string fencer)
    {
        Reservation? revoked = await store.RevokeAsync(node, dead, fencer, Limit);
        Assert.NotNull(revoked);
        Assert.Equal(node, revoked.NodeId);
        Assert.Equal([dead], revoked.Holders);
        return revoked;
    }
}
