using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>Several nodes in one step: each by itself, or all or none; and several releases.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Theory]
    [InlineData(Atomicity.Each)]
    [InlineData(Atomicity.AllOrNone)]
    public async Task Many_that_are_free_are_granted_with_tokens_of_their_own(Atomicity atomicity)
    {
        string a = Register();

        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(atomicity,
            Request(Nodes[2], a, purpose: "third"), Request(Nodes[0], a, purpose: "first"));

        long[] tokens = [.. answers.Select(x => Assert.IsType<ReserveAnswer.Granted>(x).FencingToken)];
        Assert.Equal(2, tokens.Distinct().Count());
        await HeldByAsync(Nodes[2], a, tokens[0], "third");
        await HeldByAsync(Nodes[0], a, tokens[1], "first");
        Assert.True((await GrantAsync(Nodes[1], a)).FencingToken > tokens.Max());
    }

    [Fact]
    public async Task Of_many_each_that_is_free_is_granted_and_of_the_others_it_is_told_who()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Nodes[1], b, purpose: "other")).FencingToken;

        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(Atomicity.Each, ForAll(a));

        Reservation met = Assert.IsType<ReserveAnswer.Taken>(answers[1]).Reservation;
        Assert.Equal((Nodes[1], "other", token), (met.NodeId, met.Purpose, met.FencingToken));
        Assert.Equal([b], met.Holders);
        await HeldByAsync(Nodes[0], a, Assert.IsType<ReserveAnswer.Granted>(answers[0]).FencingToken, "test");
        await HeldByAsync(Nodes[2], a, Assert.IsType<ReserveAnswer.Granted>(answers[2]).FencingToken, "test");
        await HeldByAsync(Nodes[1], b, token, "other");
    }

    [Fact]
    public async Task Of_many_none_is_granted_when_all_or_none_are_asked_for_and_one_is_taken()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Nodes[1], b)).FencingToken;

        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(Atomicity.AllOrNone, ForAll(a));

        Assert.IsType<ReserveAnswer.Withheld>(answers[0]);
        Assert.Equal([b], Assert.IsType<ReserveAnswer.Taken>(answers[1]).Reservation.Holders);
        Assert.IsType<ReserveAnswer.Withheld>(answers[2]);
        Assert.Empty(connection.FindReservedBy(a));
        await HeldByAsync(Nodes[1], b, token, "test");
    }

    [Theory]
    [InlineData(Atomicity.Each)]
    [InlineData(Atomicity.AllOrNone)]
    public async Task Of_many_one_that_does_not_exist_is_told(Atomicity atomicity)
    {
        string a = Register();
        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(atomicity,
            Request(Nodes[0], a), Request(Missing ?? new NodeId("never heard of"), a));

        if (Missing is not null)
        {
            Assert.IsType<ReserveAnswer.NodeNotFound>(answers[1]);
            if (atomicity == Atomicity.AllOrNone) Assert.IsType<ReserveAnswer.Withheld>(answers[0]);
        }

        Assert.Equal(answers.OfType<ReserveAnswer.Granted>().Select(g => g.FencingToken).Order(),
            connection.FindReservedBy(a).Select(h => h.FencingToken).Order());
        Assert.Equal(Missing is null ? 2 : atomicity == Atomicity.Each ? 1 : 0, connection.FindReservedBy(a).Count);
    }

    [Fact]
    public async Task A_late_copy_of_many_changes_nothing_and_what_it_had_is_granted_when_it_is_named()
    {
        string a = Register();
        ReserveRequest[] requests = ForAll(a);
        IReadOnlyList<ReserveAnswer> lost = await AskManyAsync(Atomicity.AllOrNone, requests);
        long[] tokens = [.. lost.Cast<ReserveAnswer.Granted>().Select(g => g.FencingToken)];

        foreach (Atomicity atomicity in Enum.GetValues<Atomicity>())
        {
            Assert.Equal(tokens.Select(t => new ReserveAnswer.Unnamed(t, ReservationMode.Exclusive)),
                await AskManyAsync(atomicity, requests));
        }

        Assert.Empty(connection.FindLost(a, [.. tokens.Select((t, i) => new HeldNode(Nodes[i], t))]));
        IReadOnlyList<ReserveAnswer> named = await AskManyAsync(Atomicity.AllOrNone,
            [.. requests.Select((r, i) => r with { KnownToken = tokens[i] })]);
        Assert.All(named, x => Assert.True(Assert.IsType<ReserveAnswer.Granted>(x).FencingToken > tokens.Max()));
    }

    [Fact]
    public async Task What_one_of_many_has_unnamed_keeps_all_from_being_granted()
    {
        string a = Register();
        long token = (await GrantAsync(Nodes[0], a)).FencingToken;
        ReserveRequest[] requests = ForAll(a);

        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(Atomicity.AllOrNone, requests);

        Assert.Equal([new ReserveAnswer.Unnamed(token, ReservationMode.Exclusive), new ReserveAnswer.Withheld(),
            new ReserveAnswer.Withheld()], answers);
        Assert.Equal([new HeldNode(Nodes[0], token)], connection.FindReservedBy(a));
    }

    [Fact]
    public async Task What_is_withheld_stays_as_it_was()
    {
        string a = Register();
        long token = (await GrantAsync(Nodes[1], a, purpose: "before")).FencingToken;
        long stamp = (await ShareAsync(a)).FencingToken;
        await GrantAsync(Nodes[2], Register());

        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(Atomicity.AllOrNone, Request(Nodes[0], a, stamp),
            Request(Nodes[1], a, token, "after") with { NextAttempt = Interval }, Request(Nodes[2], a));

        Assert.IsType<ReserveAnswer.Withheld>(answers[0]);
        Assert.IsType<ReserveAnswer.Withheld>(answers[1]);
        await SharedByAsync((a, stamp));
        await HeldByAsync(Nodes[1], a, token, "before");
    }

    [Theory]
    [InlineData(Atomicity.Each)]
    [InlineData(Atomicity.AllOrNone)]
    public async Task One_of_many_that_is_taken_leaves_a_wish_and_drops_the_entry_it_named(Atomicity atomicity)
    {
        string a = Register();
        string b = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;

        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(atomicity,
            Request(Nodes[0], a, mine) with { NextAttempt = Interval }, Request(Nodes[1], a));

        Assert.Contains(b, Assert.IsType<ReserveAnswer.Taken>(answers[0]).Reservation.Holders);
        await SharedByAsync((b, others));
        Assert.DoesNotContain(connection.FindReservedBy(a), h => h.NodeId == Node);
        await RefuseAsync(To(ReserveAction.Share, Register()));
    }

    [Fact]
    public async Task Many_are_taken_over_from_the_dead()
    {
        string a = Register();
        string b = Register();
        await GrantAsync(Nodes[0], a);
        await GrantAsync(To(ReserveAction.Share, a) with { NodeId = Nodes[1] });
        await KillAsync(a, b);

        IReadOnlyList<ReserveAnswer> answers = await AskManyAsync(Atomicity.AllOrNone, ForAll(b));

        Assert.Equal([a, null, null], answers.Select(x => Assert.IsType<ReserveAnswer.Granted>(x).TakenOverFrom));
        Assert.Empty(connection.FindReservedBy(a));
    }

    [Theory]
    [InlineData(Atomicity.Each)]
    [InlineData(Atomicity.AllOrNone)]
    public async Task A_conductor_that_is_not_alive_gets_none_of_many(Atomicity atomicity)
    {
        string a = Register();
        await RunOutAsync(a);

        Assert.All(await AskManyAsync(atomicity, ForAll(a)), x => Assert.IsType<ReserveAnswer.ConductorNotAlive>(x));

        Assert.Empty(connection.FindReservedBy(a));
    }

    [Fact]
    public async Task Of_several_that_ask_for_all_or_none_at_once_no_two_get_any()
    {
        string[] holders = [.. Enumerable.Range(0, 10).Select(_ => Register())];

        IReadOnlyList<ReserveAnswer>[] answers = await Task.WhenAll(holders.Select((h, i) => Task.Run(() =>
            AskManyAsync(Atomicity.AllOrNone, i % 2 == 0 ? ForAll(h) : [.. ForAll(h).Reverse()]))));

        int[] granted = [.. answers.Select(x => x.OfType<ReserveAnswer.Granted>().Count())];
        Assert.All(granted, count => Assert.True(count is 0 or 3, $"{count} granted"));
        Assert.True(granted.Sum() <= 3, string.Join(", ", granted));
        Assert.Equal(granted, holders.Select(h => connection.FindReservedBy(h).Count));
    }

    [Fact]
    public async Task Many_are_given_back_by_exactly_their_tokens_and_told()
    {
        string a = Register();
        string b = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;
        long second = (await GrantAsync(Nodes[1], a)).FencingToken;
        long third = (await GrantAsync(Nodes[2], a)).FencingToken;
        HeldNode[] given = [new(Node, mine, ReservationMode.Shared), new(Nodes[1], second)];

        IReadOnlyList<HeldNode> released =
            await store.ReleaseManyAsync(a, [.. given, new HeldNode(Nodes[2], third - 1)], Limit);

        Assert.Equal(given.ToHashSet(), released.ToHashSet());
        Assert.Equal(2, released.Count);
        Assert.Empty(await store.ReleaseManyAsync(a, given, Limit));
        Assert.Empty(await store.ReleaseManyAsync(
            a, [new(Node, others, ReservationMode.Shared), new(Nodes[2], third, ReservationMode.Shared)], Limit));
        await SharedByAsync((b, others));
        Assert.Null(await FindAsync(Nodes[1]));
        await HeldByAsync(Nodes[2], a, third, "test");
    }

    private ReserveRequest[] ForAll(string holder) => [.. Nodes.Take(3).Select(n => Request(n, holder))];

    private async Task<IReadOnlyList<ReserveAnswer>> AskManyAsync(
        Atomicity atomicity, params ReserveRequest[] requests) =>
        await store.ReserveManyAsync(requests, atomicity, Limit);
}
