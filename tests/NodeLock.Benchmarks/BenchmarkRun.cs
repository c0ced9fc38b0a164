using NodeLock.Tests.Postgres;

namespace NodeLock.Benchmarks;

/// <summary>What a benchmark is given for one run.</summary>
internal sealed record BenchmarkRun(
    string Name, PrivateCluster Server, bool IsQuick, Figures Figures, CancellationToken Stop)
{
    /// <summary>A database of its own with so many nodes.</summary>
    public Task<BenchmarkDatabase> DatabaseAsync(int nodes) =>
        BenchmarkDatabase.CreateAsync(Server, $"{Name}_{nodes}", nodes);

    /// <summary>How much is done: enough for a figure, or, in a quick run, just enough to see that it works.</summary>
    public int Sized(int full, int quick) => IsQuick ? quick : full;

    /// <inheritdoc cref="Sized(int, int)"/>
    public TimeSpan Lasting(double seconds, double quick) => TimeSpan.FromSeconds(IsQuick ? quick : seconds);

    public void Add(string figure, double value, string unit) => Figures.Add($"{Name}.{figure}", value, unit);
}
