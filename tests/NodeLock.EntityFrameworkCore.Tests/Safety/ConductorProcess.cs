using System.Globalization;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>A conductor in another process, as its test speaks to it.</summary>
internal sealed class ConductorProcess : IAsyncDisposable
{
    private readonly ChildProcess child;

    private ConductorProcess(ChildProcess child) => this.child = child;

    public int Id => child.Id;

    /// <summary>Everything it has written so far.</summary>
    public IEnumerable<string> Lines => child.Log.Split('\n');

    public static async Task<ConductorProcess> StartAsync(ConductorSettings settings)
    {
        string program = typeof(ChildConductor).Assembly.Location;
        ConductorProcess process = new(
            await ChildProcess.StartAsync(program, ChildConductor.Verb, settings.ToString()));
        try
        {
            await process.AnswerAsync("ready");
            return process;
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    /// <summary>Gives a command, and returns the words behind the first word of the answer.</summary>
    public async Task<string[]> AskAsync(string command, string answer)
    {
        await child.WriteLineAsync(command);
        return await AnswerAsync(answer);
    }

    public async Task<string> HolderAsync() => (await AskAsync("status", "status"))[0];

    /// <summary>How many of its scopes have been lost.</summary>
    public async Task<int> LossesAsync() =>
        int.Parse((await AskAsync("status", "status"))[2], CultureInfo.InvariantCulture);

    /// <summary>When it was told, on the clock of all processes, that it lost a node.</summary>
    public async Task<long> LostAtAsync(string node)
    {
        string start = $"lost {node} ";
        string? line = null;
        await Patience.UntilAsync($"the child lost {node}", () => Task.FromResult(
            (line = Lines.FirstOrDefault(l => l.StartsWith(start, StringComparison.Ordinal))) is not null));
        return long.Parse(line![start.Length..], CultureInfo.InvariantCulture);
    }

    /// <summary>Ends its workload.</summary>
    public Task RestAsync() => AskAsync("rest", "rested");

    /// <summary>So many random acquires of several nodes; returns what came of all of them so far.</summary>
    public async Task<IReadOnlyDictionary<string, int>> AcquireAllAsync(int count, int seed, string[] nodes) =>
        Batches.ParseOutcomes((await AskAsync(
            $"acquire-all-random {count} {seed} {string.Join(',', nodes)}", "batches"))[0]);

    public void Signal(ChildSignal signal) => child.Signal(signal);

    public Task<int> WaitForExitAsync() => child.WaitForExitAsync(Patience.Limit);

    public ValueTask DisposeAsync() => child.DisposeAsync();

    private async Task<string[]> AnswerAsync(string answer)
    {
        string line = await child.ReadLineAsync(ChildConductor.Answer, Patience.Limit);
        string[] words = line[ChildConductor.Answer.Length..].Split(' ');
        return words[0] == answer ? words[1..] : throw new InvalidOperationException($"{line}\n{child.Log}");
    }
}
