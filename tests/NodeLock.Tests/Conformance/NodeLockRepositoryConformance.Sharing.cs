using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>Those that share a node: beside whom they are, and beside whom never.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task A_node_is_shared_by_any_number()
    {
        string a = Register();
        string b = Register();

        ReserveAnswer.Granted first = await ShareAsync(a, purpose: "read");
        ReserveAnswer.Granted second = await ShareAsync(b, purpose: "list");

        Assert.Null(second.TakenOverFrom);
        Assert.Equal(TimeSpan.Zero, second.WriterWaits);
        await SharedByAsync((a, first.FencingToken), (b, second.FencingToken));
        Reservation found = Assert.Single(await store.ListAsync(CancellationToken.None));
        Assert.Equal((Node, ReservationMode.Shared, "list", second.ReservedAt, ReservationState.Held),
            (found.NodeId, found.Mode, found.Purpose, found.ReservedAt, found.State));
        Assert.Equal([a, b], found.Holders);
    }

    [Fact]
    public async Task Stamps_and_tokens_grow_together()
    {
        string a = Register();
        long[] drawn =
        [
            (await GrantAsync(Nodes[1], a)).FencingToken,
            (await ShareAsync(a)).FencingToken,
            (await GrantAsync(Nodes[2], a)).FencingToken,
        ];
        await ReleaseAsync(Node, a, drawn[1], ReservationMode.Shared);
        long last = (await GrantAsync(Node, a)).FencingToken;

        Assert.True(drawn[0] < drawn[1] && drawn[1] < drawn[2] && drawn[2] < last, string.Join(", ", drawn));
    }

    [Fact]
    public async Task A_writer_is_never_beside_a_reader()
    {
        string a = Register();
        string b = Register();
        ReserveAnswer.Granted share = await ShareAsync(a, purpose: "read");

        Reservation met = (await RefuseAsync(To(ReserveAction.Reserve, b))).Reservation;

        Assert.Equal((Node, ReservationMode.Shared, "read", share.ReservedAt, share.FencingToken),
            (met.NodeId, met.Mode, met.Purpose, met.ReservedAt, met.FencingToken));
        Assert.Equal([a], met.Holders);
        await SharedByAsync((a, share.FencingToken));
    }

    [Fact]
    public async Task A_reader_is_never_beside_a_writer()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        Reservation met = (await RefuseAsync(To(ReserveAction.Share, b))).Reservation;

        Assert.Equal((ReservationMode.Exclusive, token), (met.Mode, met.FencingToken));
        Assert.Equal([a], met.Holders);
        await HeldByAsync(Node, a, token, "test");
        Assert.Empty(connection.FindReservedBy(b));
    }

    [Fact]
    public async Task Of_many_that_ask_at_once_in_either_mode_one_writes_or_all_read()
    {
        ReserveRequest[] requests = [.. Enumerable.Range(0, 20).Select(i =>
            To(i % 2 == 0 ? ReserveAction.Reserve : ReserveAction.Share, Register()))];

        ReserveAnswer[] answers = await Task.WhenAll(requests.Select(r => Task.Run(() => AskAsync(r))));

        ReserveAction[] granted =
            [.. requests.Where((_, i) => answers[i] is ReserveAnswer.Granted).Select(r => r.Action)];
        if (granted.Contains(ReserveAction.Reserve)) Assert.Single(granted);
        else Assert.Equal(10, granted.Length);
    }

    [Fact]
    public async Task A_node_is_free_when_the_last_that_shares_it_has_released_it()
    {
        string a = Register();
        string b = Register();
        string writer = Register();
        long first = (await ShareAsync(a)).FencingToken;
        long second = (await ShareAsync(b)).FencingToken;

        await ReleaseAsync(Node, a, first, ReservationMode.Shared);
        await SharedByAsync((b, second));
        await RefuseAsync(To(ReserveAction.Reserve, writer));

        store.Release(b, new HeldNode(Node, second, ReservationMode.Shared), Limit);
        Assert.Null(await FindAsync(Node));
        await GrantAsync(Node, writer);
    }

    [Fact]
    public async Task A_shared_entry_is_released_by_exactly_its_stamp()
    {
        string a = Register();
        string b = Register();
        long old = (await ShareAsync(a)).FencingToken;
        long stamp = (await ShareAsync(a, known: old)).FencingToken;

        await ReleaseAsync(Node, a, old, ReservationMode.Shared);
        await ReleaseAsync(Node, a, 0, ReservationMode.Shared);
        await ReleaseAsync(Node, b, stamp, ReservationMode.Shared);
        await ReleaseAsync(Node, a, stamp, ReservationMode.Exclusive);
        await ReleaseAsync(Nodes[1], a, stamp, ReservationMode.Shared);
        store.Release(a, new HeldNode(Node, old, ReservationMode.Shared), Limit);
        connection.Release(a, [new HeldNode(Node, old, ReservationMode.Shared), new HeldNode(Node, stamp)]);

        await SharedByAsync((a, stamp));
        await RefuseAsync(To(ReserveAction.Reserve, b));
    }

    [Fact]
    public async Task A_release_of_a_shared_entry_does_not_touch_an_exclusive_reservation()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        await ReleaseAsync(Node, a, token, ReservationMode.Shared);

        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task Reservations_of_either_mode_are_released_at_once()
    {
        string a = Register();
        string b = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;
        long token = (await GrantAsync(Nodes[1], a)).FencingToken;

        Assert.Equal(2, connection.Release(a,
            [new(Node, mine, ReservationMode.Shared), new(Nodes[1], token), new(Node, others, ReservationMode.Shared)]));

        await SharedByAsync((b, others));
        Assert.Empty(connection.FindReservedBy(a));
    }

    [Fact]
    public async Task A_share_whose_reply_was_lost_is_answered_with_the_stamp_and_granted_when_it_is_named()
    {
        string a = Register();
        string b = Register();
        long lost = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;

        Assert.Equal(new ReserveAnswer.Unnamed(lost, ReservationMode.Shared), await AskAsync(To(ReserveAction.Share, a)));
        await SharedByAsync((a, lost), (b, others));
        ReserveAnswer.Granted granted = await ShareAsync(a, known: lost);

        Assert.True(granted.FencingToken > others);
        await SharedByAsync((b, others), (a, granted.FencingToken));
    }

    [Fact]
    public async Task A_share_over_ones_own_exclusive_reservation_must_name_it()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        Assert.Equal(new ReserveAnswer.Unnamed(token, ReservationMode.Exclusive),
            await AskAsync(To(ReserveAction.Share, a)));
        await HeldByAsync(Node, a, token, "test");

        ReserveAnswer.Granted share = await ShareAsync(a, known: token);

        Assert.Null(share.TakenOverFrom);
        Assert.True(share.FencingToken > token);
        await ReleaseAsync(Node, a, token);
        Assert.False(await store.BreakAsync(Node, token, Limit));
        long others = (await ShareAsync(b)).FencingToken;
        await SharedByAsync((a, share.FencingToken), (b, others));
    }

    [Fact]
    public async Task A_reserve_over_ones_own_shared_entry_must_name_it()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        Assert.Equal(new ReserveAnswer.Unnamed(stamp, ReservationMode.Shared),
            await AskAsync(To(ReserveAction.Reserve, a)));
        await SharedByAsync((a, stamp));

        long token = (await GrantAsync(Node, a, known: stamp)).FencingToken;

        await ReleaseAsync(Node, a, stamp, ReservationMode.Shared);
        await HeldByAsync(Node, a, token, "test");
        Assert.Equal([new HeldNode(Node, token)], connection.FindReservedBy(a));
    }

    [Fact]
    public async Task A_refused_reserve_drops_the_entry_it_named_and_no_other()
    {
        string a = Register();
        string b = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;

        Assert.Contains(b, (await RefuseAsync(To(ReserveAction.Reserve, a, known: mine))).Reservation.Holders);
        await SharedByAsync((b, others));
        Assert.Empty(connection.FindReservedBy(a));

        long later = (await ShareAsync(a)).FencingToken;
        Assert.Equal(new ReserveAnswer.Unnamed(later, ReservationMode.Shared),
            await AskAsync(To(ReserveAction.Reserve, a, known: mine)));
        await SharedByAsync((b, others), (a, later));
    }

    [Theory]
    [InlineData(ReserveAction.Reserve)]
    [InlineData(ReserveAction.Share)]
    public async Task What_names_something_that_is_gone_is_a_fresh_request(ReserveAction action)
    {
        string a = Register();
        long gone = (await ShareAsync(a)).FencingToken;
        await ReleaseAsync(Node, a, gone, ReservationMode.Shared);

        Assert.True((await GrantAsync(To(action, a, known: gone))).FencingToken > gone);
    }

    [Fact]
    public async Task A_conductor_that_is_not_alive_shares_nothing()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await RunOutAsync(a);

        foreach (ReserveAction action in Enum.GetValues<ReserveAction>())
            Assert.IsType<ReserveAnswer.ConductorNotAlive>(await AskAsync(To(action, a, known: stamp)));
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await AskAsync(To(ReserveAction.Share, "conductor/unknown")));

        await SharedByAsync((a, stamp));
    }

    [Fact]
    public async Task A_node_that_does_not_exist_is_not_shared()
    {
        string a = Register();
        if (Missing is { } missing)
        {
            Assert.IsType<ReserveAnswer.NodeNotFound>(
                await AskAsync(To(ReserveAction.Share, a) with { NodeId = missing }));
        }

        Assert.Empty(connection.FindReservedBy(a));
    }

    [Fact]
    public async Task What_is_lost_is_found_exactly_in_either_mode()
    {
        string a = Register();
        string b = Register();
        long shared = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;
        long exclusive = (await GrantAsync(Nodes[1], a)).FencingToken;

        HeldNode[] lost = [new(Node, shared), new(Node, others, ReservationMode.Shared), new(Node, others),
            new(Nodes[2], shared, ReservationMode.Shared)];
        IReadOnlyList<HeldNode> found = connection.FindLost(a,
            [new HeldNode(Node, shared, ReservationMode.Shared), new HeldNode(Nodes[1], exclusive), .. lost]);

        Assert.Equal(lost.ToHashSet(), found.ToHashSet());
        Assert.Equal(lost.Length, found.Count);
        Assert.Equal([new HeldNode(Node, shared, ReservationMode.Shared), new HeldNode(Nodes[1], exclusive)],
            connection.FindReservedBy(a).OrderBy(h => h.FencingToken));
    }
}
