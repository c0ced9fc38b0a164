using System.Diagnostics;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// What it takes until a contended node is somebody else's: between tasks of one process, and between processes. The
/// unit is one durable update by Npgsql, on the same server in the same run.
/// </summary>
internal static class HandOver
{
    private const int Tasks = 16;

    private static readonly NodeId Node = 1;

    public static async Task RunAsync(BenchmarkRun run)
    {
        await using BenchmarkDatabase database = await run.DatabaseAsync(1);
        await PlainNodes.CreateTableAsync(database);
        await using NpgsqlDataSource connections = database.DataSource();
        var plain = new PlainNodes(connections, "plain");
        double busyUpdate = await InProcessAsync(run, database, plain);
        await ContendedLoop.RunAsync(run, database, Node, processes: 2, "two");
        await ContendedLoop.RunAsync(run, database, Node, processes: 4, "four");
        await PingPong.RunAsync(run, database, Node, plain, busyUpdate);
        await PingPong.RunUnheardAsync(run, database, Node);
    }

    /// <returns>Milliseconds for an update, one right after another.</returns>
    private static async Task<double> InProcessAsync(BenchmarkRun run, BenchmarkDatabase database, PlainNodes plain)
    {
        TaskManager manager = database.TaskManager();
        List<double> handOvers = [];
        List<double> updates = [];
        Rounds rounds = new(WarmUp: run.Sized(10, 1), Counted: run.Sized(30, 3), Cycles: run.Sized(320, 64));
        foreach (Round round in rounds)
        {
            double handOver = await TimedAsync(rounds.Cycles, () => TakeTurnsAsync(manager, rounds.Cycles, run.Stop));
            double update = await TimedAsync(rounds.Cycles, () => UpdateAsync(plain, rounds.Cycles, run.Stop));
            if (round.Counts) handOvers.Add(handOver);
            if (round.Counts) updates.Add(update);
            round.Tell(FormattableString.Invariant($"a hand-over {handOver:F3} ms, an update {update:F3} ms"));
        }

        await database.EndTaskManagersAsync();
        run.Add("in_process.ratio", handOvers.Median() / updates.Median(), "x");
        run.Add("in_process.ratio_by_round", Percentiles.RatioByRound(handOvers, updates), "x");
        run.Add("in_process.rate", 1000 / handOvers.Median(), "1/s");
        run.Add("in_process.mean", handOvers.Median(), "ms");
        run.Add("in_process.update", updates.Median(), "ms");
        return updates.Median();
    }

    private static async Task TakeTurnsAsync(TaskManager manager, int turns, CancellationToken stop)
    {
        AcquireOptions patient = new() { Purpose = "power on", Retry = LockRetry.Patient };
        int left = turns;
        await Task.WhenAll(Enumerable.Range(0, Tasks).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) >= 0)
            {
                await using TaskScope scope = await manager.AcquireAsync(Node, patient, stop);
            }
        }, stop)));
    }

    private static async Task UpdateAsync(PlainNodes plain, int updates, CancellationToken stop)
    {
        for (int i = 0; i < updates; i++) await plain.UpdateAsync(Node, stop);
    }

    /// <returns>Milliseconds for each.</returns>
    private static async Task<double> TimedAsync(int count, Func<Task> action)
    {
        long began = Stopwatch.GetTimestamp();
        await action();
        return Stopwatch.GetElapsedTime(began).TotalMilliseconds / count;
    }
}
