using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>One way to take a node and give it back, and what that cost in the rounds that count.</summary>
internal sealed class Contestant(string name, Func<NodeId, CancellationToken, Task> cycle)
{
    private readonly List<double> milliseconds = [];
    private readonly List<double> medians = [];
    private long allocated;

    /// <summary>Behind the name of the benchmark; empty for the one that the benchmark is about.</summary>
    public string Name => name;

    /// <summary>The median of the last round, also of one that did not count.</summary>
    public double LastMedian { get; private set; }

    public double P50 => milliseconds.Median();

    public double P99 => milliseconds.Percentile(99);

    /// <summary>Bytes, by all threads of the process.</summary>
    public double AllocatedPerCycle => (double)allocated / milliseconds.Count;

    public double RatioByRound(Contestant other) => Percentiles.RatioByRound(medians, other.medians);

    /// <summary>Several take turns, so that what else the machine does meets all of them.</summary>
    public static async Task TakeTurnsAsync(
        Contestant[] contestants, BenchmarkDatabase database, Rounds rounds, CancellationToken stop)
    {
        foreach (Round round in rounds)
        {
            foreach (Contestant contestant in contestants)
                await contestant.RunAsync(database.Nodes, rounds.Cycles, round.Counts, stop);
            round.Tell(string.Join(", ", contestants.Select(c => FormattableString.Invariant(
                $"{(c.Name.Length > 0 ? c.Name : "NodeLock")} {c.LastMedian:F3} ms"))));
        }
    }

    /// <summary>Runs cycles one after another, over all nodes in turn.</summary>
    private async Task RunAsync(IReadOnlyList<NodeId> nodes, int cycles, bool counts, CancellationToken stop)
    {
        var round = new List<double>(cycles);
        long allocatedBefore = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < cycles; i++)
        {
            NodeId node = nodes[i % nodes.Count];
            long began = Stopwatch.GetTimestamp();
            await cycle(node, stop);
            round.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        }

        long allocatedHere = GC.GetTotalAllocatedBytes(precise: true) - allocatedBefore;
        LastMedian = round.Median();
        if (!counts) return;
        allocated += allocatedHere;
        milliseconds.AddRange(round);
        medians.Add(LastMedian);
    }
}
