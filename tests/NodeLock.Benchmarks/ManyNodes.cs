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

    public static async Task RunAsync(BenchmarkDatabase database, BenchmarkOptions options, Figures figures,
        CancellationToken stop)
    {
        await database.ExecuteAsync($"insert into {BenchmarkContext.Table} (id) select generate_series(1, {Count}) "
            + "on conflict do nothing");
        NodeId[] nodes = [.. Enumerable.Range(1, Count).Select(n => (NodeId)n)];
        TaskManager manager = database.OnPooledContexts();
        Costs many = new();
        Costs single = new();
        for (int round = 1 - options.ManyWarmUpRounds; round <= options.ManyRounds; round++)
        {
            if (round == 1) (many, single) = (new Costs(), new Costs()); // what was before warmed up
            await AtOnceAsync(manager, nodes, many, stop);
            await OneByOneAsync(manager, nodes, single, stop);
            if (round % 10 != 0 && round != options.ManyRounds) continue;
            string name = round > 0 ? $"round {round} of {options.ManyRounds}" : "warm-up";
            Figures.Progress($"  {name}, ms: {many.LastAcquire:F1} at once, {single.LastAcquire:F1} one by one");
        }

        figures.Add("many.acquire.ratio_p50", Median(many.Acquires) / Median(single.Acquires), "x");
        figures.Add("many.acquire.ratio_p50_by_round", RatioByRound(many.Acquires, single.Acquires), "x");
        figures.Add("many.dispose.ratio_p50", Median(many.Disposes) / Median(single.Disposes), "x");
        figures.Add("many.dispose.ratio_p50_by_round", RatioByRound(many.Disposes, single.Disposes), "x");
        figures.Add("many.acquire.p50", Median(many.Acquires), "ms");
        figures.Add("many.dispose.p50", Median(many.Disposes), "ms");
        figures.Add("many.one_by_one.acquire.p50", Median(single.Acquires), "ms");
        figures.Add("many.one_by_one.dispose.p50", Median(single.Disposes), "ms");
    }

    private static async Task AtOnceAsync(TaskManager manager, NodeId[] nodes, Costs costs, CancellationToken stop)
    {
        long began = Stopwatch.GetTimestamp();
        TaskScopes scopes = await manager.TryAcquireManyAsync(nodes, Purpose, stop);
        costs.Acquires.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        if (scopes.Count != Count) throw new InvalidOperationException($"{scopes.Skipped.Count} nodes were skipped.");

        began = Stopwatch.GetTimestamp();
        await scopes.DisposeAsync();
        costs.Disposes.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
    }

    private static async Task OneByOneAsync(TaskManager manager, NodeId[] nodes, Costs costs, CancellationToken stop)
    {
        List<TaskScope> scopes = new(Count);
        long began = Stopwatch.GetTimestamp();
        foreach (NodeId node in nodes) scopes.Add(await manager.AcquireAsync(node, Purpose, stop));
        costs.Acquires.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);

        began = Stopwatch.GetTimestamp();
        foreach (TaskScope scope in scopes) await scope.DisposeAsync();
        costs.Disposes.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
    }

    private static double RatioByRound(List<double> many, List<double> single) =>
        Median([.. many.Zip(single, (m, s) => m / s)]);

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    /// <summary>Milliseconds for all nodes, by round.</summary>
    private sealed class Costs
    {
        public List<double> Acquires { get; } = [];

        public double LastAcquire => Acquires[^1];

        public List<double> Disposes { get; } = [];
    }
}
