using Xunit;

namespace NodeLock.Tests;

/// <summary>Of several nodes those that are free now; none keeps the others.</summary>
public sealed class TryAcquireManyTests : IAsyncDisposable
{
    private readonly World world = new([.. Enumerable.Range(1, 600).Select(n => (NodeId)n), new NodeId("row")]);
    private readonly TaskManager other;
    private readonly List<int> releasedAtOnce = [];

    public TryAcquireManyTests()
    {
        other = world.NewManager();
        world.Way.BeforeReleaseMany = held => releasedAtOnce.Add(held.Count);
    }

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task Those_that_are_free_are_reserved_in_one_statement_in_the_order_given()
    {
        int statements = 0;
        world.Way.OnReserveMany = (_, atomicity, carryOut) =>
        {
            statements++;
            Assert.Equal(Atomicity.Each, atomicity);
            return carryOut();
        };

        await using TaskScopes scopes = await TryAsync(3, 1, 2, 1, 3);

        Assert.Equal([3, 1, 2], scopes.Select(s => s.NodeId));
        Assert.Equal((3, 1), (scopes.Count, statements));
        Assert.Equal(scopes[1], scopes.ElementAt(1));
        Assert.Empty(scopes.Skipped);
        Assert.All(scopes, s => s.EnsureExclusive());
        Assert.Equal(scopes.OrderBy(s => s.FencingToken).Select(s => s.FencingToken).Distinct().Count(), scopes.Count);
        Assert.Equal("many", (await world.FindAsync(2))?.Purpose);
    }

    [Fact]
    public async Task Those_that_are_locked_missing_or_held_here_are_skipped_with_the_reason()
    {
        await using TaskScope theirs = await other.AcquireAsync(1, "theirs");
        await using TaskScope mine = await world.Manager.AcquireAsync(2, "mine");
        await using TaskScope shared = await other.AcquireAsync(5,
            new AcquireOptions { Purpose = "read", Mode = ReservationMode.Shared });

        await using TaskScopes scopes = await TryAsync(1, 2, 601, 3, 5);

        Assert.Equal(3, Assert.Single(scopes).NodeId);
        Dictionary<NodeId, Exception> reasons = scopes.Skipped.ToDictionary(s => s.NodeId, s => s.Reason);
        Assert.Equal([1, 2, 5, 601], reasons.Keys.OrderBy(k => k.ToString(), StringComparer.Ordinal));
        NodeLockedException locked = Assert.IsType<NodeLockedException>(reasons[1]);
        Assert.Equal((other.Holder, "theirs", "many", 1),
            (locked.Holder, locked.HolderPurpose, locked.Purpose, locked.Attempts));
        Assert.True(Assert.IsType<NodeLockedException>(reasons[2]).IsHeldByThisProcess);
        Assert.Equal(601, Assert.IsType<NodeNotFoundException>(reasons[601]).NodeId);
        Assert.IsType<NodeLockedException>(reasons[5]);
        mine.EnsureHeld();
    }

    [Fact]
    public async Task An_id_that_is_not_of_the_keys_type_is_skipped()
    {
        world.Way.BeforeSpell = id =>
        {
            if (id == new NodeId("banana")) throw new ArgumentException("Not an integer.", nameof(id));
        };

        await using TaskScopes scopes = await TryAsync(new NodeId("banana"), 1);

        Assert.Equal(1, Assert.Single(scopes).NodeId);
        Assert.Equal(new NodeId("banana"), Assert.Single(scopes.Skipped).NodeId);
        Assert.IsType<ArgumentException>(scopes.Skipped[0].Reason);
    }

    [Fact]
    public async Task More_than_500_a_default_id_and_an_empty_purpose_are_refused()
    {
        NodeId[] many = [.. Enumerable.Range(1, 501).Select(n => (NodeId)n)];

        ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(() => TryAsync(many));
        Assert.Contains("At most 500 nodes", e.Message);
        await Assert.ThrowsAsync<ArgumentException>(() => TryAsync(1, default));
        await Assert.ThrowsAsync<ArgumentException>(() => world.Manager.TryAcquireManyAsync([1], "").WithinLimit());
        await Assert.ThrowsAsync<ArgumentNullException>(
            () => world.Manager.TryAcquireManyAsync(null!, "many").WithinLimit());
        Assert.Empty(world.Way.Requests);
        await using TaskScopes most = await TryAsync(many[..500]);
        Assert.Equal(500, most.Count);
    }

    [Fact]
    public async Task Of_none_nobody_is_asked()
    {
        await using TaskScopes none = await TryAsync();

        Assert.Empty(none);
        Assert.Empty(world.Way.Requests);
    }

    [Fact]
    public async Task A_row_in_somebodys_hand_is_asked_for_again_alone()
    {
        AnswerRowInHand(2);
        List<NodeId> alone = [];
        world.Way.OnReserve = (request, carryOut) =>
        {
            alone.Add(request.NodeId);
            return carryOut();
        };

        await using TaskScopes scopes = await TryAsync(1, 2, 3);

        Assert.Equal([1, 2, 3], scopes.Select(s => s.NodeId));
        Assert.Equal([2], alone);
    }

    [Fact]
    public async Task One_that_fails_alone_does_not_keep_the_others()
    {
        AnswerRowInHand(2, 3);
        world.Way.OnReserve = (request, carryOut) =>
            request.NodeId == 2 ? throw new StoreException("no") : carryOut();

        await using TaskScopes scopes = await TryAsync(1, 2, 3);

        Assert.Equal([1, 3], scopes.Select(s => s.NodeId));
        Assert.IsType<StoreException>(Assert.Single(scopes.Skipped).Reason);
        world.Way.OnReserve = null;
        await using TaskScope? next = await world.Manager.TryAcquireAsync(2, "its place is free");
        Assert.NotNull(next);
    }

    [Fact]
    public async Task Each_scope_is_released_alone_and_the_rest_in_one_statement()
    {
        TaskScopes scopes = await TryAsync(1, 2, 3);

        await scopes[1].DisposeAsync();
        Assert.Equal([1, 3], (await world.Store.ListAsync(default)).Select(r => r.NodeId));
        scopes[0].EnsureHeld();
        await scopes.DisposeAsync();
        await scopes.DisposeAsync();
        scopes.Dispose();

        Assert.Equal([2], releasedAtOnce);
        Assert.Empty(await world.Store.ListAsync(default));
        Assert.Throws<ObjectDisposedException>(scopes[0].EnsureHeld);
    }

    [Fact]
    public async Task The_synchronous_dispose_releases_all()
    {
        using (TaskScopes scopes = await TryAsync(1, 2, 3)) Assert.Equal(3, scopes.Count);

        Assert.Empty(await world.Store.ListAsync(default));
    }

    [Fact]
    public async Task What_is_not_released_in_one_statement_is_released_one_by_one()
    {
        TaskScopes scopes = await TryAsync(1, 2, 3);
        world.Way.BeforeReleaseMany = _ => throw new StoreException("no");

        await scopes.DisposeAsync();

        Assert.Empty(await world.Store.ListAsync(default));
        Assert.Single(world.Log.With(15));
    }

    [Fact]
    public async Task Those_in_line_get_what_is_disposed_without_a_release()
    {
        TaskScopes scopes = await TryAsync(1, 2);
        Task<TaskScope> next = world.Manager.AcquireAsync(1, "next").AsTask();

        await scopes.DisposeAsync();

        await using TaskScope task = await next.WithinLimit();
        Assert.Equal([1], releasedAtOnce);
        Assert.Equal(scopes[0].FencingToken, world.Way.Requests[^1].KnownToken);
    }

    [Fact]
    public async Task A_cancelled_one_releases_all_that_it_reserves()
    {
        using CancellationTokenSource cancellation = new();
        TaskCompletionSource answered = HoldManyAnswers();
        Task<TaskScopes> acquire = world.Manager.TryAcquireManyAsync([1, 2, 3], "many", cancellation.Token).AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        Assert.Equal(3, (await world.Store.ListAsync(default)).Count);
        answered.SetResult();

        await Eventually.TrueAsync(() => world.IsAllFree, "all are free");
    }

    [Fact]
    public async Task One_cancelled_while_a_node_is_asked_for_alone_releases_what_it_has()
    {
        using CancellationTokenSource cancellation = new();
        AnswerRowInHand(2, 3);
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task<TaskScopes> acquire = world.Manager.TryAcquireManyAsync([1, 2, 3], "many", cancellation.Token).AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        answered.SetResult();

        world.Way.OnReserve = null;
        await Eventually.TrueAsync(() =>
        {
            using TaskScopes again = TryAsync(1, 2, 3).GetAwaiter().GetResult();
            return again.Count == 3;
        }, "all are free, also the one that was asked for last");
    }

    [Fact]
    public async Task What_lost_replies_left_is_named_in_the_next_round()
    {
        world.Way.OnReserveMany = async (_, _, carryOut) =>
        {
            await carryOut();
            throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => TryAsync(1, 2));
        world.Way.OnReserveMany = null;

        await using TaskScopes scopes = await TryAsync(1, 2, 3);

        Assert.Equal(3, scopes.Count);
        Assert.All(scopes, s => s.EnsureExclusive());
    }

    [Fact]
    public async Task Answers_that_come_when_the_trust_window_has_closed_are_not_believed()
    {
        await using (await TryAsync(9)) { }
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(53));
        TaskCompletionSource answered = HoldManyAnswers();
        Task<TaskScopes> acquire = world.Manager.TryAcquireManyAsync([1, 2], "many").AsTask();
        world.Pass(TimeSpan.FromSeconds(2));

        answered.SetResult();

        await using TaskScopes scopes = await acquire.WithinLimit();
        Assert.Empty(scopes);
        Assert.Equal(2, scopes.Skipped.Count);
        Assert.All(scopes.Skipped, s => Assert.IsType<ReservationLostException>(s.Reason));
        await Eventually.TrueAsync(() => world.IsAllFree, "all are given back");
    }

    private TaskCompletionSource HoldManyAnswers()
    {
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        world.Way.OnReserveMany = async (_, _, carryOut) =>
        {
            IReadOnlyList<ReserveAnswer> answers = await carryOut();
            await goOn.Task;
            return answers;
        };
        return goOn;
    }

    /// <summary>As where a transaction has these rows in hand.</summary>
    private void AnswerRowInHand(params int[] nodes) => world.Way.OnReserveMany = async (many, atomicity, _) =>
    {
        List<ReserveAnswer> answers = [];
        foreach (ReserveRequest request in many)
        {
            answers.Add(nodes.Any(n => request.NodeId == n) ? new ReserveAnswer.RowInHand()
                : (await world.Store.ReserveManyAsync([request], atomicity, World.Second))[0]);
        }

        return answers;
    };

    private Task<TaskScopes> TryAsync(params NodeId[] nodes) =>
        world.Manager.TryAcquireManyAsync(nodes, "many").WithinLimit();
}
