using System.Globalization;

namespace NodeLock.Benchmarks;

/// <summary>
/// How many cycles a second many tasks get out of a few connections, over few nodes and over many. In each cell
/// NodeLock, plain updates by Npgsql, and pgbench take turns.
/// </summary>
internal static class Throughput
{
    public static async Task RunAsync(BenchmarkRun run)
    {
        int[] taskCounts = run.IsQuick ? [1, 256] : [1, 16, 64, 256, 1024];
        await using Pgbench pgbench = await Pgbench.StartAsync();
        await using Contest few = await Contest.StartAsync(run, pgbench, run.Sized(10_000, 1_000));
        await using Contest many = await Contest.StartAsync(run, pgbench, run.Sized(1_000_000, 10_000));
        await few.WarmUpAsync();
        foreach (int tasks in taskCounts)
        {
            Cell onFew = await few.RunAsync(tasks);
            Cell onMany = await many.RunAsync(tasks);
            run.Add(Name(tasks, "cost_of_a_million"), onFew.NodeLock / onMany.NodeLock, "x");
            run.Add(Name(tasks, "raw.cost_of_a_million"), onFew.Raw / onMany.Raw, "x");
            run.Add(Name(tasks, "pgbench.cost_of_a_million"), onFew.Pgbench / onMany.Pgbench, "x");
        }

        run.Add("connections", Math.Max(few.Connections, many.Connections), "connections");
        run.Add("raw.connections", Contest.RawConnections, "connections");
    }

    private static string Name(int tasks, string figure) =>
        string.Create(CultureInfo.InvariantCulture, $"{tasks}_tasks.{figure}");
}
