using NodeLock.Benchmarks;
using NodeLock.Tests.Postgres;

if (args is [ChildConductor.Verb, string settings]) return await ChildConductor.RunAsync(settings);

BenchmarkOptions options;
try
{
    options = BenchmarkOptions.Parse(args);
}
catch (FormatException e)
{
    Console.Error.WriteLine(e.Message);
    Console.Error.WriteLine("--help says what there is.");
    return 2;
}

if (options.Help)
{
    Console.WriteLine(BenchmarkOptions.HelpText);
    return 0;
}

using var limit = new CancellationTokenSource(options.TimeLimit);
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true; // ends by itself, and stops its server
    limit.Cancel();
};

var figures = new Figures();
IReadOnlyList<string> facts;
bool failed = false;
try
{
    await using PrivateCluster server = await PrivateCluster.StartNewAsync();
    facts = await Machine.FactsAsync(server);
    foreach (string fact in facts) Figures.Progress($"{fact}");
    for (int run = 1; run <= options.Runs; run++)
    {
        foreach (Benchmark benchmark in options.Benchmarks)
        {
            Figures.Progress($"run {run} of {options.Runs}, {benchmark.Name}: {benchmark.What}");
            failed |= !await TryRunAsync(benchmark, server);
        }
    }
}
catch (Exception) when (limit.IsCancellationRequested) // what is cut short fails in one way or another
{
    Console.Error.WriteLine($"Stopped: by hand, or after the limit of {options.TimeLimit}.");
    return 1;
}

figures.Print();
foreach (string missed in Report.Missed(figures)) Figures.Progress($"missed: {missed}");
if (options.ReportPath is { } path) await new Report(options, figures, facts).WriteAsync(path);
return failed ? 1 : 0;

// One that fails must not cost the figures of the others, which may have taken half an hour.
async Task<bool> TryRunAsync(Benchmark benchmark, PrivateCluster server)
{
    try
    {
        await benchmark.RunAsync(
            new BenchmarkRun(benchmark.Name, server, options.IsQuick, figures, limit.Token));
        return true;
    }
    catch (Exception e) when (!limit.IsCancellationRequested)
    {
        Console.Error.WriteLine($"{benchmark.Name} failed: {e}");
        return false;
    }
}
