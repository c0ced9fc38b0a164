using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>A shared entry that becomes exclusive, and an exclusive reservation that becomes shared.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task An_upgrade_of_the_only_one_that_shares_is_granted()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;

        ReserveAnswer.Granted granted = await GrantAsync(To(ReserveAction.Upgrade, a, known: stamp, purpose: "write"));

        Assert.Null(granted.TakenOverFrom);
        Assert.True(granted.FencingToken > stamp);
        await ReleaseAsync(Node, a, stamp, ReservationMode.Shared);
        await HeldByAsync(Node, a, granted.FencingToken, "write");
        Assert.Equal([new HeldNode(Node, granted.FencingToken)], connection.FindReservedBy(a));
    }

    [Fact]
    public async Task An_upgrade_beside_others_is_refused_keeps_its_entry_and_leaves_a_wish()
    {
        string a = Register();
        string b = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;
        ReserveRequest upgrade = To(ReserveAction.Upgrade, a, known: mine) with { NextAttempt = Interval };

        ReserveAnswer.Taken refused = await RefuseAsync(upgrade);

        Assert.Contains(b, refused.Reservation.Holders);
        Assert.Equal(TimeSpan.Zero, refused.WriterWaits);
        Assert.NotNull(refused.Wish);
        await SharedByAsync((a, mine), (b, others));
        await RefuseAsync(To(ReserveAction.Share, Register()));

        await ReleaseAsync(Node, b, others, ReservationMode.Shared);
        long token = (await GrantAsync(upgrade with { Wish = refused.Wish })).FencingToken;
        await ReleaseAsync(Node, a, token);
        Assert.Equal(TimeSpan.Zero, (await ShareAsync(b)).WriterWaits);
    }

    [Fact]
    public async Task An_upgrade_that_will_not_ask_again_leaves_no_wish()
    {
        string a = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        await ShareAsync(Register());

        ReserveAnswer.Taken refused = await RefuseAsync(To(ReserveAction.Upgrade, a, known: mine));

        Assert.Null(refused.Wish);
        Assert.Equal(TimeSpan.Zero, refused.WriterWaits);
        Assert.Equal(TimeSpan.Zero, (await ShareAsync(Register())).WriterWaits);
    }

    [Fact]
    public async Task A_wish_is_put_off_only_when_it_does_not_outlast_the_next_attempt()
    {
        string a = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        await ShareAsync(Register());
        ReserveRequest upgrade = To(ReserveAction.Upgrade, a, known: mine) with { NextAttempt = Interval };
        DateTimeOffset? first = (await RefuseAsync(upgrade)).Wish;

        upgrade = upgrade with { Wish = first };
        Assert.Equal(first, (await RefuseAsync(upgrade)).Wish);
        Assert.Equal(first, (await RefuseAsync(upgrade with { NextAttempt = TimeSpan.Zero })).Wish);
        Assert.Equal(first, (await RefuseAsync(upgrade with { NextAttempt = Interval / 4 })).Wish);
        DateTimeOffset? second = (await RefuseAsync(upgrade with { NextAttempt = 3 * Interval })).Wish;

        Assert.True(second > first, $"{second} after {first}");
    }

    [Fact]
    public async Task Of_two_upgrades_the_second_is_refused_and_writes_nothing()
    {
        string a = Register();
        string b = Register();
        long first = (await ShareAsync(a)).FencingToken;
        long second = (await ShareAsync(b)).FencingToken;
        ReserveRequest upgrade = To(ReserveAction.Upgrade, a, known: first) with { NextAttempt = Interval };
        DateTimeOffset? wish = (await RefuseAsync(upgrade)).Wish;

        ReserveAnswer.Taken refused = await RefuseAsync(
            To(ReserveAction.Upgrade, b, known: second) with { NextAttempt = 3 * Interval });

        Assert.InRange(refused.WriterWaits, Interval, 2 * Interval);
        await SharedByAsync((a, first), (b, second));
        ReserveAnswer.Taken again = await RefuseAsync(upgrade with { Wish = wish });
        Assert.Equal((wish, TimeSpan.Zero), (again.Wish, again.WriterWaits));
    }

    [Fact]
    public async Task An_upgrade_is_refused_when_its_own_wish_is_over_and_another_writers_stands()
    {
        string a = Register();
        TimeSpan interval = TimeSpan.FromMilliseconds(1);
        long mine = (await ShareAsync(a)).FencingToken;
        await ShareAsync(Register());
        ReserveRequest upgrade = To(ReserveAction.Upgrade, a, known: mine) with { NextAttempt = interval };
        DateTimeOffset? first = (await RefuseAsync(upgrade)).Wish;
        await UntilAsync(connection.Renew(a, Lease)!.Value + (2 * interval));

        ReserveAnswer.Taken over = await RefuseAsync(upgrade);
        Assert.True(over.Wish > first);
        Assert.Equal(TimeSpan.Zero, over.WriterWaits);
        await WishAsync(Register());

        Assert.InRange((await RefuseAsync(upgrade with { Wish = over.Wish })).WriterWaits, Interval, 2 * Interval);
    }

    [Fact]
    public async Task An_upgrade_that_is_free_is_granted_though_another_writer_waits()
    {
        string a = Register();
        string gone = Register();
        long mine = (await ShareAsync(a)).FencingToken;
        await ShareAsync(gone);
        await WishAsync(Register());
        await KillAsync(gone, a);

        Assert.Null((await GrantAsync(To(ReserveAction.Upgrade, a, known: mine))).TakenOverFrom);
        Assert.Empty(connection.FindReservedBy(gone));
    }

    [Fact]
    public async Task An_upgrade_whose_reply_was_lost_protects_the_node_and_is_granted_when_it_is_named()
    {
        string a = Register();
        string b = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        ReserveRequest upgrade = To(ReserveAction.Upgrade, a, known: stamp);
        long lost = (await GrantAsync(upgrade)).FencingToken;

        HeldNode entry = new(Node, stamp, ReservationMode.Shared);
        Assert.Empty(connection.FindLost(a, [entry]));
        Assert.Equal([entry], connection.FindLost(b, [entry]));
        Assert.Equal(new ReserveAnswer.Unnamed(lost, ReservationMode.Exclusive), await AskAsync(upgrade));
        await HeldByAsync(Node, a, lost, "test");
        long token = (await GrantAsync(upgrade with { KnownToken = lost })).FencingToken;

        Assert.True(token > lost);
        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task A_downgrade_lets_others_share()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        ReserveAnswer.Granted granted = await GrantAsync(To(ReserveAction.Downgrade, a, known: token, purpose: "read"));

        Assert.Null(granted.TakenOverFrom);
        Assert.True(granted.FencingToken > token);
        Assert.Equal("read", (await FindAsync(Node))?.Purpose);
        Assert.Equal([new HeldNode(Node, token)], connection.FindLost(a, [new HeldNode(Node, token)]));
        await ReleaseAsync(Node, a, token);
        Assert.False(await store.BreakAsync(Node, token, Limit));
        long others = (await ShareAsync(b)).FencingToken;
        await SharedByAsync((a, granted.FencingToken), (b, others));
    }

    [Fact]
    public async Task A_downgrade_says_that_a_writer_waits_and_leaves_its_wish()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await WishAsync(Register());

        ReserveAnswer.Granted granted = await GrantAsync(To(ReserveAction.Downgrade, a, known: token));

        Assert.InRange(granted.WriterWaits, Interval, 2 * Interval);
        await RefuseAsync(To(ReserveAction.Share, Register()));
    }

    [Fact]
    public async Task A_downgrade_whose_reply_was_lost_is_granted_when_it_is_named()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        ReserveRequest downgrade = To(ReserveAction.Downgrade, a, known: token);
        long lost = (await GrantAsync(downgrade)).FencingToken;

        Assert.Equal(new ReserveAnswer.Unnamed(lost, ReservationMode.Shared), await AskAsync(downgrade));
        await SharedByAsync((a, lost));
        long stamp = (await GrantAsync(downgrade with { KnownToken = lost })).FencingToken;

        await SharedByAsync((a, stamp));
    }

    [Theory]
    [InlineData(ReserveAction.Upgrade)]
    [InlineData(ReserveAction.Downgrade)]
    public async Task Nothing_is_changed_from_one_mode_to_the_other_but_what_stands(ReserveAction action)
    {
        string a = Register();
        string b = Register();
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(action, a)));
        long token = (await GrantAsync(Node, a)).FencingToken;
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(action, b, known: token)));
        Assert.Equal(new ReserveAnswer.Unnamed(token, ReservationMode.Exclusive),
            await AskAsync(To(action, a, known: token + 1)));
        await HeldByAsync(Node, a, token, "test");
        await ReleaseAsync(Node, a, token);
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(action, a, known: token)));

        long stamp = (await ShareAsync(a)).FencingToken;
        Assert.Equal(new ReserveAnswer.Unnamed(stamp, ReservationMode.Shared),
            await AskAsync(To(action, a, known: token)));
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(action, b, known: stamp)));
        await SharedByAsync((a, stamp));
    }
}
