using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>A reservation that an operator takes away.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task A_broken_reservation_is_gone_and_its_token_is_worthless()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        Assert.True(await store.BreakAsync(Node, token, Limit));

        Assert.Null(await FindAsync(Node));
        Assert.Equal([new HeldNode(Node, token)], connection.FindLost(a, [new HeldNode(Node, token)]));
        Assert.Empty(connection.FindReservedBy(a));
        Assert.False(await store.BreakAsync(Node, token, Limit));
        ReserveAnswer.Granted next = await GrantAsync(Node, b);
        Assert.Null(next.TakenOverFrom);
        Assert.True(next.FencingToken > token);
        await ReleaseAsync(Node, a, token);
        Assert.IsType<ReserveAnswer.Taken>(await ReserveAsync(Node, a, known: token));
        await HeldByAsync(Node, b, next.FencingToken, "test");
    }

    [Fact]
    public async Task A_reservation_is_broken_by_exactly_its_token()
    {
        string a = Register();
        long old = (await GrantAsync(Node, a)).FencingToken;
        long token = (await GrantAsync(Node, a, known: old)).FencingToken;

        Assert.False(await store.BreakAsync(Node, old, Limit));
        Assert.False(await store.BreakAsync(Node, token + 1, Limit));
        Assert.False(await store.BreakAsync(Nodes[1], token, Limit));
        await HeldByAsync(Node, a, token, "test");

        await ReleaseAsync(Node, a, token);
        Assert.False(await store.BreakAsync(Node, token, Limit));
        if (Missing is { } missing) Assert.False(await store.BreakAsync(missing, 0, Limit));
    }

    [Fact]
    public async Task A_sharer_is_broken_by_its_name_and_the_others_stay()
    {
        string a = Register();
        string b = Register();
        long broken = (await ShareAsync(a)).FencingToken;
        long others = (await ShareAsync(b)).FencingToken;

        Assert.True(await store.BreakAsync(Node, a, Limit));

        HeldNode entry = new(Node, broken, ReservationMode.Shared);
        Assert.Equal([entry], connection.FindLost(a, [entry]));
        await SharedByAsync((b, others));
        Assert.False(await store.BreakAsync(Node, a, Limit));
        long again = (await ShareAsync(a)).FencingToken;
        await SharedByAsync((b, others), (a, again));
    }

    [Fact]
    public async Task A_broken_entry_can_be_neither_joined_nor_upgraded()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        await store.BreakAsync(Node, a, Limit);

        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(ReserveAction.Join, a, known: stamp)));
        Assert.IsType<ReserveAnswer.NotHeld>(await AskAsync(To(ReserveAction.Upgrade, a, known: stamp)));

        Assert.Null(await FindAsync(Node));
    }

    [Fact]
    public async Task To_break_one_mode_does_not_touch_the_other()
    {
        string a = Register();
        long stamp = (await ShareAsync(a)).FencingToken;
        Assert.False(await store.BreakAsync(Node, stamp, Limit));
        await SharedByAsync((a, stamp));

        long token = (await GrantAsync(Node, a, known: stamp)).FencingToken;
        Assert.False(await store.BreakAsync(Node, a, Limit));
        Assert.False(await store.BreakAsync(Nodes[1], a, Limit));
        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task To_break_takes_a_node_from_one_that_waits_for_its_fence()
    {
        string dead = Register(requiresFence: true);
        string b = Register();
        long token = (await GrantAsync(Node, dead)).FencingToken;
        await KillAsync(dead, b);

        Assert.True(await store.BreakAsync(Node, token, Limit));

        await GrantAsync(Node, b);
    }
}
