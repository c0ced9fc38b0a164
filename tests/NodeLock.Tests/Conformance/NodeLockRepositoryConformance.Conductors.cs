using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>Conductors: how they live, die and leave, and what becomes of their nodes.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public void A_holder_registers_once()
    {
        string a = Register();

        Assert.False(connection.Register(new ConductorEntry(a, "conductor", "there", 2, Lease, RequiresFence: false)));
    }

    [Fact]
    public void A_renewal_answers_with_the_clock_of_the_store()
    {
        string a = Register();

        DateTimeOffset? first = connection.Renew(a, Lease);
        DateTimeOffset? second = connection.Renew(a, Lease);

        Assert.NotNull(first);
        Assert.True(second >= first);
    }

    [Fact]
    public void A_conductor_that_is_not_registered_cannot_renew() =>
        Assert.Null(connection.Renew("conductor/unknown", Lease));

    [Fact]
    public async Task Nobody_declares_itself_dead_nor_one_whose_lease_runs()
    {
        string a = Register();
        string b = Register();
        await RunOutAsync(a);

        Assert.Empty(connection.DeclareDead(a, DateTimeOffset.MaxValue));
        Assert.NotNull(connection.Renew(a, Lease));
        Assert.NotNull(connection.Renew(b, Lease));
        Assert.Empty(connection.DeclareDead(b, DateTimeOffset.MaxValue));
    }

    [Fact]
    public async Task Nobody_is_declared_dead_by_a_clock_that_jumped()
    {
        string a = Register();
        string b = Register();
        await RunOutAsync(a);

        Assert.Empty(connection.DeclareDead(b, DateTimeOffset.UnixEpoch));
        Assert.NotNull(connection.Renew(a, Lease));
    }

    [Fact]
    public async Task A_death_is_reported_once_and_is_final()
    {
        string a = Register();
        string b = Register();
        await RunOutAsync(a);

        Assert.Equal([a], connection.DeclareDead(b, DateTimeOffset.MaxValue));

        Assert.Empty(connection.DeclareDead(b, DateTimeOffset.MaxValue));
        Assert.Null(connection.Renew(a, Lease));
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await ReserveAsync(Node, a));
        Assert.False(connection.Register(new ConductorEntry(a, "conductor", "here", 1, Lease, RequiresFence: false)));
    }

    [Fact]
    public async Task The_next_reserve_takes_over_from_a_dead_conductor_and_says_from_whom()
    {
        string a = Register();
        string b = Register();
        long old = (await GrantAsync(Node, a)).FencingToken;
        await KillAsync(a, b);
        Assert.Equal(ReservationState.Revoked, (await FindAsync(Node))?.State);

        ReserveAnswer.Granted granted = await GrantAsync(Node, b, purpose: "take over");

        Assert.Equal(a, granted.TakenOverFrom);
        Assert.True(granted.FencingToken > old);
        await ReleaseAsync(Node, a, old);
        await HeldByAsync(Node, b, granted.FencingToken, "take over");
        Assert.Equal([new HeldNode(Node, old)], connection.FindLost(a, [new HeldNode(Node, old)]));
    }

    [Fact]
    public async Task A_sweep_frees_what_the_dead_hold_and_nothing_else_a_batch_at_a_time()
    {
        string a = Register();
        string b = Register();
        await GrantAsync(Nodes[0], a);
        await GrantAsync(Nodes[1], a);
        long kept = (await GrantAsync(Nodes[2], b)).FencingToken;
        Assert.Equal(0, connection.Sweep(10));
        await KillAsync(a, b);

        Assert.Equal(1, connection.Sweep(1));
        Assert.Single(connection.FindReservedBy(a));
        Assert.Equal(1, connection.Sweep(10));
        Assert.Equal(0, connection.Sweep(10));

        Assert.Null(await FindAsync(Nodes[0]));
        Assert.Null(await FindAsync(Nodes[1]));
        await HeldByAsync(Nodes[2], b, kept, "test");
    }

    [Fact]
    public async Task A_sweep_ends_the_old_token_for_good()
    {
        string a = Register();
        string b = Register();
        long old = (await GrantAsync(Node, a)).FencingToken;
        await KillAsync(a, b);
        connection.Sweep(10);

        ReserveAnswer.Granted next = await GrantAsync(Node, b);
        Assert.Null(next.TakenOverFrom);
        Assert.True(next.FencingToken > old);
        await ReleaseAsync(Node, a, old);
        await ReleaseAsync(Node, b, old);

        await HeldByAsync(Node, b, next.FencingToken, "test");
    }

    [Fact]
    public async Task A_conductor_leaves_only_when_no_node_carries_its_name()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        Assert.False(connection.Leave(a));
        Assert.NotNull(connection.Renew(a, Lease));
        await HeldByAsync(Node, a, token, "test");

        await ReleaseAsync(Node, a, token);
        Assert.True(connection.Leave(a));
    }

    [Fact]
    public async Task A_conductor_that_has_left_is_over()
    {
        string a = Register();
        string b = Register();
        Assert.True(connection.Leave(a));

        Assert.Null(connection.Renew(a, Lease));
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await ReserveAsync(Node, a));
        Assert.Null(await FindAsync(Node));
        Assert.DoesNotContain(a, connection.DeclareDead(b, DateTimeOffset.MaxValue));
    }

    [Fact]
    public async Task A_holder_without_an_entry_is_a_stranger_and_keeps_its_nodes_until_it_is_buried()
    {
        string a = Register();
        string b = Register();
        await GrantAsync(Nodes[0], a);
        await GrantAsync(Nodes[1], a);
        Assert.Empty(connection.FindStrangers());
        await EraseConductorAsync(a);

        Assert.Equal([a], connection.FindStrangers());
        Assert.Equal(0, connection.Sweep(10));
        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Nodes[0], b));

        connection.Bury(a, requiresFence: false);
        Assert.Empty(connection.FindStrangers());
        Assert.Null(connection.Renew(a, Lease));
        Assert.Equal(a, (await GrantAsync(Nodes[0], b)).TakenOverFrom);
        Assert.Equal(1, connection.Sweep(10));
    }

    [Fact]
    public async Task The_burial_of_one_that_has_an_entry_changes_nothing()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        connection.Bury(a, requiresFence: false);

        Assert.NotNull(connection.Renew(a, Lease));
        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Node, b));
        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task Only_entries_that_ended_long_ago_and_that_no_node_names_are_forgotten()
    {
        string named = Register();
        string dead = Register();
        string alive = Register();
        string overdue = Register();
        await GrantAsync(Node, named);
        await KillAsync(named, alive);
        await KillAsync(dead, alive);
        await RunOutAsync(overdue);

        Assert.Equal(0, connection.Forget(TimeSpan.FromDays(7)));
        Assert.Equal(1, connection.Forget(TimeSpan.Zero));

        Assert.NotNull(connection.Renew(alive, Lease));
        Assert.NotNull(connection.Renew(overdue, Lease));
        Assert.Empty(connection.FindStrangers());
        connection.Sweep(10);
        Assert.Equal(1, connection.Forget(TimeSpan.Zero));
    }

    [Fact]
    public async Task A_new_connection_to_the_store_sees_the_same()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        using IConductorStore another = store.Connect(Limit);

        Assert.NotNull(another.Renew(a, Lease));
        Assert.Equal([new HeldNode(Node, token)], another.FindReservedBy(a));
    }
}
