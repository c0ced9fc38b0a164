using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>
/// How long 10,000 nodes stay taken when the process that holds them is killed: until another one may have any of them,
/// until one that waits has got its node, and until the last row says so.
/// </summary>
internal static class Recovery
{
    private const string Purpose = "power on";

    private static readonly TimeSpan HeartbeatInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LeaseDuration = TimeSpan.FromSeconds(6);
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    public static async Task RunAsync(BenchmarkRun run)
    {
        int count = run.Sized(10_000, 1_000);
        await using BenchmarkDatabase database = await run.DatabaseAsync(count);
        ChildSettings settings = new(database.ConnectionString)
        {
            HeartbeatInterval = HeartbeatInterval,
            LeaseDuration = LeaseDuration,
        };
        TaskManager living = database.TaskManager(settings.Apply);
        await living.CycleAsync(database.Nodes[0], Purpose, run.Stop);
        await using ConductorProcess dying = await ConductorProcess.StartAsync(settings);
        string dead = await dying.HoldAsync(count, run.Stop);
        await Task.Delay(HeartbeatInterval * 3, run.Stop); // it judges nobody before its third renewal

        Figures.Progress($"  kills one that holds {count} nodes");
        using var end = CancellationTokenSource.CreateLinkedTokenSource(run.Stop);
        end.CancelAfter(Limit);
        Task<TaskScope> waiting = living.AcquireAsync(database.Nodes[^1],
            new AcquireOptions { Purpose = Purpose, Retry = LockRetry.Patient }, end.Token).AsTask();
        dying.Kill();
        long killed = Stopwatch.GetTimestamp();
        double[] times = await Task.WhenAll(
            SecondsUntilAsync(killed, () => IsTrueAsync(database,
                $"select state = 'fenced' from nodelock_conductors where holder = '{dead}'"), end.Token),
            SecondsUntilAsync(killed, waiting),
            SecondsUntilAsync(killed, () => IsTrueAsync(database,
                $"select not exists (select from {BenchmarkContext.Table} where reservation = '{dead}')"), end.Token));

        TimeSpan promised = LeaseDuration + HeartbeatInterval;
        run.Add("acquirable", times[0], "s");
        run.Add("acquired", times[1], "s");
        run.Add("all_free", times[2], "s");
        run.Add("lease", LeaseDuration.TotalSeconds, "s");
        run.Add("heartbeat", HeartbeatInterval.TotalSeconds, "s");
        run.Add("acquirable_ratio", times[0] / promised.TotalSeconds, "x");
        run.Add("all_free_ratio", times[2] / promised.TotalSeconds, "x");
    }

    private static Task<bool> IsTrueAsync(BenchmarkDatabase database, string sql) => database.ScalarAsync<bool>(sql);

    private static async Task<double> SecondsUntilAsync(long began, Task<TaskScope> waiting)
    {
        TaskScope scope = await waiting;
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        await scope.DisposeAsync();
        return seconds;
    }

    private static async Task<double> SecondsUntilAsync(long began, Func<Task<bool>> isSo, CancellationToken end)
    {
        while (!await isSo()) await Task.Delay(LookInterval, end);
        return Stopwatch.GetElapsedTime(began).TotalSeconds;
    }
}
