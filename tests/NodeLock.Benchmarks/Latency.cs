using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// How long an uncontended acquire and dispose takes a caller who is alone. All contestants take turns in one run on
/// one server, so that what else the machine does meets all of them; only their ratios mean something elsewhere.
/// </summary>
internal static class Latency
{
    private const string Purpose = "power on";

    public static async Task RunAsync(BenchmarkDatabase database, BenchmarkOptions options, Figures figures,
        CancellationToken stop)
    {
        await RawNodes.CreateTableAsync(database);
        await using NpgsqlDataSource connections = database.DataSource();
        var raw = new RawNodes(connections, $"{Environment.MachineName}/{Guid.NewGuid():N}");
        TaskManager pooled = database.OnPooledContexts();
        TaskManager scoped = database.OnScopedContexts();
        var baseline = new Contestant("latency.raw", (node, token) => raw.CycleAsync(node, Purpose, token));
        var nodeLock = new Contestant("latency", (node, token) => CycleAsync(pooled, node, token));
        var inScopes = new Contestant("latency.scope", (node, token) => CycleAsync(scoped, node, token));
        var floor = new Contestant("latency.select_1", (_, token) => SelectTwiceAsync(connections, token));

        await TakeTurnsAsync([baseline, nodeLock, inScopes, floor], database.Nodes, options, stop);

        figures.Add($"{nodeLock.Name}.ratio_p50", nodeLock.P50 / baseline.P50, "x");
        figures.Add($"{nodeLock.Name}.ratio_p50_by_round", nodeLock.RatioByRound(baseline), "x");
        figures.Add($"{nodeLock.Name}.ratio_p99", nodeLock.P99 / baseline.P99, "x");
        figures.Add($"{inScopes.Name}.ratio_p50", inScopes.P50 / baseline.P50, "x");
        foreach (Contestant contestant in (Contestant[])[nodeLock, baseline, inScopes, floor])
        {
            figures.Add($"{contestant.Name}.p50", contestant.P50, "ms");
            figures.Add($"{contestant.Name}.p99", contestant.P99, "ms");
            figures.Add($"{contestant.Name}.allocated_per_cycle", contestant.AllocatedPerCycle, "B");
        }
    }

    private static async Task TakeTurnsAsync(Contestant[] contestants, IReadOnlyList<NodeId> nodes,
        BenchmarkOptions options, CancellationToken stop)
    {
        for (int round = 1 - options.WarmUpRounds; round <= options.Rounds; round++)
        {
            foreach (Contestant contestant in contestants)
                await contestant.RunAsync(nodes, options.Cycles, counts: round > 0, stop);

            if (round % 10 != 0 && round != options.Rounds) continue;
            string name = round > 0 ? $"round {round} of {options.Rounds}" : "warm-up";
            Figures.Progress($"  {name}, p50 in ms: {string.Join(", ", contestants.Select(LastMedianOf))}");
        }
    }

    private static string LastMedianOf(Contestant contestant) =>
        FormattableString.Invariant($"{contestant.Name} {contestant.LastMedian:F3}");

    private static async Task CycleAsync(TaskManager manager, NodeId node, CancellationToken cancellationToken)
    {
        await using TaskScope scope = await manager.AcquireAsync(node, Purpose, cancellationToken);
    }

    /// <summary>The floor: as many round trips on pooled connections as a cycle makes, with nothing to do.</summary>
    private static async Task SelectTwiceAsync(NpgsqlDataSource connections, CancellationToken cancellationToken)
    {
        for (int i = 0; i < 2; i++)
        {
            await using NpgsqlConnection connection = await connections.OpenConnectionAsync(cancellationToken);
            await using var command = new NpgsqlCommand("select 1", connection);
            await command.ExecuteScalarAsync(cancellationToken);
        }
    }
}
