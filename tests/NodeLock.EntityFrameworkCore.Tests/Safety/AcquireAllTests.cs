using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P15: several nodes, all or none: no part is left behind, and none kept while another is waited
/// for.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class AcquireAllTests(PostgresFixture postgres, ITestOutputHelper output) : SafetyTest(postgres)
{
    private const int Processes = 4;
    private const int Rounds = 5;
    private const int CallsPerRound = 500;

    private static readonly NodeId First = new("a");
    private static readonly NodeId Second = new("b");
    private static readonly LockRetry AtOnce = new(4, TimeSpan.FromMilliseconds(50));
    private static readonly string[] Nodes = [.. Enumerable.Range(1, 12).Select(number => $"n{number:00}")];

    private readonly PostgresFixture postgres = postgres;

    [Fact]
    public async Task Ten_thousand_random_calls_of_four_processes_all_end_and_each_has_all_its_nodes_or_none()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "acquireall");
        List<ConductorProcess> crew = [];
        try
        {
            for (int i = 0; i < Processes; i++)
                crew.Add(await ConductorProcess.StartAsync(Settings(yard, $"batch{i}")));
            long began = Stopwatch.GetTimestamp();
            IReadOnlyDictionary<string, int>[] outcomes = await Task.WhenAll(
                crew.Select((child, i) => Task.Run(() => CallAsync(child, seed: i))));
            TimeSpan took = Stopwatch.GetElapsedTime(began);

            Dictionary<string, int> all = outcomes.SelectMany(o => o).GroupBy(o => o.Key, o => o.Value)
                .ToDictionary(o => o.Key, o => o.Sum());
            output.WriteLine($"{took.TotalSeconds:0.0} s: {string.Join(", ", all.Select(o => $"{o.Key} {o.Value}"))}");
            Assert.Equal(Processes * Rounds * CallsPerRound, all.Values.Sum());
            Assert.Empty(all.Keys.Except(["held", nameof(NodeLockedException)]));
            Assert.InRange(all["held"], all.Values.Sum() / 2, int.MaxValue);

            await yard.UntilAsync("every node was given back", "select not exists (select from nodelock_nodes "
                + "where reservation is not null or reservation_shared <> '{}')");
            IReadOnlyList<Belief> beliefs = BeliefJudge.Read(crew.SelectMany(child => child.Lines));
            Assert.Empty(BeliefJudge.Overlaps(beliefs));
            Assert.Empty(await yard.ViolationsAsync());
            (IReadOnlyList<string> held, IReadOnlyList<string> reserved) =
                Batches.Compare(beliefs, await yard.HistoryAsync());
            Assert.Equal(held, reserved);
            Assert.Equal(all["held"], held.Count);
            Assert.Equal(0, await yard.ScalarAsync<long>(
                "select deadlocks from pg_stat_database where datname = current_database()"));
        }
        finally
        {
            foreach (ConductorProcess child in crew) await child.DisposeAsync();
        }
    }

    /// <summary>The control: a store that reserves them one by one leaves some behind, and the judge sees it.</summary>
    [Fact]
    public async Task Control_reserving_one_by_one_leaves_parts_behind()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Decorate = r => new OneByOne(r) });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope held = await b.AcquireOnceAsync(new NodeId(Nodes[0]));
        Beliefs beliefs = new("control");

        await new Batches(a.Manager, beliefs, Nodes[..4]).RunAsync(10, seed: 1);

        (IReadOnlyList<string> told, IReadOnlyList<string> reserved) =
            Batches.Compare(BeliefJudge.Read(beliefs.Lines), await Fleet.History.ReadAsync());
        Assert.NotEqual(told, reserved);
    }

    [Fact]
    public async Task It_keeps_no_node_from_anybody_while_it_waits_for_another()
    {
        TestConductor a = await Fleet.StartAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TestConductor c = await Fleet.StartAsync(new ConductorSetup { Name = "c" });
        await using TaskScope held = await b.AcquireOnceAsync(Second);
        Task<TaskScopes> both = await WaitForBothAsync(a);

        for (int i = 0; i < 30; i++)
        {
            await using (await AcquireAtOnceAsync(c)) Assert.False(both.IsCompleted);
            await using (await a.AcquirePatientlyAsync(First)) Assert.False(both.IsCompleted);
        }

        await held.DisposeAsync();
        await using TaskScopes scopes = await both.WithinLimit();
        foreach (TaskScope scope in scopes) scope.EnsureHeld();
        Assert.Equal([First, Second], scopes.Select(s => s.NodeId));
        Assert.Equal((a.Holder, a.Holder), (await Fleet.HolderOfAsync(First), await Fleet.HolderOfAsync(Second)));
    }

    /// <summary>The control: reserving one by one, it keeps the first while it waits for the second.</summary>
    [Fact]
    public async Task Control_reserving_one_by_one_keeps_a_node_while_it_waits()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Decorate = r => new OneByOne(r) });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope held = await b.AcquireOnceAsync(Second);
        Task<TaskScopes> both = await WaitForBothAsync(a);

        await Assert.ThrowsAsync<NodeLockedException>(() => AcquireAtOnceAsync(b));

        await held.DisposeAsync();
        await Task.WhenAny(both).WithinLimit(); // somehow: what it gets in the end is not what this is about
    }

    [Fact]
    public async Task Two_that_want_the_same_nodes_the_other_way_round_both_get_them()
    {
        TestConductor a = await Fleet.StartAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });

        await Task.WhenAll(TurnsAsync(a, [First, Second]), TurnsAsync(b, [Second, First])).WithinLimit();

        Assert.Empty(ReservationHistory.Check(await Fleet.ChangesOfAsync(First)));
        Assert.Null(await Fleet.HolderOfAsync(First));
        Assert.Null(await Fleet.HolderOfAsync(Second));
    }

    private static async Task TurnsAsync(TestConductor conductor, NodeId[] nodes)
    {
        for (int turn = 0; turn < 20; turn++) await using (await AcquireBothAsync(conductor, nodes)) await Task.Yield();
    }

    private static Task<TaskScopes> AcquireBothAsync(TestConductor conductor, NodeId[] nodes) =>
        conductor.Manager.AcquireAllAsync(nodes, new AcquireOptions { Purpose = "both", Retry = TestConductor.Patient })
            .AsTask();

    /// <summary>Has asked for both, and waits for the second.</summary>
    private async Task<Task<TaskScopes>> WaitForBothAsync(TestConductor conductor)
    {
        Task<TaskScopes> both = AcquireBothAsync(conductor, [First, Second]);
        await Fleet.UntilAsync(
            "select reservation_writer_until > clock_timestamp() from nodelock_nodes where id = $1", Second.ToString());
        return both;
    }

    private static Task<TaskScope> AcquireAtOnceAsync(TestConductor conductor) => conductor.Manager.AcquireAsync(
        First, new AcquireOptions { Purpose = "meanwhile", Retry = AtOnce }).AsTask();

    private static ConductorSettings Settings(Yard yard, string name) => new()
    {
        ConnectionString = yard.ConnectionString,
        Name = name,
        Lease = TimeSpan.FromSeconds(30),
        Heartbeat = TimeSpan.FromSeconds(5), // also how long a statement may take on a busy machine
    };

    private static async Task<IReadOnlyDictionary<string, int>> CallAsync(ConductorProcess child, int seed)
    {
        IReadOnlyDictionary<string, int> outcomes = new Dictionary<string, int>();
        for (int round = 0; round < Rounds; round++)
        {
            outcomes = await child.AcquireAllAsync(CallsPerRound, (seed * Rounds) + round, Nodes);
        }

        return outcomes;
    }

    private sealed class OneByOne(INodeLockRepository inner) : DecoratedRepository(inner)
    {
        public override async ValueTask<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
            IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit)
        {
            List<ReserveAnswer> answers = [];
            foreach (ReserveRequest request in requests) answers.Add(await ReserveAsync(request, timeLimit));
            return answers.TrueForAll(a => a is ReserveAnswer.Granted) ? answers
                : [.. answers.Select(a => a is ReserveAnswer.Granted ? new ReserveAnswer.Withheld() : a)];
        }
    }
}
