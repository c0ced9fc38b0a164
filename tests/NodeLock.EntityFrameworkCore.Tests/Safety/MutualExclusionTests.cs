using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P1: one exclusive holder per node in the row, and one scope that believes.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class MutualExclusionTests(PostgresFixture postgres, ITestOutputHelper output)
{
    private static readonly string[] Nodes = ["a", "b", "c", "d", "e", "f"];

    [Fact]
    public async Task No_two_scopes_have_a_node_at_once_whatever_befalls_processes_and_connections()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "torture");
        await Counters.CreateAsync(yard, Nodes);
        await using FaultProxy proxy = new(yard.ConnectionString);
        await using Torture torture = new(yard, proxy, Nodes);

        await torture.RunAsync(atLeast: TimeSpan.FromSeconds(20));
        await yard.UntilAsync("every node was given back",
            "select not exists (select from nodelock_nodes where reservation is not null)");

        IReadOnlyList<Belief> beliefs = BeliefJudge.Read(torture.Lines);
        int takenAway = (await yard.HistoryAsync()).Count(ConductorHistory.IsTakenAway);
        long counted = await Counters.WrittenAsync(yard);
        output.WriteLine($"{beliefs.Count} beliefs, {counted} increments, {takenAway} taken from the dead; "
            + $"{torture.Pauses} pauses, {torture.Kills} kills, {torture.LostReplies} lost replies, "
            + $"{torture.LateStatements} late statements, {torture.KilledBackends} killed backends; "
            + string.Join(", ", torture.Outcomes.Select(outcome => $"{outcome.Key} {outcome.Value}")));
        Assert.Empty(BeliefJudge.Overlaps(beliefs));
        Assert.Empty(await yard.ViolationsAsync());
        Assert.Equal(0, await Counters.LostAsync(yard));
        Assert.InRange(beliefs.Count, 200, int.MaxValue);
        Assert.InRange(counted, 200, long.MaxValue);
        Assert.InRange(takenAway, 4, int.MaxValue);
        Assert.InRange(torture.Outcomes.GetValueOrDefault("lost"), 1, int.MaxValue);
    }

    [Fact]
    public async Task Four_processes_lose_no_increment_of_an_unprotected_counter()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "counter");
        await using Crew crew = await Crew.StartAsync(yard, processes: 4, RepositoryFault.None, Nodes[..2]);

        await Patience.UntilAsync("they counted to 500", async () => await Counters.WrittenAsync(yard) >= 500);
        await crew.RestAsync();

        IReadOnlyList<Belief> beliefs = BeliefJudge.Read(crew.Lines);
        output.WriteLine($"{beliefs.Count} beliefs, {await Counters.WrittenAsync(yard)} increments");
        Assert.Equal(0, await Counters.LostAsync(yard));
        Assert.Empty(BeliefJudge.Overlaps(beliefs));
        Assert.Empty(await yard.ViolationsAsync());
        Assert.Equal(4, beliefs.Select(belief => belief.Holder).Distinct().Count());
    }

    [Fact]
    public async Task Control_a_repository_that_checks_and_then_acts_is_caught_by_each_judge()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "checkthenact");
        await using Crew crew = await Crew.StartAsync(yard, processes: 3, RepositoryFault.CheckThenAct, Nodes[..2]);

        await Patience.UntilAsync("every judge caught it", async () =>
            BeliefJudge.Overlaps(crew.Lines).Count > 0
            && await Counters.LostAsync(yard) > 0
            && (await yard.ViolationsAsync()).Any(v => v.StartsWith("Two holders", StringComparison.Ordinal)));

        output.WriteLine($"{BeliefJudge.Overlaps(crew.Lines).Count} overlaps, {await Counters.LostAsync(yard)} of "
            + $"{await Counters.WrittenAsync(yard)} increments lost; {(await yard.ViolationsAsync())[0]}");
    }
}
