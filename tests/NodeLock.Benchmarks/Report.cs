using System.Globalization;
using System.Text;

namespace NodeLock.Benchmarks;

/// <summary>The figures as a Markdown page that says by itself what is missed.</summary>
internal sealed class Report(BenchmarkOptions options, Figures figures, IReadOnlyList<string> facts)
{
    private const string Project = "tests/NodeLock.Benchmarks";

    private readonly StringBuilder page = new();

    /// <summary>Where it goes if nothing else is said: beside the sources, wherever this was built.</summary>
    public static string DefaultPath()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            string project = Path.Combine(at.FullName, Project);
            if (Directory.Exists(project)) return Path.Combine(project, "results", "report.md");
        }

        throw new FormatException($"There is no {Project} above the executable; say --report=PATH.");
    }

    /// <summary>The claims that were missed, for the progress.</summary>
    public static IEnumerable<string> Missed(Figures figures) =>
        from claim in Claims.All
        let figure = figures.Find(claim.Name)
        where figure is not null && !claim.IsMetBy(figure)
        select $"{claim.Name} {figure.Text()}, to be {claim.Target}";

    public async Task WriteAsync(string path)
    {
        Heading();
        ClaimTable();
        foreach (Benchmark benchmark in options.Benchmarks) FigureTable(benchmark);
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        await File.WriteAllTextAsync(path, page.ToString());
    }

    private void Heading()
    {
        Line("# What the benchmarks showed");
        Line();
        Line(string.Create(CultureInfo.InvariantCulture,
            $"{DateTime.UtcNow:yyyy-MM-dd}, medians of {options.Runs} runs; in brackets the least and the greatest."));
        Line("[What each figure means](../README.md).");
        if (options.IsQuick) Line("**From a quick run: these figures mean nothing.**");
        Line();
        foreach (string fact in facts) Line($"- {fact}");
        if (figures.Find("commit.p50") is { } update) Line($"- one durable update by Npgsql: p50 {update.Text()} ms");
        Line();
    }

    private void ClaimTable()
    {
        Line("## Claims");
        Line();
        Line("| claim | figure | target | measured | met |");
        Line("|---|---|---|---|---|");
        foreach (Claim claim in Claims.All.Where(c => options.Benchmarks.Any(b => IsOf(b, c.Name))))
        {
            Figure? figure = figures.Find(claim.Name);
            string measured = figure is null ? "not measured" : $"{figure.Text()} ({figure.Range()}) {figure.Unit}";
            string met = figure is null ? "" : claim.IsMetBy(figure) ? "yes" : "**no**";
            Line($"| {claim.What} | `{claim.Name}` | {claim.Target} | {measured} | {met} |");
        }

        Line();
    }

    private void FigureTable(Benchmark benchmark)
    {
        Line($"## `{benchmark.Name}`: {benchmark.What}");
        Line();
        Line("| figure | median | least – greatest | unit | target | met |");
        Line("|---|---:|---:|---|---|---|");
        foreach (Figure figure in figures.All.Where(f => IsOf(benchmark, f.Name)))
        {
            Claim? claim = Claims.All.FirstOrDefault(c => c.Name == figure.Name);
            string met = claim is null ? "" : claim.IsMetBy(figure) ? "yes" : "**no**";
            Line($"| `{figure.Name}` | {figure.Text()} | {figure.Range()} | {figure.Unit} | {claim?.Target} | {met} |");
        }

        Line();
    }

    private static bool IsOf(Benchmark benchmark, string figure) =>
        figure.StartsWith($"{benchmark.Name}.", StringComparison.Ordinal);

    private void Line(string text = "") => page.Append(text).Append('\n');
}
