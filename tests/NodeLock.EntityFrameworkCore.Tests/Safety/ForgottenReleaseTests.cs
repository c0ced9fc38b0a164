using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// A server that crashes forgets releases that it has just confirmed, since they do not wait for the disk; here it
/// writes them down as late as it can. That costs time, and nothing else.
/// </summary>
public sealed class ForgottenReleaseTests : IAsyncLifetime
{
    private const int Nodes = 4;
    private const int MostCrashes = 10;

    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(2);

    private readonly List<long> tokens = [];
    private PrivateCluster? cluster;
    private TestFleet? fleet;

    private PrivateCluster Cluster => cluster ?? throw new InvalidOperationException();

    private TestFleet Fleet => fleet ?? throw new InvalidOperationException();

    public async ValueTask InitializeAsync()
    {
        cluster = await PrivateCluster.StartNewAsync(
            ("autovacuum", "off"), ("wal_writer_delay", "10s"), ("bgwriter_delay", "10s"));
        fleet = await TestFleet.CreateAsync(await cluster.CreateDatabaseAsync("forgotten"));
    }

    public async ValueTask DisposeAsync()
    {
        if (fleet is not null) await fleet.DisposeAsync();
        if (cluster is not null) await cluster.DisposeAsync();
    }

    [Theory]
    [InlineData(ClusterStop.Kill)]
    [InlineData(ClusterStop.Immediate)]
    public async Task What_a_crash_forgets_is_given_back_and_nothing_else_is_undone(ClusterStop crash)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(new ConductorSetup
        {
            Options = o => o.HeartbeatInterval = Heartbeat,
        });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });

        int forgotten = 0;
        for (int round = 1; forgotten == 0; round++)
        {
            Assert.True(round <= MostCrashes, $"None of {MostCrashes} crashes forgot a release, so nothing is shown.");
            forgotten = await CrashAsync(crash, a, round);
            for (int i = 0; i < Nodes; i++)
                foreach (string name in new[] { "early", "late", "shared" })
                    await TakeAsync(b, new NodeId($"{name} {i} of {round}"));
        }
    }

    /// <summary>Releases, crashes and looks.</summary>
    /// <returns>How many of the releases were forgotten.</returns>
    private async Task<int> CrashAsync(ClusterStop crash, TestConductor a, int round)
    {
        List<TaskScope> held = [], late = [];
        for (int i = 0; i < Nodes; i++)
        {
            NodeId shared = new($"shared {i} of {round}");
            late.Add(await a.AcquireWhenBackAsync(new NodeId($"late {i} of {round}")));
            late.Add(await Patience.SucceedsAsync(() => a.ShareOnceAsync(shared)));
            TaskScope early = await a.AcquireWhenBackAsync(new NodeId($"early {i} of {round}"));
            tokens.AddRange([late[^2].FencingToken, late[^1].FencingToken, early.FencingToken]);
            await early.DisposeAsync();
        }

        // The last that waits for the disk: whatever was confirmed before it is on the disk too.
        held.Add(await a.AcquireWhenBackAsync(new NodeId($"held of {round}")));
        tokens.Add(held[0].FencingToken);
        foreach (TaskScope task in late) await task.DisposeAsync();
        using HeldRequests givingBack = Fleet.Proxy.HoldRequests(r => r.IsGivingBack());

        await Cluster.StopAsync(crash);
        await Cluster.StartAsync();

        int forgotten = await Patience.SucceedsAsync(() => NamedAsync("late %' or id like 'shared %"));
        Assert.Equal(0, await NamedAsync("early %"));
        Assert.Equal(held[0].FencingToken, await Fleet.TokenOfAsync(held[0].NodeId));
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(held[0].NodeId));

        long began = Stopwatch.GetTimestamp();
        givingBack.Release();
        await Fleet.UntilAsync("""
            select not exists (select from nodelock_nodes
                               where (reservation is not null or reservation_shared <> '{}') and id not like 'held %')
            """);

        // Before the first of the two it has to connect again, for which it may wait as long once more.
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, (3 * Heartbeat) + TimeSpan.FromSeconds(1));
        held[0].EnsureHeld();
        await held[0].DisposeAsync();
        return forgotten;
    }

    /// <summary>Anybody gets the node, with a token that is greater than all before, and gives it back.</summary>
    private async Task TakeAsync(TestConductor by, NodeId node)
    {
        await using TaskScope task = await by.AcquireWhenBackAsync(node);
        Assert.True(task.FencingToken > tokens.Max(), $"{task.FencingToken} after {tokens.Max()}");
        tokens.Add(task.FencingToken);
    }

    private async Task<int> NamedAsync(string like) => (int)(long)(await Fleet.ScalarAsync($"""
        select count(*) from nodelock_nodes
        where (reservation is not null or reservation_shared <> '{"{}"}') and (id like '{like}')
        """))!;
}
