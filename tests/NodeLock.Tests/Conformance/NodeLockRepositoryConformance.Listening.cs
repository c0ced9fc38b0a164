using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>What one hears who listens; and the wishes of several requests that go together.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task The_proof_is_heard_by_all_who_listen()
    {
        await using IReleaseListener first = await ListenAsync();
        await using IReleaseListener second = await ListenAsync();

        connection.TellNothing();

        Assert.Null(await first.HearAsync(CancellationToken.None).WithinLimit());
        Assert.Null(await second.HearAsync(CancellationToken.None).WithinLimit());
    }

    [Fact]
    public async Task What_is_told_is_heard_by_all_in_the_order_in_which_it_happened()
    {
        await using IReleaseListener first = await ListenAsync();
        await using IReleaseListener second = await ListenAsync();
        string a = Register();
        string b = Register();
        NodeId[] order = [Nodes[2], Nodes[0], Nodes[1]];
        foreach (NodeId node in order)
        {
            long token = (await GrantAsync(node, a)).FencingToken;
            await RefuseAsync(Request(node, b) with { NextAttempt = Interval });
            await ReleaseAsync(node, a, token);
        }

        Assert.Equal(order, await HeardAsync(first));
        Assert.Equal(order, await HeardAsync(second));
    }

    [Fact]
    public async Task Only_ones_own_kind_is_heard()
    {
        await using IReleaseListener listener = await ListenAsync();
        INodeLockRepository other = OpenOther();
        using IConductorStore others = other.Connect(Limit);
        await using IReleaseListener beside = await other.ListenAsync(null, Limit, CancellationToken.None);
        foreach (string holder in new[] { "other/1", "other/2" })
            Assert.True(others.Register(new ConductorEntry(holder, "other", "here", 1, Lease, RequiresFence: false)));
        ReserveAnswer.Granted granted = Assert.IsType<ReserveAnswer.Granted>(
            await other.ReserveAsync(Request(Node, "other/1"), Limit));
        await other.ReserveAsync(Request(Node, "other/2") with { NextAttempt = Interval }, Limit);

        string a = Register();
        long token = (await GrantAsync(Nodes[1], a)).FencingToken;
        await RefuseAsync(Request(Nodes[1], Register()) with { NextAttempt = Interval });

        await other.ReleaseAsync("other/1", new HeldNode(Node, granted.FencingToken), Limit);
        others.TellNothing();
        await ReleaseAsync(Nodes[1], a, token);

        Assert.Equal(Node, await beside.HearAsync(CancellationToken.None).WithinLimit());
        Assert.Null(await beside.HearAsync(CancellationToken.None).WithinLimit());
        Assert.Equal([Nodes[1]], await HeardAsync(listener));
    }

    [Fact]
    public async Task The_wait_to_hear_ends_with_its_token()
    {
        await using IReleaseListener listener = await ListenAsync();
        using CancellationTokenSource end = new();
        Task<NodeId?> hearing = listener.HearAsync(end.Token).AsTask();

        await end.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => hearing.WithinLimit());
    }

    [Fact]
    public async Task One_who_has_stopped_to_listen_keeps_nobody_from_hearing()
    {
        await using IReleaseListener listener = await ListenAsync();
        await (await ListenAsync()).DisposeAsync();

        Assert.Empty(await HeardAsync(listener));
    }

    [Fact]
    public async Task Of_many_that_are_refused_each_leaves_the_wish_that_it_asks_for()
    {
        await using IReleaseListener listener = await ListenAsync();
        string a = Register();
        string b = Register();
        List<HeldNode> held = [];
        foreach (NodeId node in Nodes.Take(3))
            held.Add(new HeldNode(node, (await GrantAsync(node, a)).FencingToken));
        ReserveRequest[] requests =
        [
            Request(Nodes[0], b) with { NextAttempt = Interval },
            Request(Nodes[1], b),
            Request(Nodes[2], b) with { NextAttempt = 3 * Interval },
        ];

        Assert.All(await store.ReserveManyAsync(requests, Atomicity.Each, Limit),
            answer => Assert.IsType<ReserveAnswer.Taken>(answer));
        Assert.Equal(3, (await store.ReleaseManyAsync(a, held, Limit)).Count);

        Assert.Equal([Nodes[0], Nodes[2]], (await HeardAsync(listener)).OrderBy(Nodes.ToList().IndexOf));
        ReserveAnswer.Granted[] granted =
        [
            .. (await store.ReserveManyAsync([.. Nodes.Take(3).Select(n => Request(n, b))], Atomicity.Each, Limit))
                .Cast<ReserveAnswer.Granted>(),
        ];
        Assert.InRange(granted[0].Wanted, Interval, 2 * Interval);
        Assert.Equal(TimeSpan.Zero, granted[1].Wanted);
        Assert.InRange(granted[2].Wanted, 3 * Interval, 6 * Interval);
    }

    [Fact]
    public async Task Of_many_that_are_refused_only_one_that_will_ask_again_holds_sharers_back()
    {
        string a = Register();
        string b = Register();
        foreach (NodeId node in Nodes.Take(2)) await GrantAsync(Request(node, a) with { Action = ReserveAction.Share });

        await store.ReserveManyAsync(
            [Request(Nodes[0], b) with { NextAttempt = Interval }, Request(Nodes[1], b)], Atomicity.Each, Limit);

        await RefuseAsync(Request(Nodes[0], Register()) with { Action = ReserveAction.Share });
        await GrantAsync(Request(Nodes[1], Register()) with { Action = ReserveAction.Share });
    }
}
