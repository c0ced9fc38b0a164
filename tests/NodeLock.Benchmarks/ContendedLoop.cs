using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>Several processes with one task each, which all take and give the same node as fast as they can.</summary>
internal static class ContendedLoop
{
    public static async Task RunAsync(
        BenchmarkRun run, BenchmarkDatabase database, NodeId node, int processes, string name)
    {
        TimeSpan time = run.Lasting(10, quick: 3);
        Figures.Progress($"  {processes} processes for {time.TotalSeconds} s");
        await using ConductorProcesses children =
            await ConductorProcess.StartAsync(processes, new ChildSettings(database.ConnectionString));
        foreach (ConductorProcess child in children) // registers, and compiles what it will run
        {
            await child.TakeAsync(node, run.Stop);
            await child.GiveAsync(run.Stop);
        }

        IReadOnlyList<Turn>[] turns =
            await Task.WhenAll(children.Select(child => child.LoopAsync(node, time, run.Stop)));
        List<double> crossings = [.. Crossings(turns)];
        run.Add($"{name}.loop.rate", turns.Sum(t => t.Count) / time.TotalSeconds, "1/s");
        run.Add($"{name}.loop.crossings", crossings.Count / time.TotalSeconds, "1/s");
        run.Add($"{name}.loop.p50", crossings.Median(), "ms");
        run.Add($"{name}.loop.p99", crossings.Percentile(99), "ms");
        run.Add($"{name}.loop.least_share", turns.Min(t => t.Count) / turns.Average(t => t.Count), "x");
    }

    /// <summary>Milliseconds from the release of one process to the acquire of another that was next, by the
    /// tokens.</summary>
    private static IEnumerable<double> Crossings(IReadOnlyList<Turn>[] turns)
    {
        (int Process, Turn Turn)[] all =
            [.. turns.SelectMany((of, process) => of.Select(turn => (process, turn))).OrderBy(t => t.turn.Token)];
        return all.Zip(all.Skip(1)).Where(pair => pair.First.Process != pair.Second.Process)
            .Select(pair => Stopwatch.GetElapsedTime(pair.First.Turn.Released, pair.Second.Turn.Acquired)
                .TotalMilliseconds);
    }
}
