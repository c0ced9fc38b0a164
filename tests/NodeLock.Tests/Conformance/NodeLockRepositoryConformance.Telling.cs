using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>Whoever waits is told of what frees the node, and nobody of anything else.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task A_release_is_told_while_somebody_waits_for_the_node()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await WishAsync(Register());

        await ReleaseAsync(Node, a, token);

        Assert.Equal([Node], await HeardAsync(listener));
    }

    [Fact]
    public async Task A_release_is_told_in_whatever_way_it_is_asked_for()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        string b = Register();
        List<HeldNode> held = [];
        foreach (NodeId node in Nodes.Take(3))
        {
            held.Add(new HeldNode(node, (await GrantAsync(node, a)).FencingToken));
            await RefuseAsync(Request(node, b) with { NextAttempt = Interval });
        }

        store.Release(a, held[0], Limit);
        Assert.Equal([Nodes[0]], await HeardAsync(listener));
        Assert.Equal([held[1]], await store.ReleaseManyAsync(a, [held[0], held[1]], Limit));
        Assert.Equal([Nodes[1]], await HeardAsync(listener));
        Assert.Equal(1, connection.Release(a, [held[1], held[2]]));
        Assert.Equal([Nodes[2]], await HeardAsync(listener));
    }

    [Fact]
    public async Task Nothing_is_told_where_nobody_waits()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await RefuseAsync(To(ReserveAction.Reserve, Register()));
        await RefuseAsync(To(ReserveAction.Share, Register()));
        await ReleaseAsync(Node, a, token);
        long stamp = (await ShareAsync(a)).FencingToken;
        token = (await GrantAsync(To(ReserveAction.Upgrade, a, known: stamp))).FencingToken;
        stamp = (await GrantAsync(To(ReserveAction.Downgrade, a, known: token))).FencingToken;
        await store.ReleaseManyAsync(a, [new HeldNode(Node, stamp, ReservationMode.Shared)], Limit);
        token = (await GrantAsync(Node, a)).FencingToken;
        Assert.True(await store.BreakAsync(Node, token, Limit));
        await ShareAsync(a);
        Assert.True(await store.BreakAsync(Node, a, Limit));
        await GrantAsync(Node, a);
        await KillAsync(a, Register());
        Assert.Equal(1, connection.Sweep(10));

        Assert.Empty(await HeardAsync(listener));
    }

    [Fact]
    public async Task A_release_that_changes_nothing_is_not_told()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await WishAsync(b);

        await ReleaseAsync(Node, a, token - 1);
        await ReleaseAsync(Node, b, token);
        await ReleaseAsync(Node, a, token, ReservationMode.Shared);
        Assert.Equal(0, connection.Release(a, [new HeldNode(Node, token + 1)]));
        Assert.False(await store.BreakAsync(Node, token - 1, Limit));
        Assert.False(await store.BreakAsync(Node, b, Limit));

        Assert.Empty(await HeardAsync(listener));
    }

    [Fact]
    public async Task A_wish_is_over_when_it_has_not_been_repeated()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        TimeSpan interval = TimeSpan.FromMilliseconds(1);
        long token = (await GrantAsync(Node, a)).FencingToken;
        await RefuseAsync(To(ReserveAction.Reserve, Register()) with { NextAttempt = interval });
        await UntilAsync(connection.Renew(a, Lease)!.Value + (2 * interval));

        ReserveAnswer.Granted again = await GrantAsync(Node, a, known: token);
        await ReleaseAsync(Node, a, again.FencingToken);

        Assert.Equal(TimeSpan.Zero, again.Wanted);
        Assert.Empty(await HeardAsync(listener));
    }

    [Theory]
    [InlineData(ReserveAction.Reserve)]
    [InlineData(ReserveAction.Share)]
    public async Task Whoever_is_refused_and_will_ask_again_is_to_be_told(ReserveAction action)
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await RefuseAsync(To(action, Register()) with { NextAttempt = Interval });

        ReserveAnswer.Granted again = await GrantAsync(Node, a, known: token);
        await ReleaseAsync(Node, a, again.FencingToken);

        Assert.InRange(again.Wanted, Interval, 2 * Interval);
        Assert.Equal([Node], await HeardAsync(listener));
    }

    [Theory]
    [InlineData(ReserveAction.Reserve)]
    [InlineData(ReserveAction.Share)]
    public async Task A_shorter_wish_does_not_take_the_place_of_a_longer_one(ReserveAction action)
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await RefuseAsync(To(ReserveAction.Share, Register()) with { NextAttempt = Interval });
        await RefuseAsync(To(action, Register()) with { NextAttempt = TimeSpan.FromMilliseconds(1) });

        Assert.InRange((await GrantAsync(Node, a, known: token)).Wanted, Interval, 2 * Interval);
    }

    [Fact]
    public async Task A_wish_outlasts_the_grants_between_until_it_ends()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await WishAsync(Register());

        await ReleaseAsync(Node, a, token);
        ReserveAnswer.Granted next = await GrantAsync(Node, b);
        await ReleaseAsync(Node, b, next.FencingToken);

        Assert.InRange(next.Wanted, Interval, 2 * Interval);
        Assert.Equal([Node, Node], await HeardAsync(listener));
    }

    [Fact]
    public async Task To_join_in_vain_leaves_no_wish()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await WishAsync(Register());
        await RefuseAsync(To(ReserveAction.Join, a, known: stamp) with { NextAttempt = 100 * Interval });

        Assert.InRange((await GrantAsync(Node, a, known: stamp)).Wanted, Interval, 2 * Interval);
    }

    [Fact]
    public async Task An_upgrade_that_waits_is_to_be_told_and_one_that_is_outbid_is_not()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        string b = Register();
        long first = (await ShareAsync(a)).FencingToken;
        long second = (await ShareAsync(b)).FencingToken;
        await RefuseAsync(To(ReserveAction.Upgrade, a, known: first) with { NextAttempt = Interval });
        await RefuseAsync(To(ReserveAction.Upgrade, b, known: second) with { NextAttempt = 100 * Interval });

        await ReleaseAsync(Node, b, second, ReservationMode.Shared);

        Assert.Equal([Node], await HeardAsync(listener));
        Assert.InRange((await GrantAsync(To(ReserveAction.Upgrade, a, known: first))).Wanted, Interval, 2 * Interval);
    }

    [Fact]
    public async Task A_shared_release_is_told_when_it_leaves_one_entry_or_none()
    {
        await using IReleaseListener listener = await ListenAsync();
        string[] holders = [Register(), Register(), Register()];
        List<long> stamps = [];
        foreach (string holder in holders) stamps.Add((await ShareAsync(holder)).FencingToken);
        await WishAsync(Register());

        await ReleaseAsync(Node, holders[0], stamps[0], ReservationMode.Shared);
        Assert.Empty(await HeardAsync(listener));
        Assert.Equal(1, connection.Release(holders[1], [new HeldNode(Node, stamps[1], ReservationMode.Shared)]));
        Assert.Equal([Node], await HeardAsync(listener));
        await ReleaseAsync(Node, holders[2], stamps[2], ReservationMode.Shared);
        Assert.Equal([Node], await HeardAsync(listener));
    }

    [Theory]
    [InlineData(ReserveAction.Downgrade)]
    [InlineData(ReserveAction.Share)]
    public async Task To_share_what_was_held_exclusively_is_told(ReserveAction action)
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await RefuseAsync(To(ReserveAction.Share, Register()) with { NextAttempt = Interval });

        await GrantAsync(To(action, a, known: token));
        Assert.Equal([Node], await HeardAsync(listener));
        await ShareAsync(Register());
        Assert.Empty(await HeardAsync(listener));
    }

    [Fact]
    public async Task What_is_broken_is_told()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await WishAsync(Register());

        Assert.True(await store.BreakAsync(Node, token, Limit));
        Assert.Equal([Node], await HeardAsync(listener));
        await ShareAsync(a);
        Assert.True(await store.BreakAsync(Node, a, Limit));
        Assert.Equal([Node], await HeardAsync(listener));
    }

    [Fact]
    public async Task What_is_swept_is_told_as_far_as_somebody_waits_for_it()
    {
        await using IReleaseListener listener = await ListenAsync();
        string dead = Register();
        string b = Register();
        foreach (NodeId node in Nodes.Take(2)) await GrantAsync(node, dead);
        await GrantAsync(Request(Nodes[2], dead) with { Action = ReserveAction.Share });
        await RefuseAsync(Request(Nodes[0], b) with { NextAttempt = Interval });
        await RefuseAsync(Request(Nodes[2], b) with { NextAttempt = Interval });
        await KillAsync(dead, b);

        Assert.Equal(3, connection.Sweep(10));

        Assert.Equal([Nodes[0], Nodes[2]], (await HeardAsync(listener)).OrderBy(Nodes.ToList().IndexOf));
    }

    [Fact]
    public async Task What_a_fence_frees_is_told()
    {
        await using IReleaseListener listener = await ListenAsync();
        string dead = Register(requiresFence: true);
        string fencer = Register();
        await GrantAsync(Node, dead);
        await KillAsync(dead, fencer);
        await WishAsync(fencer);
        Assert.Equal([dead], connection.ClaimForFence(fencer));
        Reservation? revoked = await store.RevokeAsync(Node, dead, fencer, Limit);
        Assert.Empty(await HeardAsync(listener));

        await ReleaseAsync(Node, dead, revoked!.FencingToken);

        Assert.Equal([Node], await HeardAsync(listener));
    }

    private async Task<IReleaseListener> ListenAsync() => await store.ListenAsync(null, Limit, CancellationToken.None);

    /// <summary>What has been told so far: all that is heard before the proof.</summary>
    private async Task<IReadOnlyList<NodeId>> HeardAsync(IReleaseListener listener)
    {
        connection.TellNothing();
        List<NodeId> heard = [];
        while (await listener.HearAsync(CancellationToken.None).WithinLimit() is { } node) heard.Add(node);
        return heard;
    }
}
