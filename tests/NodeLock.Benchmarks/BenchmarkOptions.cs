using System.Globalization;

namespace NodeLock.Benchmarks;

/// <summary>What the command line asks for.</summary>
internal sealed record BenchmarkOptions
{
    private const int RunsOfReport = 3;
    private const string ReportOption = "--report";

    private Benchmark[] named = [];
    private int runs;

    public static string HelpText =>
        $"""
        Measures NodeLock on a PostgreSQL server of its own, which is started in a temporary directory and removed.
        Progress goes to stderr; at the end, lines of "name value unit" go to stdout.

        dotnet run -c Release --project tests/NodeLock.Benchmarks -- [benchmark …] [option …]

        Benchmarks; all of them when none is named:
        {string.Join(Environment.NewLine, Benchmark.All.Select(b => $"  {b.Name,-12} {b.What}"))}

        Options:
          --runs N        whole runs, whose medians are printed; 1, for a report {RunsOfReport}, and 1 to 100
          --report[=PATH] writes a Markdown page too; results/report.md beside the sources
          --quick         a little of everything, to see that it works; the figures mean nothing
          --minutes N     the limit of all runs together; {Default.TimeLimit.TotalMinutes}, and 1 to 600
        """;

    public IReadOnlyList<Benchmark> Benchmarks => named.Length > 0 ? named : Benchmark.All;
    public bool Help { get; private init; }
    public bool IsQuick { get; private init; }
    public int Runs => runs > 0 ? runs : ReportPath is null || IsQuick ? 1 : RunsOfReport;
    public string? ReportPath { get; private init; }
    public TimeSpan TimeLimit { get; private init; } = TimeSpan.FromMinutes(90);

    private static BenchmarkOptions Default { get; } = new();

    /// <exception cref="FormatException">There is no such benchmark or option, or a value is out of bounds.</exception>
    public static BenchmarkOptions Parse(string[] arguments)
    {
        var options = new BenchmarkOptions();
        for (int i = 0; i < arguments.Length; i++)
        {
            string argument = arguments[i];
            int Value(int most) => Number(argument, i + 1 < arguments.Length ? arguments[++i] : "", most);
            options = argument switch
            {
                "--help" or "-h" => options with { Help = true },
                "--quick" => options with { IsQuick = true },
                "--runs" => options with { runs = Value(100) },
                ReportOption => options with { ReportPath = Report.DefaultPath() },
                _ when argument.Split('=', 2) is [ReportOption, { Length: > 0 } path] =>
                    options with { ReportPath = path },
                "--minutes" => options with { TimeLimit = TimeSpan.FromMinutes(Value(600)) },
                _ => options with { named = [.. options.named, BenchmarkOf(argument)] },
            };
        }

        return options;
    }

    private static Benchmark BenchmarkOf(string name) => Benchmark.All.FirstOrDefault(b => b.Name == name)
        ?? throw new FormatException($"There is no benchmark or option '{name}'.");

    private static int Number(string option, string text, int most) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value)
        && value >= 1 && value <= most
            ? value
            : throw new FormatException($"{option} takes a number from 1 to {most}, not '{text}'.");
}
