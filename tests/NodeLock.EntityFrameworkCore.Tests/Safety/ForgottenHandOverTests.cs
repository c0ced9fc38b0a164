using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// A server that crashes forgets hand-overs that it has just confirmed, since they do not wait for the disk; here it
/// writes them down as late as it can. The node stays its conductor's, and the scope that has it gets its row back.
/// </summary>
public sealed class ForgottenHandOverTests : IAsyncLifetime
{
    private const int MostCrashes = 10;
    private const int Line = 6;
    private const int HandedOver = 4;

    private PrivateCluster? cluster;
    private TestFleet? fleet;

    private PrivateCluster Cluster => cluster ?? throw new InvalidOperationException();

    private TestFleet Fleet => fleet ?? throw new InvalidOperationException();

    public async ValueTask InitializeAsync()
    {
        cluster = await PrivateCluster.StartNewAsync(
            ("autovacuum", "off"), ("wal_writer_delay", "10s"), ("bgwriter_delay", "10s"));
        fleet = await TestFleet.CreateAsync(await cluster.CreateDatabaseAsync("handed_over"));
    }

    public async ValueTask DisposeAsync()
    {
        if (fleet is not null) await fleet.DisposeAsync();
        if (cluster is not null) await cluster.DisposeAsync();
    }

    [Theory]
    [InlineData(ClusterStop.Kill)]
    [InlineData(ClusterStop.Immediate)]
    public async Task What_a_crash_forgets_of_a_line_is_restored_and_nobody_else_has_the_node_meanwhile(
        ClusterStop crash)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(new ConductorSetup
        {
            Options = o => o.HeartbeatInterval = TimeSpan.FromSeconds(2),
        });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });

        bool forgotten = false;
        for (int round = 1; !forgotten; round++)
        {
            Assert.True(round <= MostCrashes, $"None of {MostCrashes} crashes forgot a hand-over: nothing is shown.");
            forgotten = await CrashAsync(crash, a, b, new NodeId($"line {round}"));
        }
    }

    /// <summary>Hands a node over, crashes and looks.</summary>
    /// <returns>Whether the last hand-over was forgotten.</returns>
    private async Task<bool> CrashAsync(ClusterStop crash, TestConductor a, TestConductor b, NodeId node)
    {
        TaskScope held = await a.AcquireWhenBackAsync(node, "0");
        Task<TaskScope>[] line = [.. Enumerable.Range(1, Line).Select(n => a.AcquirePatientlyAsync(node, $"{n}"))];
        foreach (Task<TaskScope> next in line[..HandedOver])
        {
            await held.DisposeAsync();
            TaskScope scope = await next;
            Assert.True(scope.FencingToken > held.FencingToken);
            held = scope;
        }

        using HeldRequests restoring = Fleet.Proxy.HoldRequests(r => r.Contains("drawn_with"));
        await Cluster.StopAsync(crash);
        await Cluster.StartAsync();

        long token = await Patience.SucceedsAsync(() => Fleet.TokenOfAsync(node));
        bool forgotten = token < held.FencingToken;
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(node));
        Assert.Null(await Patience.SucceedsAsync(async () => await b.Manager.TryAcquireAsync(node, "in between")));
        if (forgotten)
        {
            NpgsqlException failure = await Assert.ThrowsAnyAsync<NpgsqlException>(() => WriteAsync(held));
            Assert.True(failure.IsTransient);
        }

        held.EnsureHeld();
        restoring.Release();
        await Fleet.UntilAsync("""
            select exists (select from nodelock_nodes
                           where id = $1 and reservation_token = $2 and reservation_purpose = $3)
            """, node.ToString(), held.FencingToken, held.Purpose);
        held.EnsureHeld();
        await WriteAsync(held);

        foreach (Task<TaskScope> next in line[HandedOver..])
        {
            await held.DisposeAsync();
            try
            {
                TaskScope scope = await next;
                Assert.True(scope.FencingToken > held.FencingToken);
                await WriteAsync(scope);
                held = scope;
            }
            catch (NpgsqlException)
            {
                // Sent on a connection of before the crash, which its caller is told.
            }
        }

        await held.DisposeAsync();
        await using TaskScope last = await b.AcquireWhenBackAsync(node);
        Assert.True(last.FencingToken > held.FencingToken);
        return forgotten;
    }

    private async Task WriteAsync(TaskScope scope)
    {
        await using FleetContext context =
            new(new DbContextOptionsBuilder<FleetContext>().UseNpgsql(Fleet.ConnectionString).Options);
        await using var transaction = await context.Database.BeginTransactionAsync();
        await context.Database.EnsureReservedAsync(scope);
        await transaction.CommitAsync();
    }
}
