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
}
