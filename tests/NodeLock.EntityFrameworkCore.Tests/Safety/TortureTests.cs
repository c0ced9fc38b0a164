using System.Diagnostics;
using System.Globalization;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// P1, P3, P6b, P16, P20, L1b and L8 together: both modes mixed, whatever befalls processes, connections and server.
/// </summary>
/// <remarks>A minute; for as many as <see cref="MinutesVariable"/> says.</remarks>
[Collection(AloneOnTheMachine.Name)]
public sealed class TortureTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const string MinutesVariable = "NODELOCK_TORTURE_MINUTES";

    private static readonly string[] Nodes = [.. Enumerable.Range(1, 8).Select(number => $"node-{number}")];

    // Until the leases of the dead are over and the living have looked twice; a release on its way ends first. Five
    // seconds are for a busy machine.
    private static readonly TimeSpan ToBeGivenBack =
        Torture.ReleaseTimeout + Torture.Lease + (2 * Torture.Heartbeat) + TimeSpan.FromSeconds(5);

    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(2);

    private PrivateCluster? cluster;
    private Yard? yard;

    private Yard Yard => yard ?? throw new InvalidOperationException();

    private static TimeSpan Duration => TimeSpan.FromMinutes(
        double.Parse(Environment.GetEnvironmentVariable(MinutesVariable) ?? "1", CultureInfo.InvariantCulture));

    public async ValueTask InitializeAsync()
    {
        cluster = await PrivateCluster.StartNewAsync();
        yard = await Yard.CreateAsync(cluster, "torture");
        await Counters.CreateAsync(yard, Nodes);
        await Accounts.CreateAsync(yard, Nodes);
    }

    public async ValueTask DisposeAsync()
    {
        if (yard is not null)
            await yard.DisposeAsync();
        if (cluster is not null)
            await cluster.DisposeAsync();
    }

    [Fact]
    public async Task Nobody_writes_beside_anybody_and_nothing_is_lost_whatever_befalls_processes_connections_and_server()
    {
        await using FaultProxy proxy = new(Yard.ConnectionString);
        await using Torture torture = new(Yard, proxy, cluster!, Nodes);

        await torture.RunAsync(Duration, async () => IsOftenEnough(torture.Toll)
            && await Patience.SucceedsAsync(() => Counters.WrittenAsync(Yard)) >= 200);
        TimeSpan toFree = await UntilNothingIsReservedAsync();

        WorkReport work = WorkReport.Read(torture.Lines);
        IReadOnlyList<Belief> beliefs = BeliefJudge.Read(torture.Lines);
        IReadOnlyList<BeliefOverlap> overlaps = BeliefJudge.Overlaps(beliefs);
        int takenOver = await TakenOverAsync();
        int wentOn = torture.Hangs.Count(hang =>
            beliefs.Any(b => b.Node != hang.Node && b.Begin > hang.Begin && b.Begin < hang.End));
        long counted = await Counters.WrittenAsync(Yard);
        output.WriteLine($"{torture.Toll}.");
        output.WriteLine($"{Count(beliefs, BeliefMode.Exclusive)} exclusive and {Count(beliefs, BeliefMode.Shared)} "
            + $"shared beliefs, {overlaps.Count} overlaps, {takenOver} taken over from the dead; other "
            + $"nodes were used during {wentOn} of {torture.Hangs.Count} hung transactions.");
        output.WriteLine($"{torture.HandOvers} hand-overs, {torture.Groups} groups, told {torture.Told} times.");
        output.WriteLine($"Guarded writes: {work.WritesThat(WorkRecord.Accepted)} accepted, "
            + $"{work.WritesThat(WorkRecord.Refused)} refused, {work.WritesThat(WorkRecord.Failed)} failed, "
            + $"{work.WritesThat(WorkRecord.Unknown)} unknown, {work.WritesThat(WorkRecord.Begun)} of the killed; "
            + $"{counted} counted by token.");
        output.WriteLine($"{string.Join(", ", work.Done.OrderBy(d => d.Key).Select(d => $"{d.Key} {d.Value}"))}; "
            + $"all was given back after {toFree.TotalSeconds:0.0} s.");

        Assert.InRange(work.TornLines, 0, torture.Toll.Of(Toll.Kills));
        Assert.Empty(overlaps);
        Assert.Empty(BeliefJudge.Regressions(beliefs));
        Assert.Empty(work.TornReads);
        Assert.Empty(await Yard.ViolationsAsync());
        Assert.Equal(0, await Counters.LostAsync(Yard));
        Assert.Equal(0, await Accounts.LostAsync(Yard));
        Assert.Empty(work.WrongWrites(await Accounts.SavedAsync(Yard)));
        Assert.InRange(toFree, TimeSpan.Zero, ToBeGivenBack);
        Assert.InRange(wentOn, torture.Hangs.Count / 2, int.MaxValue); // the server may just have started again

        Assert.InRange(Count(beliefs, BeliefMode.Exclusive), 200, int.MaxValue);
        Assert.InRange(Count(beliefs, BeliefMode.Shared), 200, int.MaxValue);
        Assert.InRange(work.WritesThat(WorkRecord.Accepted), 100, int.MaxValue);
        Assert.InRange(counted, 200, long.MaxValue);
        Assert.InRange(takenOver, 10, int.MaxValue);
        Assert.InRange(torture.HandOvers, 100, int.MaxValue);
        Assert.InRange(torture.Groups, 50, int.MaxValue);
        Assert.InRange(torture.Told, 50, int.MaxValue);
        Assert.All(["lost", "upgraded", "upgrade refused", "downgraded", "read", "acquired all"],
            what => Assert.InRange(work.Done.GetValueOrDefault(what), 1, int.MaxValue));
    }

    /// <summary>The same torture and the same judges, of repositories that are broken.</summary>
    [Theory]
    [InlineData(RepositoryFault.ReleaseOfEntryByHolder)]
    [InlineData(RepositoryFault.BlindAnswer)]
    public async Task Control_a_broken_repository_is_caught(RepositoryFault fault)
    {
        await using FaultProxy proxy = new(Yard.ConnectionString);
        await using Torture torture = new(Yard, proxy, cluster!, Nodes[..4], fault);

        await torture.RunAsync(atLeast: TimeSpan.Zero, async () =>
        {
            await Task.Delay(BetweenLooks); // reading all that was recorded takes time from those who record
            return BeliefJudge.Overlaps(torture.Lines).Count > 0;
        });

        output.WriteLine($"{torture.Toll}. {BeliefJudge.Overlaps(torture.Lines).Count} overlaps, "
            + $"{WorkReport.Read(torture.Lines).TornReads.Count} torn reads; {BeliefJudge.Overlaps(torture.Lines)[0]}");
    }

    private static bool IsOftenEnough(Toll toll) => toll.Of(Toll.Pauses) >= 4 && toll.Of(Toll.Kills) >= 4
        && toll.Of(Toll.LostReply) >= 20 && toll.Of(Toll.Late) >= 50 && toll.Of(Toll.KilledBackends) >= 20
        && toll.Of(Toll.ServerStops) >= 2 && toll.Of(Toll.Hangs) >= 5;

    private static int Count(IEnumerable<Belief> beliefs, BeliefMode mode) => beliefs.Count(b => b.Mode == mode);

    private async Task<TimeSpan> UntilNothingIsReservedAsync()
    {
        long rested = Stopwatch.GetTimestamp();
        await Yard.UntilAsync("every node was given back",
            "select not exists (select from nodelock_nodes where reservation is not null or reservation_shared <> '{}')");
        return Stopwatch.GetElapsedTime(rested);
    }

    private async Task<int> TakenOverAsync() => (await Yard.HistoryAsync()).Count(ConductorHistory.IsTakenAway)
        + (await Yard.EntriesAsync()).Count(change => change.IsSharedTakeOver);
}
