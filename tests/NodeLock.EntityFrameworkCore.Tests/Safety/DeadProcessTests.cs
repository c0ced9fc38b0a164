using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L1: how soon others have the nodes of a process that was killed.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class DeadProcessTests(PostgresFixture postgres, ITestOutputHelper output)
{
    private const int Nodes = 1000;
    private const int Askers = 32;

    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Target = Lease + Heartbeat + TimeSpan.FromSeconds(2);
    private static readonly LockRetry Often = new(int.MaxValue, TimeSpan.FromMilliseconds(200));

    [Fact]
    public async Task The_thousand_nodes_of_a_killed_process_are_anothers_within_lease_heartbeat_and_two_seconds()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "killed");
        await using LocalConductor survivor = await StartSurvivorAsync(yard);
        await using ConductorProcess victim = await StartVictimAsync(yard);

        long killed = Kill(victim);
        await AcquireAsync(survivor, NamesBut(0));

        Report(killed);
        Assert.Empty(await yard.ViolationsAsync());
        Assert.Equal(Nodes, await yard.ScalarAsync<long>(
            "select count(*) from nodelock_nodes where reservation = $1", survivor.Manager.Holder));
    }

    [Fact]
    public async Task A_transaction_that_the_killed_process_left_open_on_one_node_holds_up_that_node_only()
    {
        const int Hung = 500;
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "killedintransaction");
        await using LocalConductor survivor = await StartSurvivorAsync(yard);
        await using ConductorProcess victim = await StartVictimAsync(yard);
        await using NpgsqlConnection left = await yard.TakeRowInHandAsync($"n{Hung}");

        long killed = Kill(victim);
        await AcquireAsync(survivor, NamesBut(Hung));

        Report(killed);
        Assert.Null(await survivor.Manager.TryAcquireAsync(new NodeId($"n{Hung}"), "still in hand"));
        await left.CloseAsync();
        await AcquireAsync(survivor, [$"n{Hung}"]);
        Assert.Empty(await yard.ViolationsAsync());
    }

    private static async Task<LocalConductor> StartSurvivorAsync(Yard yard)
    {
        LocalConductor survivor = await LocalConductor.StartAsync(Settings(yard, "survivor"));
        await Patience.UntilAsync("the survivor may judge others", () => yard.ScalarAsync<bool>(
            """
            select exists (select from nodelock_conductors
                           where name = 'survivor' and heartbeat_at - started_at > interval '2.5 s')
            """));
        return survivor;
    }

    private static async Task<ConductorProcess> StartVictimAsync(Yard yard)
    {
        ConductorProcess victim = await ConductorProcess.StartAsync(Settings(yard, "victim"));
        await victim.AskAsync($"acquire-many n {Nodes}", "acquired");
        return victim;
    }

    private static long Kill(ConductorProcess victim)
    {
        long killed = Stopwatch.GetTimestamp();
        victim.Signal(ChildSignal.Kill);
        return killed;
    }

    private static ConductorSettings Settings(Yard yard, string name) => new()
    {
        ConnectionString = yard.ConnectionString,
        Name = name,
        Lease = Lease,
        Heartbeat = Heartbeat,
    };

    private static IEnumerable<string> NamesBut(int hung) =>
        Enumerable.Range(1, Nodes).Where(number => number != hung).Select(number => $"n{number}");

    private static Task AcquireAsync(LocalConductor conductor, IEnumerable<string> nodes) => Parallel.ForEachAsync(
        nodes, new ParallelOptions { MaxDegreeOfParallelism = Askers },
        async (node, _) => await conductor.Manager.AcquireAsync(
            new NodeId(node), new AcquireOptions { Purpose = "take over", Retry = Often }, CancellationToken.None));

    private void Report(long killed)
    {
        TimeSpan took = Stopwatch.GetElapsedTime(killed);
        output.WriteLine($"{took.TotalSeconds:0.00} s after the kill");
        Assert.InRange(took, TimeSpan.Zero, Target);
    }
}
