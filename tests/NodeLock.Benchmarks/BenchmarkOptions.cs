using System.Globalization;

namespace NodeLock.Benchmarks;

/// <summary>What the command line asks for.</summary>
internal sealed record BenchmarkOptions
{
    private Benchmark[] named = [];

    public static string HelpText =>
        $"""
        Measures NodeLock on a PostgreSQL server of its own, which is started in a temporary directory and removed.
        Progress goes to stderr; at the end, lines of "name value unit" go to stdout.

        dotnet run -c Release --project tests/NodeLock.Benchmarks -- [benchmark …] [option …]

        Benchmarks; all of them when none is named:
        {string.Join(Environment.NewLine, Benchmark.All.Select(b => $"  {b.Name,-16} {b.What}"))}

        Options:
          --nodes N        nodes in the table; {Default.Nodes}, and 1 to 1000000
          --rounds N       latency: counted rounds; {Default.Rounds}, and 1 to 1000
          --warm-up N      latency: rounds before them; {Default.WarmUpRounds}, and 0 to 1000
          --cycles N       latency: cycles of each in a round; {Default.Cycles}, and 1 to 100000
          --many-rounds N  many: counted rounds; {Default.ManyRounds}, and 1 to 1000
          --many-warm-up N many: rounds before them; {Default.ManyWarmUpRounds}, and 0 to 1000
          --hot-cycles N   hot: cycles; {Default.HotCycles}, and 1 to 10000000
          --minutes N      the limit of the whole run; {Default.TimeLimit.TotalMinutes}, and 1 to 600
        """;

    public IReadOnlyList<Benchmark> Benchmarks => named.Length > 0 ? named : Benchmark.All;
    public bool Help { get; private init; }
    public int Nodes { get; private init; } = 100;
    public int Rounds { get; private init; } = 50;
    public int WarmUpRounds { get; private init; } = 20;
    public int Cycles { get; private init; } = 100;
    public int ManyRounds { get; private init; } = 30;
    public int ManyWarmUpRounds { get; private init; } = 10;
    public int HotCycles { get; private init; } = 10_000;
    public TimeSpan TimeLimit { get; private init; } = TimeSpan.FromMinutes(15);

    private static BenchmarkOptions Default { get; } = new();

    /// <exception cref="FormatException">There is no such benchmark or option, or a value is out of bounds.</exception>
    public static BenchmarkOptions Parse(string[] arguments)
    {
        var options = new BenchmarkOptions();
        for (int i = 0; i < arguments.Length; i++)
        {
            string argument = arguments[i];
            int Value(int least, int most) =>
                Number(argument, i + 1 < arguments.Length ? arguments[++i] : "", least, most);
            options = argument switch
            {
                "--help" or "-h" => options with { Help = true },
                "--nodes" => options with { Nodes = Value(1, 1_000_000) },
                "--rounds" => options with { Rounds = Value(1, 1000) },
                "--warm-up" => options with { WarmUpRounds = Value(0, 1000) },
                "--cycles" => options with { Cycles = Value(1, 100_000) },
                "--many-rounds" => options with { ManyRounds = Value(1, 1000) },
                "--many-warm-up" => options with { ManyWarmUpRounds = Value(0, 1000) },
                "--hot-cycles" => options with { HotCycles = Value(1, 10_000_000) },
                "--minutes" => options with { TimeLimit = TimeSpan.FromMinutes(Value(1, 600)) },
                _ => options with { named = [.. options.named, BenchmarkOf(argument)] },
            };
        }

        return options;
    }

    private static Benchmark BenchmarkOf(string name) => Benchmark.All.FirstOrDefault(b => b.Name == name)
        ?? throw new FormatException($"There is no benchmark or option '{name}'.");

    private static int Number(string option, string text, int least, int most) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value)
        && value >= least && value <= most
            ? value
            : throw new FormatException($"{option} takes a number from {least} to {most}, not '{text}'.");
}
