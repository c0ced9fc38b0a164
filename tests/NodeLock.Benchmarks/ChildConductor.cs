using System.Diagnostics;
using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace NodeLock.Benchmarks;

/// <summary>
/// This executable as a conductor, spoken to in lines: <c>take 1</c>, <c>give</c>, <c>loop 1 10000</c>,
/// <c>hold 10000</c>. Each is answered by one line; times are of the machine's monotonic clock, which all its processes
/// share. It ends when its input does.
/// </summary>
internal sealed class ChildConductor(TaskManager manager)
{
    public const string Verb = "conductor";
    public const string Answer = "> ";

    private const int MostInOneStep = 500;
    private const string Purpose = "benchmark";

    private static readonly AcquireOptions Patient = new() { Purpose = Purpose, Retry = LockRetry.Patient };
    private static readonly TimeSpan Hold = TimeSpan.FromMilliseconds(1);

    private readonly List<TaskScopes> held = [];
    private TaskScope? taken;

    public static async Task<int> RunAsync(string settings)
    {
        // A key that stops the parent reaches this process too; it ends with its input, when the parent has ended it.
        Console.CancelKeyPress += (_, pressed) => pressed.Cancel = true;
        ChildSettings parsed = ChildSettings.Parse(settings);
        var services = new ServiceCollection();
        services.AddPooledDbContextFactory<BenchmarkContext>(o => o.UseNpgsql(parsed.ConnectionString));
        services.AddNodeLock(parsed.Apply).UseEntityFrameworkCore<BenchmarkContext>();

        // Not disposed: whoever closes the input without a word means the process to be gone.
        var child = new ChildConductor(services.BuildServiceProvider().GetRequiredService<TaskManager>());
        Console.WriteLine(Answer + "ready");
        while (await Console.In.ReadLineAsync() is { } command)
        {
            try
            {
                Console.WriteLine(Answer + await child.ObeyAsync(command.Split(' ')));
            }
            // The parent is told, and gives up.
            catch (Exception e)
            {
                Console.WriteLine($"{Answer}failed {e.ToString().ReplaceLineEndings(" ")}");
            }
        }

        return 0;
    }

    private Task<string> ObeyAsync(string[] command) => command switch
    {
        ["take", var node] => TakeAsync((NodeId)node),
        ["give"] => GiveAsync(),
        ["loop", var node, var milliseconds] => LoopAsync((NodeId)node, Number(milliseconds)),
        ["hold", var count] => HoldAsync(Number(count)),
        _ => throw new InvalidOperationException($"Unknown: {string.Join(' ', command)}"),
    };

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private async Task<string> TakeAsync(NodeId node)
    {
        taken = await manager.AcquireAsync(node, Patient);
        return $"took {Stopwatch.GetTimestamp()}";
    }

    private async Task<string> GiveAsync()
    {
        long began = Stopwatch.GetTimestamp();
        await taken!.DisposeAsync();
        return $"gave {began}";
    }

    /// <summary>One task that takes and gives the node for so long; the answer is all its turns.</summary>
    private async Task<string> LoopAsync(NodeId node, int milliseconds)
    {
        List<Turn> turns = [];
        long began = Stopwatch.GetTimestamp();
        using var end = new CancellationTokenSource(milliseconds);
        try
        {
            while (Stopwatch.GetElapsedTime(began).TotalMilliseconds < milliseconds)
            {
                await using TaskScope scope = await manager.AcquireAsync(node, Patient, end.Token);
                long acquired = Stopwatch.GetTimestamp();
                await Task.Delay(Hold, CancellationToken.None);
                turns.Add(new Turn(scope.FencingToken, acquired, Stopwatch.GetTimestamp()));
            }
        }
        catch (OperationCanceledException)
        {
            // Still waiting when the time was over.
        }

        return $"looped {string.Join(' ', turns)}";
    }

    private async Task<string> HoldAsync(int count)
    {
        foreach (int[] some in Enumerable.Range(1, count).Chunk(MostInOneStep))
            held.Add(await manager.TryAcquireManyAsync([.. some.Select(n => (NodeId)n)], Purpose));
        return $"holding {held.Sum(scopes => scopes.Count)} {manager.Holder}";
    }
}
