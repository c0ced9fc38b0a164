using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>What becomes of shared entries when their conductors end.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task Those_that_share_and_have_ended_are_in_no_writers_way()
    {
        string a = Register();
        string b = Register();
        HeldNode entry = new(Node, (await ShareAsync(a)).FencingToken, ReservationMode.Shared);
        await KillAsync(a, b);
        Reservation? found = await FindAsync(Node);
        Assert.Equal((ReservationMode.Shared, ReservationState.Revoked), (found?.Mode, found?.State));
        Assert.Equal([a], found?.Holders);

        ReserveAnswer.Granted granted = await GrantAsync(Node, b);

        Assert.Null(granted.TakenOverFrom);
        Assert.True(granted.FencingToken > entry.FencingToken);
        Assert.Equal([entry], connection.FindLost(a, [entry]));
        await HeldByAsync(Node, b, granted.FencingToken, "test");
    }

    [Fact]
    public async Task Those_that_have_ended_are_not_listed_beside_one_that_lives_and_a_share_drops_them()
    {
        string a = Register();
        string b = Register();
        string c = Register();
        long kept = (await ShareAsync(b)).FencingToken;
        await ShareAsync(a);
        await KillAsync(a, b);

        await SharedByAsync((b, kept));
        Assert.Equal(ReservationState.Held, (await FindAsync(Node))?.State);
        Assert.Single(connection.FindReservedBy(a));
        long last = (await ShareAsync(c)).FencingToken;

        Assert.Empty(connection.FindReservedBy(a));
        await SharedByAsync((b, kept), (c, last));
    }

    [Fact]
    public async Task One_that_shares_and_whose_lease_is_over_is_in_a_writers_way_until_it_is_declared_dead()
    {
        string a = Register();
        string b = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await RunOutAsync(a);

        await RefuseAsync(Request(Node, b));

        await SharedByAsync((a, stamp));
    }

    [Fact]
    public async Task A_share_takes_over_from_a_dead_writer_and_makes_its_token_worthless()
    {
        string a = Register();
        string b = Register();
        long old = (await GrantAsync(Node, a)).FencingToken;
        await KillAsync(a, b);

        ReserveAnswer.Granted granted = await ShareAsync(b);

        Assert.Equal(a, granted.TakenOverFrom);
        await ReleaseAsync(Node, a, old);
        Assert.False(await store.BreakAsync(Node, old, Limit));
        Assert.Equal([new HeldNode(Node, old)], connection.FindLost(a, [new HeldNode(Node, old)]));
        await SharedByAsync((b, granted.FencingToken));
    }

    [Fact]
    public async Task A_sweep_drops_the_entries_of_the_dead_a_batch_at_a_time_and_no_others()
    {
        string a = Register();
        string b = Register();
        await ShareAsync(a);
        long kept = (await ShareAsync(b)).FencingToken;
        await GrantAsync(To(ReserveAction.Share, a) with { NodeId = Nodes[1] });
        await GrantAsync(Nodes[2], a);
        await KillAsync(a, b);

        Assert.Equal(2, connection.Sweep(2));
        Assert.Equal(1, connection.Sweep(2));
        Assert.Equal(0, connection.Sweep(2));

        Assert.Empty(connection.FindReservedBy(a));
        Assert.Null(await FindAsync(Nodes[1]));
        await SharedByAsync((b, kept));
    }

    [Fact]
    public async Task A_conductor_that_shares_a_node_cannot_leave()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;

        Assert.False(connection.Leave(a));
        Assert.NotNull(connection.Renew(a, Lease));

        await ReleaseAsync(Node, a, stamp, ReservationMode.Shared);
        Assert.True(connection.Leave(a));
    }

    [Fact]
    public async Task Only_one_that_is_alive_can_leave()
    {
        string a = Register();
        string waits = Register(requiresFence: true);
        string b = Register();
        await KillAsync(a, b);
        await KillAsync(waits, b);

        Assert.False(connection.Leave(a));
        Assert.False(connection.Leave(waits));
        Assert.False(connection.Leave("conductor/unknown"));
        Assert.True(connection.Leave(b));
        Assert.False(connection.Leave(b));
    }

    [Fact]
    public async Task A_stranger_that_shares_keeps_its_entry_until_it_is_buried()
    {
        string a = Register();
        string b = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await EraseConductorAsync(a);

        Assert.Equal([a], connection.FindStrangers());
        await SharedByAsync((a, stamp));
        Assert.Equal(ReservationState.Held, (await FindAsync(Node))?.State);
        await RefuseAsync(Request(Node, b));

        connection.Bury(a, requiresFence: false);
        Assert.Empty(connection.FindStrangers());
        await GrantAsync(Node, b);
    }

    [Fact]
    public async Task One_that_an_entry_names_is_not_forgotten()
    {
        string a = Register();
        string b = Register();
        await ShareAsync(a);
        await KillAsync(a, b);

        Assert.Equal(0, connection.Forget(TimeSpan.Zero));
        Assert.Equal(1, connection.Sweep(10));
        Assert.Equal(1, connection.Forget(TimeSpan.Zero));
    }
}
