using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>What 10,000 nodes cost while one process holds them.</summary>
internal static class Held
{
    private const int Tasks = 16;
    private const string Purpose = "deploy";

    private static readonly TimeSpan HeartbeatInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LeaseDuration = TimeSpan.FromSeconds(10);

    public static async Task RunAsync(BenchmarkRun run)
    {
        int count = run.Sized(10_000, 1_000);
        await using BenchmarkDatabase database = await run.DatabaseAsync(count);
        await using SessionCount sessions = new(run, database);
        TaskManager manager = database.TaskManager(options =>
        {
            options.HeartbeatInterval = HeartbeatInterval;
            options.LeaseDuration = LeaseDuration;
        });
        foreach (NodeId node in database.Nodes.Take(100)) await manager.CycleAsync(node, Purpose, run.Stop);

        TaskScope[] scopes = new TaskScope[count];
        long before = Heap();
        await AcquireAsync(manager, database.Nodes, scopes, run.Stop);
        database.ClearPools();
        long after = Heap();
        run.Add("bytes_each", (double)(after - before) / count, "B");
        Figures.Progress($"  holds {count} nodes");

        run.Add("connections", await MostSessionsAsync(run, sessions), "connections");
        double longest = await LongestGapAsync(run, database, manager.Holder);
        run.Add("heartbeat.longest_gap", longest, "s");
        run.Add("heartbeat.interval", HeartbeatInterval.TotalSeconds, "s");
        run.Add("heartbeat.longest_gap_ratio", longest / HeartbeatInterval.TotalSeconds, "x");
        AddStatements(run, database, manager.Holder, scopes);
        run.Add("lost", scopes.Count(scope => scope.Lost.IsCancellationRequested), "nodes");
        await Parallel.ForEachAsync(scopes, run.Stop, async (scope, _) => await scope.DisposeAsync());
    }

    private static async Task AcquireAsync(
        TaskManager manager, IReadOnlyList<NodeId> nodes, TaskScope[] scopes, CancellationToken stop) =>
        await Parallel.ForAsync(0, scopes.Length,
            new ParallelOptions { MaxDegreeOfParallelism = Tasks, CancellationToken = stop },
            async (i, token) => scopes[i] = await manager.AcquireAsync(nodes[i], Purpose, token));

    private static long Heap()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        GC.WaitForPendingFinalizers();
        return GC.GetTotalMemory(forceFullCollection: true);
    }

    private static async Task<int> MostSessionsAsync(BenchmarkRun run, SessionCount sessions)
    {
        await Task.Delay(run.Lasting(1, quick: 0.5), run.Stop); // until those of the pool have ended
        sessions.Watch();
        await Task.Delay(HeartbeatInterval, run.Stop);
        return sessions.Most;
    }

    /// <returns>The longest time between two renewals, by the server's clock, in seconds.</returns>
    private static async Task<double> LongestGapAsync(BenchmarkRun run, BenchmarkDatabase database, string holder)
    {
        List<DateTime> renewals = [];
        long began = Stopwatch.GetTimestamp();
        TimeSpan time = HeartbeatInterval * run.Sized(4, 2); // three whole intervals
        while (Stopwatch.GetElapsedTime(began) < time)
        {
            DateTime renewal = await database.ScalarAsync<DateTime>(
                $"select heartbeat_at from nodelock_conductors where holder = '{holder}'");
            if (renewals.Count == 0 || renewal != renewals[^1]) renewals.Add(renewal);
            await Task.Delay(LookInterval, run.Stop);
        }

        return renewals.Zip(renewals.Skip(1), (one, next) => (next - one).TotalSeconds)
            .DefaultIfEmpty(double.NaN).Max();
    }

    /// <summary>The statements of a heartbeat, on a connection like the conductor's own.</summary>
    private static void AddStatements(
        BenchmarkRun run, BenchmarkDatabase database, string holder, TaskScope[] scopes)
    {
        INodeLockRepository repository = database.Repository();
        HeldNode[] held = [.. scopes.Select(scope => new HeldNode(scope.NodeId, scope.FencingToken))];
        using IConductorStore store = repository.Connect(HeartbeatInterval);
        List<double> renewals = [];
        List<double> looks = [];
        for (int i = 0; i < run.Sized(20, 3); i++)
        {
            renewals.Add(Milliseconds(() => store.Renew(holder, LeaseDuration)));
            looks.Add(Milliseconds(() =>
            {
                store.FindLost(holder, held);
                store.FindReservedBy(holder);
            }));
        }

        run.Add("renewal.p50", renewals.Median(), "ms");
        run.Add("look.p50", looks.Median(), "ms");
    }

    private static double Milliseconds(Action action)
    {
        long began = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(began).TotalMilliseconds;
    }
}
