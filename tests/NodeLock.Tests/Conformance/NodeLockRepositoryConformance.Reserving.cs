using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>Who gets a node, and what those are told who do not.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task A_free_node_is_granted()
    {
        string a = Register();

        ReserveAnswer.Granted granted = await GrantAsync(Node, a, purpose: "power on");

        Assert.Null(granted.TakenOverFrom);
        Reservation? found = await FindAsync(Node);
        Assert.NotNull(found);
        Assert.Equal(Node, found.NodeId);
        Assert.Equal(ReservationMode.Exclusive, found.Mode);
        Assert.Equal([a], found.Holders);
        Assert.Equal("power on", found.Purpose);
        Assert.Equal(granted.FencingToken, found.FencingToken);
        Assert.Equal(granted.ReservedAt, found.ReservedAt);
        Assert.Equal(ReservationState.Held, found.State);
    }

    [Fact]
    public async Task Tokens_grow_over_all_nodes()
    {
        string a = Register();
        string b = Register();

        long first = (await GrantAsync(Nodes[0], a)).FencingToken;
        long second = (await GrantAsync(Nodes[1], b)).FencingToken;
        long third = (await GrantAsync(Nodes[2], a)).FencingToken;

        Assert.True(0 < first && first < second && second < third, $"{first}, {second}, {third}");
    }

    [Fact]
    public async Task A_release_does_not_reset_the_token()
    {
        string a = Register();
        long last = 0;
        for (int i = 0; i < 5; i++)
        {
            long token = (await GrantAsync(Node, a)).FencingToken;
            Assert.True(token > last, $"{token} after {last}");
            last = token;
            await ReleaseAsync(Node, a, token);
        }
    }

    [Fact]
    public async Task A_held_node_is_refused_with_the_facts()
    {
        string a = Register();
        string b = Register();
        ReserveAnswer.Granted granted = await GrantAsync(Node, a, purpose: "power on");

        Reservation met = Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Node, b)).Reservation;

        Assert.Equal(Node, met.NodeId);
        Assert.Equal([a], met.Holders);
        Assert.Equal("power on", met.Purpose);
        Assert.Equal(granted.FencingToken, met.FencingToken);
        Assert.Equal(granted.ReservedAt, met.ReservedAt);
        Assert.Equal(ReservationState.Held, met.State);
        await HeldByAsync(Node, a, granted.FencingToken, "power on");
    }

    [Fact]
    public async Task Knowing_the_token_of_another_conductor_gives_no_right_to_its_node()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Node, b, known: token));

        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task Ones_own_name_with_a_token_not_named_is_answered_with_the_token()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a, purpose: "lost")).FencingToken;

        ReserveAnswer answer = await ReserveAsync(Node, a, purpose: "again");

        Assert.Equal(new ReserveAnswer.Unnamed(token, ReservationMode.Exclusive), answer);
        await HeldByAsync(Node, a, token, "lost");
    }

    [Fact]
    public async Task Ones_own_reservation_named_by_its_token_is_granted_anew_for_the_new_purpose()
    {
        string a = Register();
        long old = (await GrantAsync(Node, a, purpose: "power on")).FencingToken;

        ReserveAnswer.Granted granted = await GrantAsync(Node, a, known: old, purpose: "power off");

        Assert.True(granted.FencingToken > old);
        Assert.Null(granted.TakenOverFrom);
        await HeldByAsync(Node, a, granted.FencingToken, "power off");
    }

    [Fact]
    public async Task A_late_copy_of_an_earlier_reserve_takes_nothing_from_the_later_reservation()
    {
        string a = Register();
        long first = (await GrantAsync(Node, a, purpose: "first")).FencingToken;
        long second = (await GrantAsync(Node, a, known: first, purpose: "second")).FencingToken;

        ReserveAnswer.Unnamed unnamed = new(second, ReservationMode.Exclusive);
        Assert.Equal(unnamed, await ReserveAsync(Node, a, known: 0, purpose: "first"));
        Assert.Equal(unnamed, await ReserveAsync(Node, a, known: first, purpose: "second"));

        await HeldByAsync(Node, a, second, "second");
    }

    [Fact]
    public async Task A_conductor_that_is_not_registered_gets_nothing()
    {
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await ReserveAsync(Node, "conductor/unknown"));

        Assert.Null(await FindAsync(Node));
        Assert.Empty(connection.FindReservedBy("conductor/unknown"));
    }

    [Fact]
    public async Task A_conductor_whose_lease_is_over_gets_nothing_until_it_renews()
    {
        string a = Register();
        await RunOutAsync(a);

        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await ReserveAsync(Node, a));
        Assert.Null(await FindAsync(Node));

        Assert.NotNull(connection.Renew(a, Lease));
        await GrantAsync(Node, a);
    }

    [Fact]
    public async Task A_conductor_whose_lease_is_over_does_not_get_its_own_reservation_anew()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a, purpose: "before")).FencingToken;
        await RunOutAsync(a);

        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await ReserveAsync(Node, a, known: token, purpose: "after"));

        await HeldByAsync(Node, a, token, "before");
    }

    [Fact]
    public async Task A_lease_that_is_over_frees_no_node_before_its_conductor_is_declared_dead()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await RunOutAsync(a);

        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Node, b));

        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task Of_many_that_ask_at_once_one_is_granted_and_the_others_are_told_who()
    {
        string[] holders = [.. Enumerable.Range(0, 20).Select(_ => Register())];

        ReserveAnswer[] answers = await Task.WhenAll(holders.Select(h => Task.Run(() => ReserveAsync(Node, h))));

        int winner = Array.FindIndex(answers, a => a is ReserveAnswer.Granted);
        Assert.Single(answers.OfType<ReserveAnswer.Granted>());
        Assert.All(answers.Where((_, i) => i != winner), a => Assert.Equal([holders[winner]],
            Assert.IsType<ReserveAnswer.Taken>(a).Reservation.Holders));
    }

    [Fact]
    public async Task Of_a_node_that_does_not_exist_nothing_is_written()
    {
        string a = Register();
        if (Missing is not { } missing)
        {
            await GrantAsync(new NodeId("never heard of"), a);
            return;
        }

        Assert.IsType<ReserveAnswer.NodeNotFound>(await ReserveAsync(missing, a));
        NodeNotFoundException e = await Assert.ThrowsAsync<NodeNotFoundException>(() => FindAsync(missing));
        Assert.Equal(missing, e.NodeId);
        Assert.Empty(connection.FindReservedBy(a));
        Assert.Empty(await store.ListAsync(CancellationToken.None));
    }
}
