using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L8: a user's transaction that hangs holds up the node that it has in hand, and nothing else.</summary>
public sealed class HungTransactionTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_hung_transaction_on_one_node_holds_up_no_other_node_no_heartbeat_and_no_death()
    {
        string[] nodes = [.. Enumerable.Range(1, 9).Select(number => $"n{number}")];
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "hung");
        await yard.LeaveBehindAsync("dead/1", ["hung", .. nodes]);
        await using NpgsqlConnection hung = await yard.TakeRowInHandAsync("hung");
        await using LocalConductor conductor = await LocalConductor.StartAsync(new ConductorSettings
        {
            ConnectionString = yard.ConnectionString,
        });
        await using TaskScope held = await conductor.Manager.AcquireAsync(new NodeId("another"), "hold all the time");
        string holder = conductor.Manager.Holder;

        await yard.UntilAsync("the dead one was declared dead",
            "select state = 'fenced' from nodelock_conductors where holder = 'dead/1'");
        await yard.UntilAsync("all nodes but one were freed",
            "select count(*) = 0 from nodelock_nodes where reservation = 'dead/1' and id <> 'hung'");
        await using (TaskScope next = await conductor.Manager.AcquireAsync(new NodeId(nodes[0]), "go on"))
            next.EnsureHeld();
        Assert.Null(await conductor.Manager.TryAcquireAsync(new NodeId("hung"), "is in hand"));
        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(() => conductor.Manager.AcquireAsync(
            new NodeId("hung"), new AcquireOptions { Purpose = "is in hand", Retry = LockRetry.None }).AsTask());
        Assert.Null(locked.Holder);
        await yard.UntilRenewedAsync(holder, times: 7); // more than two leases
        Assert.Equal("dead/1", await yard.HolderOfAsync("hung"));

        await hung.CloseAsync();
        await yard.UntilAsync("the last node was freed",
            "select reservation is null from nodelock_nodes where id = 'hung'");
        held.EnsureHeld();
        Assert.Equal(holder, conductor.Manager.Holder);
        Assert.Empty(await yard.ViolationsAsync());
    }

    [Fact]
    public async Task A_hung_transaction_on_one_node_holds_up_no_other_of_several_that_are_acquired_at_once()
    {
        NodeId hungNode = new("hung");
        NodeId[] nodes = [.. Enumerable.Range(1, 9).Select(number => new NodeId($"n{number}"))];
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "hungmany");
        await yard.ExecuteAsync("insert into nodelock_nodes (id) values ('hung')");
        await using NpgsqlConnection hung = await yard.TakeRowInHandAsync("hung");
        ConductorSettings settings = new() { ConnectionString = yard.ConnectionString };
        await using LocalConductor a = await LocalConductor.StartAsync(settings);
        await using LocalConductor b = await LocalConductor.StartAsync(settings with { Name = "b" });
        AcquireOptions once = new() { Purpose = "all", Retry = LockRetry.None };

        TaskScopes many = await a.Manager.TryAcquireManyAsync([hungNode, .. nodes], "many");
        Assert.Equal(nodes, many.Select(scope => scope.NodeId));
        SkippedNode skipped = Assert.Single(many.Skipped);
        Assert.Equal(hungNode, skipped.NodeId);
        Assert.Null(Assert.IsType<NodeLockedException>(skipped.Reason).Reservation);

        await using NpgsqlConnection hungToo = await yard.TakeRowInHandAsync("n5");
        await many.DisposeAsync();
        NodeId[] others = [.. nodes.Where(node => node != new NodeId("n5"))];
        await using (TaskScopes all = await b.Manager.AcquireAllAsync(others, once))
            Assert.Equal(others.Length, all.Count);
        await Assert.ThrowsAsync<NodeLockedException>(
            () => b.Manager.AcquireAllAsync([.. others, hungNode], once).AsTask());
        await using (TaskScopes all = await a.Manager.AcquireAllAsync(others, once))
            foreach (TaskScope scope in all) scope.EnsureHeld();
        Assert.Null(await b.Manager.TryAcquireAsync(hungNode, "read", ReservationMode.Shared));
        await using (TaskScope? reader = await b.Manager.TryAcquireAsync(nodes[0], "read", ReservationMode.Shared))
            Assert.NotNull(reader);

        await hungToo.CloseAsync();
        await hung.CloseAsync();
        AcquireOptions patient = new() { Purpose = "all", Retry = TestConductor.Patient };
        await using (TaskScopes all = await b.Manager.AcquireAllAsync([hungNode, .. nodes], patient).WithinLimit())
            Assert.Equal(10, all.Count);
        Assert.Empty(await yard.ViolationsAsync());
    }

    [Fact]
    public async Task A_hung_transaction_on_one_node_keeps_no_dead_reader_on_any_other()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "hungreaders");
        await yard.LeaveBehindAsync("dead/1");
        await yard.ExecuteAsync("insert into nodelock_nodes (id, reservation_shared) "
            + "select node, array['dead/1 7'] from unnest(array['hung', 'n1', 'n2']) as node");
        await using NpgsqlConnection hung = await yard.TakeRowInHandAsync("hung");
        await using LocalConductor conductor = await LocalConductor.StartAsync(
            new ConductorSettings { ConnectionString = yard.ConnectionString });
        await using TaskScope held = await conductor.Manager.AcquireAsync(new NodeId("held"), "hold all the time");

        await yard.UntilAsync("the dead reader was dropped from all nodes but one",
            "select array_agg(id) = '{hung}' from nodelock_nodes where reservation_shared <> '{}'");
        held.EnsureHeld();
        await hung.CloseAsync();
        await yard.UntilAsync("it was dropped from the last",
            "select not exists (select from nodelock_nodes where reservation_shared <> '{}')");
    }

    [Fact]
    public async Task Nor_does_it_hold_up_those_who_share_other_nodes_or_change_their_mode()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "hung_shared");
        ConductorSettings settings = new()
        {
            ConnectionString = yard.ConnectionString,
            ReleaseTimeout = TimeSpan.FromSeconds(1),
        };
        await using LocalConductor conductor = await LocalConductor.StartAsync(settings);
        await using LocalConductor other = await LocalConductor.StartAsync(settings with { Name = "other" });
        await using TaskScope reader = await ShareAsync(conductor, "hung");
        await using TaskScope writer = await conductor.Manager.AcquireAsync(new NodeId("hung too"), "write");
        await using NpgsqlConnection hung = await yard.TakeRowInHandAsync("hung");
        await using NpgsqlConnection hungToo = await yard.TakeRowInHandAsync("hung too");
        await yard.LeaveBehindAsync("dead/1");
        await yard.ExecuteAsync("""
            insert into nodelock_nodes (id, reservation_shared)
            values ('n', array['dead/1 ' || nextval('nodelock_fencing_token')])
            """);
        await yard.ExecuteAsync("update nodelock_conductors set expires_at = started_at where holder = 'dead/1'");

        // What waits for the row is answered in time, and leaves the scopes as they are.
        await using (TaskScope joined = await ShareAsync(conductor, "hung"))
            Assert.Equal(reader.FencingToken, joined.FencingToken);
        await Assert.ThrowsAsync<NodeLockedException>(() => reader.UpgradeAsync("write", LockRetry.None).AsTask());
        await Assert.ThrowsAsync<TimeoutException>(() => writer.DowngradeAsync().AsTask());
        Assert.Null(await other.Manager.TryAcquireAsync(new NodeId("hung"), "read", ReservationMode.Shared));

        await yard.UntilAsync("the dead one's entry was removed",
            "select reservation_shared = '{}' from nodelock_nodes where id = 'n'");
        await using (TaskScope elsewhere = await ShareAsync(conductor, "n"))
        {
            await using (TaskScope beside = await ShareAsync(other, "n"))
                beside.EnsureHeld();
            await elsewhere.UpgradeAsync("write");
            await elsewhere.DowngradeAsync();
        }

        await yard.UntilRenewedAsync(conductor.Manager.Holder, times: 7);
        reader.EnsureHeld();
        writer.EnsureHeld();
        await hung.CloseAsync();
        await hungToo.CloseAsync();
        await writer.DowngradeAsync();
        await reader.UpgradeAsync("write");
        reader.EnsureExclusive();
        Assert.Empty(await yard.ViolationsAsync());
    }

    private static async Task<TaskScope> ShareAsync(LocalConductor conductor, string node) =>
        await conductor.Manager.AcquireAsync(
            new NodeId(node), new AcquireOptions { Purpose = "read", Mode = ReservationMode.Shared });
}
