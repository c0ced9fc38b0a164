using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>Two processes that pass a node to and fro: one gives it back while the other really waits for it.</summary>
internal static class PingPong
{
    // Longer than a refused request takes, and short against the interval.
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(25);

    // Where nobody is woken each pass takes an interval, and fewer of them say so as well.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(60);

    /// <summary>Between the passes, after as long a pause, one durable update each: processors and disk are slower to
    /// answer after they have rested.</summary>
    public static async Task RunAsync(
        BenchmarkRun run, BenchmarkDatabase database, NodeId node, PlainNodes plain, double busyUpdate)
    {
        Figures.Progress($"  two processes, to and fro");
        List<double> handOvers = [];
        List<double> updates = [];
        await using ConductorProcesses children =
            await ConductorProcess.StartAsync(2, new ChildSettings(database.ConnectionString));
        (ConductorProcess has, ConductorProcess waits) = (children[0], children[1]);
        await has.TakeAsync(node, run.Stop);
        long start = Stopwatch.GetTimestamp();
        foreach (Round round in new Rounds(WarmUp: run.Sized(20, 2), Counted: run.Sized(300, 10), Cycles: 1))
        {
            double handOver = await PassAsync(node, has, waits, run.Stop);
            (has, waits) = (waits, has);
            await Task.Delay(Moment, run.Stop);
            long began = Stopwatch.GetTimestamp();
            await plain.UpdateAsync(node, run.Stop);
            double update = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
            if (round.Counts) handOvers.Add(handOver);
            if (round.Counts) updates.Add(update);
            if (Stopwatch.GetElapsedTime(start) > Longest) break;
        }

        await has.GiveAsync(run.Stop);
        run.Add("two.ratio", handOvers.Median() / updates.Median(), "x");
        run.Add("two.ratio_to_busy_update", handOvers.Median() / busyUpdate, "x");
        run.Add("two.p50", handOvers.Median(), "ms");
        run.Add("two.p99", handOvers.Percentile(99), "ms");
        run.Add("two.update", updates.Median(), "ms");
    }

    /// <summary>Without notifications, where the one who waits asks again after its interval.</summary>
    public static async Task RunUnheardAsync(BenchmarkRun run, BenchmarkDatabase database, NodeId node)
    {
        Figures.Progress($"  two processes, to and fro, without notifications");
        List<double> handOvers = [];
        await using ConductorProcesses children = await ConductorProcess.StartAsync(
            2, new ChildSettings(database.ConnectionString) { ListenForReleases = false });
        (ConductorProcess has, ConductorProcess waits) = (children[0], children[1]);
        await has.TakeAsync(node, run.Stop);
        for (int i = 0; i < run.Sized(10, 2); i++)
        {
            handOvers.Add(await PassAsync(node, has, waits, run.Stop));
            (has, waits) = (waits, has);
        }

        await has.GiveAsync(run.Stop);
        run.Add("two.unheard.p50", handOvers.Median(), "ms");
        run.Add("two.unheard.interval", LockRetry.Patient.Interval.TotalMilliseconds, "ms");
    }

    /// <returns>Milliseconds from just before the dispose of one to the acquire of the other.</returns>
    private static async Task<double> PassAsync(
        NodeId node, ConductorProcess from, ConductorProcess to, CancellationToken stop)
    {
        Task<long> taking = to.TakeAsync(node, stop);
        await Task.Delay(Moment, stop);
        long gave = await from.GiveAsync(stop);
        return Stopwatch.GetElapsedTime(gave, await taking).TotalMilliseconds;
    }
}
