using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>
/// What it costs to reserve 500 nodes in one step, against one after another, by the same task manager. The two take
/// turns in one run, so that what else the machine does meets both; only their ratio means something elsewhere.
/// </summary>
internal static class ManyNodes
{
    private const int Count = 500; // as many as one call may name
    private const string Purpose = "power sync";

    public static async Task RunAsync(BenchmarkRun run)
    {
        await using BenchmarkDatabase database = await run.DatabaseAsync(Count);
        TaskManager manager = database.TaskManager();
        Costs many = new();
        Costs single = new();
        foreach (Round round in new Rounds(WarmUp: run.Sized(10, 1), Counted: run.Sized(30, 2), Cycles: 1))
        {
            if (round.Number == 1) (many, single) = (new Costs(), new Costs()); // what was before warmed up
            await AtOnceAsync(manager, database.Nodes, many, run.Stop);
            await OneByOneAsync(manager, database.Nodes, single, run.Stop);
            round.Tell(FormattableString.Invariant(
                $"{many.Acquires[^1]:F1} ms at once, {single.Acquires[^1]:F1} ms one by one"));
        }

        run.Add("acquire.ratio_p50", many.Acquires.Median() / single.Acquires.Median(), "x");
        run.Add("acquire.ratio_p50_by_round", Percentiles.RatioByRound(many.Acquires, single.Acquires), "x");
        run.Add("dispose.ratio_p50", many.Disposes.Median() / single.Disposes.Median(), "x");
        run.Add("dispose.ratio_p50_by_round", Percentiles.RatioByRound(many.Disposes, single.Disposes), "x");
        run.Add("acquire.p50", many.Acquires.Median(), "ms");
        run.Add("dispose.p50", many.Disposes.Median(), "ms");
        run.Add("one_by_one.acquire.p50", single.Acquires.Median(), "ms");
        run.Add("one_by_one.dispose.p50", single.Disposes.Median(), "ms");
    }

    private static async Task AtOnceAsync(
        TaskManager manager, IReadOnlyList<NodeId> nodes, Costs costs, CancellationToken stop)
    {
        long began = Stopwatch.GetTimestamp();
        TaskScopes scopes = await manager.TryAcquireManyAsync(nodes, Purpose, stop);
        costs.Acquires.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        if (scopes.Count != Count) throw new InvalidOperationException($"{scopes.Skipped.Count} nodes were skipped.");

        began = Stopwatch.GetTimestamp();
        await scopes.DisposeAsync();
        costs.Disposes.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
    }

    private static async Task OneByOneAsync(
        TaskManager manager, IReadOnlyList<NodeId> nodes, Costs costs, CancellationToken stop)
    {
        List<TaskScope> scopes = new(Count);
        long began = Stopwatch.GetTimestamp();
        foreach (NodeId node in nodes) scopes.Add(await manager.AcquireAsync(node, Purpose, stop));
        costs.Acquires.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);

        began = Stopwatch.GetTimestamp();
        foreach (TaskScope scope in scopes) await scope.DisposeAsync();
        costs.Disposes.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
    }

    /// <summary>Milliseconds for all nodes, by round.</summary>
    private sealed class Costs
    {
        public List<double> Acquires { get; } = [];

        public List<double> Disposes { get; } = [];
    }
}
