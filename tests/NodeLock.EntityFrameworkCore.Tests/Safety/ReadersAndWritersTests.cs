using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P16: never a writer beside a reader, whatever goes over from one to the other.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class ReadersAndWritersTests(PostgresFixture postgres, ITestOutputHelper output) : SafetyTest(postgres)
{
    private const int Callers = 3;

    private static readonly string[] Wanted = ["wrote", "read", "upgraded", "not upgraded", "downgraded"];
    private static readonly NodeId[] Nodes = [new("a"), new("b")];

    [Fact]
    public async Task No_writer_is_ever_beside_a_reader_among_conductors_that_change_their_modes()
    {
        // The rows' own judge. Not a check constraint: an update that meets a newer version of its row is checked first
        // as it would have been on the older one, which is never written.
        await Fleet.ExecuteAsync("""
            create function apart() returns trigger language plpgsql as $$
            begin raise 'A writer beside a reader: %', new; end $$;
            create trigger apart after update on nodelock_nodes for each row
              when (new.reservation is not null and new.reservation_shared <> '{}') execute function apart();
            """);
        TestConductor[] conductors = await StartAsync(setup => setup);
        Beliefs beliefs = new("mixed");

        IReadOnlyDictionary<string, int> outcomes = await RunAsync(conductors, beliefs,
            until: counts => Wanted.All(outcome => counts.GetValueOrDefault(outcome) >= 100));

        IReadOnlyList<Belief> all = BeliefJudge.Read(beliefs.Lines);
        output.WriteLine($"{all.Count} beliefs: {string.Join(", ", outcomes.Select(o => $"{o.Key} {o.Value}"))}");
        Assert.DoesNotContain("lost", outcomes.Keys);
        Assert.Empty(BeliefJudge.Overlaps(all));
        Assert.NotEmpty(BeliefJudge.Overlaps(all.Select(b => b with { Mode = BeliefMode.Exclusive }))); // they do share
        foreach (NodeId node in Nodes)
        {
            Assert.Empty(ReservationHistory.Check(await Fleet.ChangesOfAsync(node)));
            await Fleet.FreeAsync(node);
        }
    }

    /// <summary>The control: the same judge catches a store that lets every reader in.</summary>
    [Fact]
    public async Task Control_a_store_that_lets_readers_in_at_any_time_is_caught()
    {
        Beliefs beliefs = new("control");
        TestConductor[] conductors = await StartAsync(setup => setup with { Decorate = r => new OpenToReaders(r) });

        await RunAsync(conductors, beliefs, until: _ => BeliefJudge.Overlaps(beliefs.Lines).Count > 0);
    }

    [Fact]
    public async Task Of_two_that_upgrade_one_is_refused_at_once_and_the_other_has_the_node()
    {
        TestConductor a = await Fleet.StartAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope first = await a.ShareOnceAsync(Nodes[0]);
        await using TaskScope second = await b.ShareOnceAsync(Nodes[0]);
        LockRetry retry = new(int.MaxValue, TimeSpan.FromSeconds(1));
        Task upgrade = first.UpgradeAsync("write", retry).AsTask();
        await Fleet.UntilAsync(
            "select reservation_writer_until > clock_timestamp() from nodelock_nodes where id = $1",
            Nodes[0].ToString());

        NodeLockedException refused = await Assert.ThrowsAsync<NodeLockedException>(
            () => second.UpgradeAsync("write", retry).AsTask().WithinLimit());

        Assert.Equal(1, refused.Attempts);
        Assert.False(upgrade.IsCompleted);
        second.EnsureHeld();
        Assert.Equal(ReservationMode.Shared, second.Mode);
        await second.DisposeAsync();
        await upgrade.WithinLimit();
        first.EnsureExclusive();
        Assert.Equal((a.Holder, first.FencingToken),
            (await Fleet.HolderOfAsync(Nodes[0]), await Fleet.TokenOfAsync(Nodes[0])));
    }

    [Fact]
    public async Task The_readers_of_a_killed_process_are_dropped_within_lease_heartbeat_and_two_seconds()
    {
        TestConductor survivor = await Fleet.StartAsync(new ConductorSetup
        {
            Name = "survivor",
            Options = o => (o.LeaseDuration, o.HeartbeatInterval) = (TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(1)),
        });
        await Fleet.UntilAsync("select heartbeat_at - started_at > interval '2.5 s' from nodelock_conductors "
            + "where holder = $1", survivor.Holder); // it may judge others
        ConductorSettings settings = new() { ConnectionString = Fleet.ConnectionString };
        await using ConductorProcess victim = await ConductorProcess.StartAsync(settings);
        await victim.AskAsync($"share {Nodes[0]}", "shared");
        await victim.AskAsync($"share {Nodes[1]}", "shared");
        await using TaskScope beside = await survivor.ShareOnceAsync(Nodes[1]);
        await Assert.ThrowsAsync<NodeLockedException>(() => survivor.AcquireOnceAsync(Nodes[0]));

        long killed = Stopwatch.GetTimestamp();
        victim.Signal(ChildSignal.Kill);
        await using TaskScope writer = await survivor.AcquirePatientlyAsync(Nodes[0]);
        await beside.UpgradeAsync("write", TestConductor.Patient);
        TimeSpan took = Stopwatch.GetElapsedTime(killed);

        output.WriteLine($"{took.TotalSeconds:0.00} s after the kill");
        Assert.InRange(took, TimeSpan.FromSeconds(1), settings.Lease + settings.Heartbeat + TimeSpan.FromSeconds(2));
        beside.EnsureExclusive();
    }

    private async Task<TestConductor[]> StartAsync(Func<ConductorSetup, ConductorSetup> change)
    {
        List<TestConductor> conductors = [];
        foreach (string name in new[] { "w", "x", "y" })
            conductors.Add(await Fleet.StartAsync(change(new ConductorSetup { Name = name })));
        return [.. conductors];
    }

    private static async Task<IReadOnlyDictionary<string, int>> RunAsync(TestConductor[] conductors, Beliefs beliefs,
        Func<IReadOnlyDictionary<string, int>, bool> until)
    {
        using CancellationTokenSource enough = new();
        ModeWorkload[] workloads = [.. conductors.Select(c => new ModeWorkload(c, beliefs, Nodes))];
        Task running = Task.WhenAll(workloads.Select((w, i) => w.RunAsync(Callers, i, enough.Token)));
        IReadOnlyDictionary<string, int> Counts() => workloads.SelectMany(w => w.Outcomes)
            .GroupBy(o => o.Key, o => o.Value).ToDictionary(o => o.Key, o => o.Sum());
        try
        {
            await Patience.UntilAsync("it happened often enough",
                () => Task.FromResult(running.IsFaulted || until(Counts())));
        }
        finally
        {
            await enough.CancelAsync();
        }

        await running.WithinLimit();
        return Counts();
    }

    private sealed class OpenToReaders(INodeLockRepository inner) : DecoratedRepository(inner)
    {
        public override async ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
        {
            ReserveAnswer answer = await base.ReserveAsync(request, timeLimit);
            return answer is ReserveAnswer.Taken taken && request.Action == ReserveAction.Share
                ? new ReserveAnswer.Granted(taken.Reservation.FencingToken, DateTimeOffset.UtcNow, null) : answer;
        }
    }
}
