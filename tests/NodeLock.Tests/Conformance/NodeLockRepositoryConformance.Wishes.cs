using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>The wish of a writer that waits, before which new sharers hold back; and how an entry is joined.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task New_sharers_hold_back_while_a_writer_waits_for_others()
    {
        string a = Register();
        string b = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await WishAsync(Register());

        ReserveAnswer.Taken refused = await RefuseAsync(To(ReserveAction.Share, b));

        Assert.Equal(ReservationMode.Shared, refused.Reservation.Mode);
        Assert.Equal([a], refused.Reservation.Holders);
        Assert.InRange(refused.WriterWaits, Interval, 2 * Interval);
        Assert.Null(refused.Wish);
        await SharedByAsync((a, stamp));
    }

    [Fact]
    public async Task A_refused_share_drops_the_entry_it_named_and_no_other()
    {
        string a = Register();
        string b = Register();
        long others = (await ShareAsync(a)).FencingToken;
        long mine = (await ShareAsync(b)).FencingToken;
        await WishAsync(Register());

        await RefuseAsync(To(ReserveAction.Share, b, known: mine));

        await SharedByAsync((a, others));
        Assert.Empty(connection.FindReservedBy(b));
    }

    [Fact]
    public async Task A_writers_wish_keeps_nobody_from_a_node_that_no_other_shares()
    {
        string a = Register();
        string b = Register();
        string gone = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await ShareAsync(gone);
        await KillAsync(gone, a);
        await WishAsync(Register());

        ReserveAnswer.Granted again = await ShareAsync(a, known: stamp);
        Assert.InRange(again.WriterWaits, Interval, 2 * Interval);

        await ReleaseAsync(Node, a, again.FencingToken, ReservationMode.Shared);
        Assert.InRange((await ShareAsync(b)).WriterWaits, Interval, 2 * Interval);
    }

    [Fact]
    public async Task A_writer_that_will_not_ask_again_leaves_no_wish()
    {
        string a = Register();
        await ShareAsync(a);

        await RefuseAsync(To(ReserveAction.Reserve, Register()));

        Assert.Equal(TimeSpan.Zero, (await ShareAsync(Register())).WriterWaits);
    }

    [Fact]
    public async Task A_refused_sharer_leaves_no_wish()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await RefuseAsync(To(ReserveAction.Share, Register()) with { NextAttempt = Interval });

        Assert.Equal(TimeSpan.Zero, (await ShareAsync(a, known: token)).WriterWaits);
    }

    [Fact]
    public async Task A_wish_ends_by_itself()
    {
        string a = Register();
        string b = Register();
        TimeSpan interval = TimeSpan.FromMilliseconds(1);
        await ShareAsync(a);
        await RefuseAsync(To(ReserveAction.Reserve, Register()) with { NextAttempt = interval });
        await UntilAsync(connection.Renew(a, Lease)!.Value + (2 * interval));

        Assert.Equal(TimeSpan.Zero, (await ShareAsync(b)).WriterWaits);
    }

    [Fact]
    public async Task A_grant_to_a_writer_ends_the_wish()
    {
        string a = Register();
        string writer = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await WishAsync(writer);
        await ReleaseAsync(Node, a, stamp, ReservationMode.Shared);
        await ReleaseAsync(Node, writer, (await GrantAsync(Node, writer)).FencingToken);

        Assert.Equal(TimeSpan.Zero, (await ShareAsync(a)).WriterWaits);
        Assert.Equal(TimeSpan.Zero, (await ShareAsync(writer)).WriterWaits);
    }

    [Fact]
    public async Task To_join_changes_nothing()
    {
        string a = Register();
        string b = Register();
        long stamp = (await ShareAsync(a, purpose: "first")).FencingToken;
        long others = (await ShareAsync(b, purpose: "second")).FencingToken;

        ReserveAnswer.Granted joined = await GrantAsync(To(ReserveAction.Join, a, known: stamp, purpose: "join"));

        Assert.Equal((stamp, null, TimeSpan.Zero), (joined.FencingToken, joined.TakenOverFrom, joined.WriterWaits));
        await SharedByAsync((a, stamp), (b, others));
        Assert.Equal("second", (await FindAsync(Node))?.Purpose);
    }

    [Fact]
    public async Task To_join_is_refused_while_a_writer_waits_and_the_entry_stays()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await WishAsync(Register());

        ReserveAnswer.Taken refused = await RefuseAsync(To(ReserveAction.Join, a, known: stamp));

        Assert.Equal(ReservationMode.Shared, refused.Reservation.Mode);
        Assert.InRange(refused.WriterWaits, Interval, 2 * Interval);
        await SharedByAsync((a, stamp));
    }

    [Fact]
    public async Task Nothing_is_joined_but_the_entry_that_stands()
    {
        string a = Register();
        string b = Register();
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(ReserveAction.Join, a)));
        long stamp = (await ShareAsync(a)).FencingToken;

        Assert.Equal(new ReserveAnswer.Unnamed(stamp, ReservationMode.Shared),
            await AskAsync(To(ReserveAction.Join, a, known: stamp + 1)));
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(ReserveAction.Join, b, known: stamp)));
        await SharedByAsync((a, stamp));

        await ReleaseAsync(Node, a, stamp, ReservationMode.Shared);
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(ReserveAction.Join, a, known: stamp)));
        long token = (await GrantAsync(Node, a)).FencingToken;
        Assert.Equal(new ReserveAnswer.Unnamed(token, ReservationMode.Exclusive),
            await AskAsync(To(ReserveAction.Join, a, known: stamp)));
        Assert.IsNotType<ReserveAnswer.Granted>(await AskAsync(To(ReserveAction.Join, a, known: token)));
        await HeldByAsync(Node, a, token, "test");
    }
}
