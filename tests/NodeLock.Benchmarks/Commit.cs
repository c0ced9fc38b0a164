using System.Diagnostics;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>One durable update by Npgsql: the unit of what anything durable costs on this disk.</summary>
internal static class Commit
{
    public static async Task RunAsync(BenchmarkRun run)
    {
        await using BenchmarkDatabase database = await run.DatabaseAsync(100);
        await PlainNodes.CreateTableAsync(database);
        await using NpgsqlDataSource connections = database.DataSource();
        var plain = new PlainNodes(connections, "plain");
        List<double> updates = [];
        foreach (Round round in new Rounds(WarmUp: run.Sized(500, 50), Counted: run.Sized(2_000, 100), Cycles: 1))
        {
            long began = Stopwatch.GetTimestamp();
            await plain.UpdateAsync(database.Nodes[Math.Abs(round.Number) % database.Nodes.Count], run.Stop);
            if (round.Counts) updates.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        }

        run.Add("p50", updates.Median(), "ms");
        run.Add("p99", updates.Percentile(99), "ms");
    }
}
