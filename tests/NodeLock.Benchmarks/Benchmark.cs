namespace NodeLock.Benchmarks;

/// <summary>One claim, or a few that belong together, and what measures them.</summary>
internal sealed record Benchmark(string Name, string What, Func<BenchmarkRun, Task> RunAsync)
{
    /// <summary>In the order in which they run.</summary>
    public static IReadOnlyList<Benchmark> All { get; } =
    [
        new("commit", "one durable update by raw Npgsql, the unit of the others", Commit.RunAsync),
        new("latency", "one uncontended acquire and dispose, against raw Npgsql", Latency.RunAsync),
        new("throughput", "many tasks over few connections, against raw Npgsql and pgbench", Throughput.RunAsync),
        new("handover", "a contended node, between tasks and between processes", HandOver.RunAsync),
        new("waiting", "500 tasks that wait for one node", Waiting.RunAsync),
        new("held", "10,000 nodes that one process holds", Held.RunAsync),
        new("recovery", "10,000 nodes whose process is killed", Recovery.RunAsync),
        new("alloc", "the bytes that an acquire and dispose allocates", Allocations.RunAsync),
        new("many", "500 nodes in one step, against one after another", ManyNodes.RunAsync),
        new("hot", "the share of HOT updates in the reservation table", HotUpdates.RunAsync),
    ];
}
