using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// What an uncontended acquire and dispose allocates: over PostgreSQL, where EF Core's and the driver's part is in it;
/// over the store in memory, where nearly all is ours; and what the driver alone allocates for the same statements.
/// </summary>
internal static class Allocations
{
    private const string Purpose = "power on";

    public static async Task RunAsync(BenchmarkRun run)
    {
        await using BenchmarkDatabase database = await run.DatabaseAsync(100);
        await using NpgsqlDataSource connections = database.DataSource();
        SameStatements same = await SameStatements.EnterAsync(database, connections);
        TaskManager manager = database.TaskManager();
        await using TaskManager inMemory = new(new InMemoryNodeLockRepository());
        var nodeLock = new Contestant("", (node, token) => manager.CycleAsync(node, Purpose, token));
        var memory = new Contestant("memory", (node, token) => inMemory.CycleAsync(node, Purpose, token));
        var raw = new Contestant("raw", (node, token) => same.CycleAsync(node, Purpose, token));

        Rounds rounds = new(WarmUp: run.Sized(10, 2), Counted: run.Sized(20, 3), Cycles: run.Sized(200, 50));
        await Contestant.TakeTurnsAsync([nodeLock, memory, raw], database, rounds, run.Stop);

        run.Add("per_cycle", nodeLock.AllocatedPerCycle, "B");
        run.Add("memory.per_cycle", memory.AllocatedPerCycle, "B");
        run.Add("raw.per_cycle", raw.AllocatedPerCycle, "B");
        run.Add("ratio_to_raw", nodeLock.AllocatedPerCycle / raw.AllocatedPerCycle, "x");
    }
}
