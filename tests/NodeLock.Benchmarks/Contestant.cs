using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>One way to take a node and give it back, and what that cost in the rounds that count.</summary>
internal sealed class Contestant(string name, Func<NodeId, CancellationToken, Task> cycle)
{
    private readonly List<double> milliseconds = [];
    private readonly List<double> medians = [];
    private long allocated;

    public string Name => name;

    /// <summary>Runs cycles one after another, over all nodes in turn.</summary>
    public async Task RunAsync(IReadOnlyList<NodeId> nodes, int cycles, bool counts, CancellationToken stop)
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

        LastMedian = Percentile(round, 50);
        if (!counts) return;
        allocated += GC.GetTotalAllocatedBytes(precise: true) - allocatedBefore;
        milliseconds.AddRange(round);
        medians.Add(LastMedian);
    }

    /// <summary>The median of the last round, also of one that did not count.</summary>
    public double LastMedian { get; private set; }

    public double P50 => Percentile(milliseconds, 50);

    public double P99 => Percentile(milliseconds, 99);

    /// <summary>Bytes, by all threads of the process.</summary>
    public double AllocatedPerCycle => (double)allocated / milliseconds.Count;

    /// <summary>The median over the rounds of this one's median by the other's: what else the machine does comes and
    /// goes, and is much the same within a round.</summary>
    public double RatioByRound(Contestant other) =>
        Percentile([.. medians.Zip(other.medians, (mine, its) => mine / its)], 50);

    private static double Percentile(List<double> values, int percent)
    {
        double[] sorted = [.. values.Order()];
        return sorted[Math.Min(sorted.Length - 1, sorted.Length * percent / 100)];
    }
}
