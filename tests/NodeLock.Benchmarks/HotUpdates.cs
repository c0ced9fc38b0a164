using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>
/// How many of the updates that reserve and release were HOT: on the row's own page, with no index touched and no
/// vacuum needed for the space. Holds while no older snapshot is open that might still see the old versions.
/// </summary>
internal static class HotUpdates
{
    private static readonly TimeSpan StatisticsLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StatisticsInterval = TimeSpan.FromMilliseconds(100);

    public static async Task RunAsync(BenchmarkRun run)
    {
        await using BenchmarkDatabase database = await run.DatabaseAsync(100);
        TaskManager manager = database.TaskManager();
        int cycles = run.Sized(10_000, 500);
        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < cycles; i++)
        {
            NodeId node = database.Nodes[i % database.Nodes.Count];
            await manager.CycleAsync(node, "power on", run.Stop);
            if ((i + 1) % 2000 == 0) Figures.Progress($"  {i + 1} of {cycles} cycles");
        }

        TimeSpan took = Stopwatch.GetElapsedTime(began);
        await database.EndTaskManagersAsync(); // a session that ends tells what it has not told yet
        long updates = 2L * cycles;
        long hot = await HotOfAsync(database, updates, run.Stop);
        run.Add("share", 100.0 * hot / updates, "%");
        run.Add("updates", updates, "updates");
        run.Add("not_hot", updates - hot, "updates");
        run.Add("cycles_per_second", cycles / took.TotalSeconds, "1/s");
    }

    private static async Task<long> HotOfAsync(BenchmarkDatabase database, long updates, CancellationToken stop)
    {
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            long[] counted = await database.ScalarAsync<long[]>(
                "select array[n_tup_upd, n_tup_hot_upd] from pg_stat_user_tables "
                + $"where relname = '{BenchmarkContext.Table}'");
            if (counted[0] == updates) return counted[1];
            if (counted[0] > updates || Stopwatch.GetElapsedTime(began) > StatisticsLimit)
            {
                throw new InvalidOperationException(
                    $"The server counts {counted[0]} updates where {updates} were made.");
            }

            await Task.Delay(StatisticsInterval, stop);
        }
    }
}
