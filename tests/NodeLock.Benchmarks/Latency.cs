using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// How long an uncontended acquire and dispose takes a caller who is alone. All contestants take turns in one run on
/// one server, so that what else the machine does meets all of them; only their ratios mean something elsewhere.
/// </summary>
internal static class Latency
{
    private const string Purpose = "power on";

    public static async Task RunAsync(BenchmarkRun run)
    {
        await using BenchmarkDatabase database = await run.DatabaseAsync(100);
        await PlainNodes.CreateTableAsync(database);
        await using NpgsqlDataSource connections = database.DataSource();
        SameStatements same = await SameStatements.EnterAsync(database, connections);
        var twoUpdates = new PlainNodes(connections, $"plain/{Guid.NewGuid():N}", PlainNodes.ReleaseLater);
        TaskManager pooled = database.TaskManager();
        TaskManager scoped = database.TaskManagerOnScopes();
        var raw = new Contestant("raw", (node, token) => same.CycleAsync(node, Purpose, token));
        var nodeLock = new Contestant("", (node, token) => pooled.CycleAsync(node, Purpose, token));
        var plain = new Contestant("plain", (node, token) => twoUpdates.CycleAsync(node, Purpose, token));
        var scope = new Contestant("scope", (node, token) => scoped.CycleAsync(node, Purpose, token));
        var floor = new Contestant("select_1", (_, token) => SelectTwiceAsync(connections, token));

        Rounds rounds = new(WarmUp: run.Sized(20, 2), Counted: run.Sized(50, 3), Cycles: run.Sized(100, 20));
        await Contestant.TakeTurnsAsync([raw, nodeLock, plain, scope, floor], database, rounds, run.Stop);

        run.Add("ratio_p50", nodeLock.P50 / raw.P50, "x");
        run.Add("ratio_p50_by_round", nodeLock.RatioByRound(raw), "x");
        run.Add("ratio_p99", nodeLock.P99 / raw.P99, "x");
        run.Add("plain.ratio_p50", nodeLock.P50 / plain.P50, "x");
        run.Add("scope.ratio_p50", scope.P50 / raw.P50, "x");
        foreach (Contestant contestant in (Contestant[])[nodeLock, raw, plain, scope, floor])
        {
            string prefix = contestant.Name.Length > 0 ? $"{contestant.Name}." : "";
            run.Add($"{prefix}p50", contestant.P50, "ms");
            run.Add($"{prefix}p99", contestant.P99, "ms");
        }
    }

    public static async Task CycleAsync(
        this TaskManager manager, NodeId node, string purpose, CancellationToken cancellationToken)
    {
        await using TaskScope scope = await manager.AcquireAsync(node, purpose, cancellationToken);
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
