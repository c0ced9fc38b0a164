using System.Globalization;
using NodeLock.Tests.Postgres;

namespace NodeLock.Benchmarks;

/// <summary>A conductor in a process of its own, as its benchmark speaks to it. It does not outlive this
/// process.</summary>
internal sealed class ConductorProcess : IAsyncDisposable
{
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(60);

    private readonly ChildProcess child;

    private ConductorProcess(ChildProcess child) => this.child = child;

    public static async Task<ConductorProcess> StartAsync(ChildSettings settings)
    {
        ConductorProcess process = new(await ChildProcess.StartAsync(
            typeof(ConductorProcess).Assembly.Location, ChildConductor.Verb, settings.ToString()));
        try
        {
            await process.AnswerAsync("ready", CancellationToken.None);
            return process;
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    /// <summary>Several at once, in a list that ends them all.</summary>
    public static async Task<ConductorProcesses> StartAsync(int count, ChildSettings settings)
    {
        ConductorProcesses processes = [];
        try
        {
            for (int i = 0; i < count; i++) processes.Add(await StartAsync(settings));
            return processes;
        }
        catch
        {
            await processes.DisposeAsync();
            throw;
        }
    }

    /// <returns>When it had the node.</returns>
    public async Task<long> TakeAsync(NodeId node, CancellationToken stop) =>
        long.Parse((await AskAsync($"take {node}", "took", stop))[0], CultureInfo.InvariantCulture);

    /// <returns>When it began to give the node back.</returns>
    public async Task<long> GiveAsync(CancellationToken stop) =>
        long.Parse((await AskAsync("give", "gave", stop))[0], CultureInfo.InvariantCulture);

    public async Task<IReadOnlyList<Turn>> LoopAsync(NodeId node, TimeSpan time, CancellationToken stop) =>
        [.. (await AskAsync(string.Create(CultureInfo.InvariantCulture, $"loop {node} {time.TotalMilliseconds:0}"),
            "looped", stop)).Where(word => word.Length > 0).Select(Turn.Parse)];

    /// <returns>Its holder.</returns>
    public async Task<string> HoldAsync(int nodes, CancellationToken stop)
    {
        string[] answer = await AskAsync(string.Create(CultureInfo.InvariantCulture, $"hold {nodes}"), "holding", stop);
        return answer[0] == nodes.ToString(CultureInfo.InvariantCulture)
            ? answer[1]
            : throw new InvalidOperationException($"It holds {answer[0]} of {nodes} nodes.");
    }

    public void Kill() => child.Signal(ChildSignal.Kill);

    public ValueTask DisposeAsync() => child.DisposeAsync();

    private async Task<string[]> AskAsync(string command, string answer, CancellationToken stop)
    {
        await child.WriteLineAsync(command);
        return await AnswerAsync(answer, stop);
    }

    private async Task<string[]> AnswerAsync(string answer, CancellationToken stop)
    {
        string line = await child.ReadLineAsync(ChildConductor.Answer, AnswerLimit).WaitAsync(stop);
        string[] words = line[ChildConductor.Answer.Length..].Split(' ');
        return words[0] == answer ? words[1..] : throw new InvalidOperationException(child.Log);
    }
}

internal sealed class ConductorProcesses : List<ConductorProcess>, IAsyncDisposable
{
    public async ValueTask DisposeAsync()
    {
        foreach (ConductorProcess process in this) await process.DisposeAsync();
    }
}
