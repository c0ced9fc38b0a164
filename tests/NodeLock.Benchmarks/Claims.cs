namespace NodeLock.Benchmarks;

/// <summary>Everything that is claimed of a figure, and nothing else: a report says by this what is missed.</summary>
internal static class Claims
{
    public static IReadOnlyList<Claim> All { get; } =
    [
        new("latency.ratio_p50", "an uncontended cycle, over the same statements by Npgsql alone") { AtMost = 1.25 },
        new("throughput.256_tasks.10000_nodes.ratio_to_pgbench", "256 tasks, over pgbench at its best") { AtLeast = 6 },
        new("throughput.connections", "connections for that, at most") { AtMost = 8 },
        new("throughput.256_tasks.cost_of_a_million", "256 tasks on 10,000 nodes, over 1,000,000") { AtMost = 1.2 },
        new("handover.in_process.ratio", "a hand-over among 16 tasks, over a durable update") { AtMost = 1.1 },
        new("handover.two.ratio", "from one process to another that waits, over a durable update") { AtMost = 4 },
        new("handover.four.loop.least_share", "the least served of four processes, over the mean") { AtLeast = 0.5 },
        new("waiting.patient.statements_per_second", "statements for 500 that wait") { AtMost = 2 },
        new("waiting.patient.connections", "connections for 500 that wait") { AtMost = 0 },
        new("waiting.limited.statements_per_second", "statements for 500 that wait and give up") { AtMost = 2 },
        new("waiting.limited.connections", "connections for 500 that wait and give up") { AtMost = 0 },
        new("held.connections", "connections while 10,000 nodes are held") { AtMost = 2 },
        new("held.bytes_each", "memory for each of them") { AtMost = 1024 },
        new("held.heartbeat.longest_gap_ratio", "between two heartbeats, over the interval") { AtMost = 1.25 },
        new("held.lost", "lost of them") { AtMost = 0 },
        new("recovery.acquirable_ratio", "until a killed one's nodes are free, over lease + heartbeat") { AtMost = 1 },
        new("many.acquire.ratio_p50", "500 nodes in one step, over one by one") { AtMost = 0.1 },
        new("hot.share", "HOT updates") { AtLeast = 99 },
    ];
}

/// <summary>What the median of a figure is to be.</summary>
internal sealed record Claim(string Name, string What)
{
    public double AtLeast { get; init; } = double.NegativeInfinity;

    public double AtMost { get; init; } = double.PositiveInfinity;

    public string Target => double.IsFinite(AtMost) ? $"≤ {Figure.Text(AtMost)}" : $"≥ {Figure.Text(AtLeast)}";

    public bool IsMetBy(Figure figure) => figure.Median >= AtLeast && figure.Median <= AtMost;
}
