using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>What a release frees, and what it leaves alone; what is found.</content>
public abstract partial class NodeLockRepositoryConformance
{
    [Fact]
    public async Task A_released_node_is_free()
    {
        string a = Register();
        string b = Register();
        await ReleaseAsync(Node, a, (await GrantAsync(Node, a)).FencingToken);

        Assert.Null(await FindAsync(Node));
        Assert.Empty(connection.FindReservedBy(a));
        Assert.Null((await GrantAsync(Node, b)).TakenOverFrom);
    }

    [Fact]
    public async Task A_release_on_the_calling_thread_does_the_same()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        store.Release(a, new HeldNode(Node, token - 1), Limit);
        store.Release(b, new HeldNode(Node, token), Limit);
        store.Release(a, new HeldNode(Nodes[1], token), Limit);
        await HeldByAsync(Node, a, token, "test");

        store.Release(a, new HeldNode(Node, token), Limit);
        Assert.Null(await FindAsync(Node));
        store.Release(a, new HeldNode(Node, token), Limit);
        Assert.Null(await FindAsync(Node));
    }

    [Fact]
    public async Task A_release_by_another_token_changes_nothing()
    {
        string a = Register();
        long old = (await GrantAsync(Node, a)).FencingToken;
        long token = (await GrantAsync(Node, a, known: old)).FencingToken;

        await ReleaseAsync(Node, a, old);
        await ReleaseAsync(Node, a, token + 1);
        await ReleaseAsync(Node, a, 0);

        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task A_release_by_another_holder_changes_nothing()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;

        await ReleaseAsync(Node, b, token);

        await HeldByAsync(Node, a, token, "test");
    }

    [Fact]
    public async Task A_release_of_another_node_changes_nothing()
    {
        string a = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        long other = (await GrantAsync(Nodes[1], a)).FencingToken;

        await ReleaseAsync(Nodes[1], a, token);

        await HeldByAsync(Node, a, token, "test");
        await HeldByAsync(Nodes[1], a, other, "test");
    }

    [Fact]
    public async Task A_release_sent_twice_is_no_error_and_takes_nothing_from_the_next_holder()
    {
        string a = Register();
        string b = Register();
        long token = (await GrantAsync(Node, a)).FencingToken;
        await ReleaseAsync(Node, a, token);
        await ReleaseAsync(Node, a, token);
        long next = (await GrantAsync(Node, b)).FencingToken;

        await ReleaseAsync(Node, a, token);

        await HeldByAsync(Node, b, next, "test");
    }

    [Fact]
    public async Task Several_are_released_at_once_by_exactly_their_tokens()
    {
        string a = Register();
        long first = (await GrantAsync(Nodes[0], a)).FencingToken;
        long second = (await GrantAsync(Nodes[1], a)).FencingToken;
        long third = (await GrantAsync(Nodes[2], a)).FencingToken;

        connection.Release(a,
            [new HeldNode(Nodes[0], first), new HeldNode(Nodes[1], first), new HeldNode(Nodes[2], third)]);

        Assert.Null(await FindAsync(Nodes[0]));
        await HeldByAsync(Nodes[1], a, second, "test");
        Assert.Null(await FindAsync(Nodes[2]));
    }

    [Fact]
    public async Task A_node_that_was_never_asked_for_is_free()
    {
        Assert.Null(await FindAsync(Node));
        Assert.Empty(await store.ListAsync(CancellationToken.None));
    }

    [Fact]
    public async Task The_list_has_what_is_reserved_in_the_order_of_the_ids()
    {
        string a = Register();
        string b = Register();
        await GrantAsync(Nodes[2], a, purpose: "third");
        await GrantAsync(Nodes[0], b, purpose: "first");
        await ReleaseAsync(Nodes[1], a, (await GrantAsync(Nodes[1], a)).FencingToken);

        IReadOnlyList<Reservation> list = await store.ListAsync(CancellationToken.None);

        Assert.Equal([(Nodes[0], b, "first"), (Nodes[2], a, "third")],
            list.Select(r => (r.NodeId, r.Holders[0], r.Purpose)));
    }

    [Fact]
    public async Task What_carries_a_conductors_name_is_found_with_its_tokens()
    {
        string a = Register();
        string b = Register();
        long first = (await GrantAsync(Nodes[0], a)).FencingToken;
        await GrantAsync(Nodes[1], b);
        long third = (await GrantAsync(Nodes[2], a)).FencingToken;

        Assert.Equal([new HeldNode(Nodes[0], first), new HeldNode(Nodes[2], third)],
            connection.FindReservedBy(a).OrderBy(h => h.FencingToken));
    }

    [Fact]
    public async Task What_is_lost_is_found_exactly()
    {
        string a = Register();
        string b = Register();
        long kept = (await GrantAsync(Nodes[0], a)).FencingToken;
        long released = (await GrantAsync(Nodes[1], a)).FencingToken;
        await ReleaseAsync(Nodes[1], a, released);
        long others = (await GrantAsync(Nodes[2], b)).FencingToken;

        HeldNode[] lost = [new(Nodes[0], kept + 1), new(Nodes[1], released), new(Nodes[2], others)];
        IReadOnlyList<HeldNode> found = connection.FindLost(a, [new HeldNode(Nodes[0], kept), .. lost]);

        Assert.Equal(lost.ToHashSet(), found.ToHashSet());
        Assert.Equal(3, found.Count);
        Assert.Empty(connection.FindLost(a, []));
    }
}
