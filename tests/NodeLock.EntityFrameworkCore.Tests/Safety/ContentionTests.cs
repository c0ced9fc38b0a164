using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// P21 and P22: several conductors on the same nodes, with a dead one to take over from, where the database's defaults
/// or what stands in front of it could make a difference.
/// </summary>
public sealed class ContentionTests(PostgresFixture postgres, ITestOutputHelper output)
{
    private const int Conductors = 3;
    private const int Increments = 200;

    private static readonly TimeSpan Hold = TimeSpan.FromMilliseconds(3);
    private static readonly string[] Nodes = ["a", "b", "c"];

    [Theory]
    [InlineData("read committed")]
    [InlineData("repeatable read")]
    [InlineData("serializable")]
    public async Task The_databases_default_isolation_makes_no_difference(string isolation)
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, $"isolation_{isolation.Replace(' ', '_')}",
            ("default_transaction_isolation", isolation));

        await ContendAsync(yard, yard.ConnectionString);
    }

    [Fact]
    public async Task It_holds_through_a_bouncer_that_keeps_no_sessions()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "bounced");
        await using PgBouncer bouncer = await PgBouncer.StartNewAsync(yard.ConnectionString, poolSize: 4);
        output.WriteLine($"PgBouncer {bouncer.Version}");

        await ContendAsync(yard, bouncer.ConnectionString);
    }

    private async Task ContendAsync(Yard yard, string connectionString)
    {
        await Counters.CreateAsync(yard, Nodes);
        await yard.LeaveBehindAsync("dead/1", Nodes);
        await using Counters counters = new(yard.ConnectionString);
        List<LocalConductor> conductors = [];
        List<Beliefs> beliefs = [];
        List<Workload> workloads = [];
        List<Task> working = [];
        using CancellationTokenSource enough = new();
        try
        {
            for (int i = 0; i < Conductors; i++)
            {
                conductors.Add(await LocalConductor.StartAsync(new ConductorSettings
                {
                    ConnectionString = connectionString,
                    Name = $"contender{i}",
                    Lease = TimeSpan.FromSeconds(10),
                    Heartbeat = TimeSpan.FromSeconds(1),
                }));
                beliefs.Add(new Beliefs(conductors[i].Settings.Name));
                workloads.Add(new Workload(
                    conductors[i].Manager, counters, beliefs[i], Nodes, Hold, isGuarded: false));
                working.Add(workloads[i].RunAsync(workers: 3, enough.Token));
            }

            await Patience.UntilAsync("they counted", async () => await Counters.WrittenAsync(yard) >= Increments);
            foreach (LocalConductor conductor in conductors)
                await yard.UntilRenewedAsync(conductor.Manager.Holder, times: 4);
        }
        finally
        {
            await enough.CancelAsync();
            await Task.WhenAll(working);
            foreach (LocalConductor conductor in conductors)
                await conductor.DisposeAsync();
        }

        string[] outcomes = [.. workloads.SelectMany(w => w.Outcomes.Keys).Distinct()];
        IEnumerable<string> lines = beliefs.SelectMany(b => b.Lines);
        IReadOnlyList<ReservationChange> history = await yard.HistoryAsync();
        output.WriteLine($"{await Counters.WrittenAsync(yard)} increments; {history.Count} changes; "
            + $"{BeliefJudge.Read(lines).Count} beliefs; outcomes: {string.Join(", ", outcomes)}");
        Assert.Equal(0, await Counters.LostAsync(yard));
        Assert.Empty(BeliefJudge.Overlaps(lines));
        Assert.Empty(await yard.ViolationsAsync());
        Assert.Empty(outcomes.Except(["used", nameof(NodeLockedException)]));
        Assert.Equal(Nodes.Length, history.Count(change => change.OldHolder == "dead/1"));
        Assert.DoesNotContain(conductors.SelectMany(c => c.Log.Warnings),
            warning => !IsExpected(warning, isBounced: connectionString != yard.ConnectionString));
        Assert.Equal(Conductors, await yard.ScalarAsync<long>(
            "select count(*) from nodelock_conductors where state = 'left'"));
    }

    /// <summary>
    /// That the dead one was declared dead (40) and its nodes taken over (3); and that a heartbeat, which saw a node just
    /// before its scope's release, gave it back (25); behind a bouncer, that notifications do not come (35).
    /// </summary>
    private static bool IsExpected(string warning, bool isBounced) =>
        warning.Contains("dead/1", StringComparison.Ordinal) || warning.StartsWith("25 ", StringComparison.Ordinal)
        || (isBounced && warning.StartsWith("35 ", StringComparison.Ordinal));
}
