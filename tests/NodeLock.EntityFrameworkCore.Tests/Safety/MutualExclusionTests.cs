using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P1: one exclusive holder per node in the row, and one scope that believes.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class MutualExclusionTests(PostgresFixture postgres, ITestOutputHelper output)
{
    private static readonly string[] Nodes = ["a", "b"];

    [Fact]
    public async Task Four_processes_in_both_modes_lose_no_increment_of_an_unprotected_counter()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "counter");
        await using Crew crew = await Crew.StartAsync(yard, processes: 4, Nodes);

        // In steps, each with a limit of its own: on a busy machine readers and writers take turns slowly.
        foreach (int goal in (int[])[125, 250, 375, 500])
            await Patience.UntilAsync($"they counted to {goal}", async () => await Counters.WrittenAsync(yard) >= goal);
        await crew.RestAsync();

        IReadOnlyList<Belief> beliefs = BeliefJudge.Read(crew.Lines);
        output.WriteLine($"{beliefs.Count} beliefs, {await Counters.WrittenAsync(yard)} increments");
        Assert.Equal(0, await Counters.LostAsync(yard));
        Assert.Empty(BeliefJudge.Overlaps(beliefs));
        Assert.Empty(await yard.ViolationsAsync());
        Assert.Empty(WorkReport.Read(crew.Lines).TornReads);
        Assert.Equal(2, beliefs.Select(belief => belief.Mode).Distinct().Count());
        Assert.Equal(4, beliefs.Select(belief => belief.Holder).Distinct().Count());
    }

    [Fact]
    public async Task Control_a_repository_that_checks_and_then_acts_is_caught_by_each_judge()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "checkthenact");
        await using Crew crew = await Crew.StartAsync(yard, processes: 3, Nodes, RepositoryFault.CheckThenAct);

        await Patience.UntilAsync("every judge caught it", async () =>
            BeliefJudge.Overlaps(crew.Lines).Count > 0
            && await Counters.LostAsync(yard) > 0
            && (await yard.ViolationsAsync()).Any(v => v.StartsWith("Two holders", StringComparison.Ordinal)));

        output.WriteLine($"{BeliefJudge.Overlaps(crew.Lines).Count} overlaps, {await Counters.LostAsync(yard)} of "
            + $"{await Counters.WrittenAsync(yard)} increments lost; {(await yard.ViolationsAsync())[0]}");
    }
}
