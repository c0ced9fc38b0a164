using NodeLock.Benchmarks;
using NodeLock.Tests.Postgres;

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
try
{
    await using PrivateCluster server = await PrivateCluster.StartNewAsync();
    Figures.Progress(
        $"PostgreSQL {server.VersionText}, {Environment.ProcessorCount} processors, .NET {Environment.Version}");
    foreach (Benchmark benchmark in options.Benchmarks)
    {
        Figures.Progress($"{benchmark.Name}: {benchmark.What}");
        await using BenchmarkDatabase database =
            await BenchmarkDatabase.CreateAsync(server, benchmark.Name, options.Nodes);
        await benchmark.RunAsync(database, options, figures, limit.Token);
    }
}
catch (OperationCanceledException) when (limit.IsCancellationRequested)
{
    Console.Error.WriteLine($"Stopped: by hand, or after the limit of {options.TimeLimit}.");
    return 1;
}

figures.Print();
return 0;
