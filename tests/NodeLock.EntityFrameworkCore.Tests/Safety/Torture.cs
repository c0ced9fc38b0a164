using System.Diagnostics;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// Conductors in processes of their own that want the same few nodes, while processes are paused and killed, replies
/// are lost, statements come late, and sessions are killed on the server.
/// </summary>
internal sealed class Torture(Yard yard, FaultProxy proxy, string[] nodes) : IAsyncDisposable
{
    private const int Workers = 4;
    private const int HoldMilliseconds = 15;

    // How often faults come; the workload goes on in between.
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(250);

    private static readonly TimeSpan FaultLimit = TimeSpan.FromSeconds(5);

    private static readonly string[] Statements = ["as trusted", "set reservation = null", "set heartbeat_at = "];

    private readonly ConductorProcess?[] crew = new ConductorProcess?[4];
    private readonly List<string> told = [];
    private readonly Dictionary<string, int> outcomes = [];
    private readonly CancellationTokenSource enough = new();

    public int Pauses { get; private set; }

    public int Kills { get; private set; }

    public int LostReplies { get; private set; }

    public int LateStatements { get; private set; }

    public int KilledBackends { get; private set; }

    /// <summary>Everything that the processes have written.</summary>
    public IReadOnlyList<string> Lines => [.. told, .. crew.Where(child => child is not null).SelectMany(c => c!.Lines)];

    /// <summary>What became of the attempts of the processes that lived to the end.</summary>
    public IReadOnlyDictionary<string, int> Outcomes => outcomes;

    /// <summary>For at least this long, and until each fault has happened often enough.</summary>
    public async Task RunAsync(TimeSpan atLeast)
    {
        for (int i = 0; i < crew.Length; i++)
            await EnlistAsync(i);
        Task faults = Task.WhenAll(PauseAsync(), KillAsync(), LoseRepliesAsync(),
            DelayStatementsAsync(Statements[0]), DelayStatementsAsync(Statements[1]), DelayStatementsAsync(Statements[2]),
            KillBackendsAsync());
        long began = Stopwatch.GetTimestamp();
        Task sufficient = Eventually.TrueAsync("every fault happened often enough", () => Task.FromResult(
            faults.IsCompleted || (Stopwatch.GetElapsedTime(began) > atLeast && HasHappenedOftenEnough)));
        try
        {
            await sufficient;
        }
        finally
        {
            await enough.CancelAsync();
            await faults;
        }

        foreach (ConductorProcess? child in crew)
        {
            foreach ((string outcome, int count) in await child!.RestAsync())
                outcomes[outcome] = outcomes.GetValueOrDefault(outcome) + count;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ConductorProcess? child in crew)
        {
            if (child is not null)
                await child.DisposeAsync();
        }

        enough.Dispose();
    }

    /// <summary>False when another fault was faster, and killed the session or the process.</summary>
    private static async Task<bool> HappensAsync(Task fault)
    {
        try
        {
            await fault;
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private bool HasHappenedOftenEnough =>
        Pauses >= 4 && Kills >= 4 && LostReplies >= 10 && LateStatements >= 6 && KilledBackends >= 20;

    private async Task EnlistAsync(int place)
    {
        ConductorProcess child = await ConductorProcess.StartAsync(new ConductorSettings
        {
            ConnectionString = $"{proxy.ConnectionString};Cancellation Timeout=-1", // gives up at once at its limit
            DirectConnectionString = yard.ConnectionString,
            Name = $"tortured{place}",
            Lease = TimeSpan.FromSeconds(2),
            Heartbeat = TimeSpan.FromMilliseconds(500),
        });
        crew[place] = child;
        await child.AskAsync($"work {Workers} {HoldMilliseconds} {string.Join(',', nodes)}", "working");
        await UntilAliveAsync(child);
    }

    /// <summary>
    /// Stops a process until the others have declared it dead: the first and the second in turn. At any time two of the
    /// four are well, since it takes one that has been well for three renewals to judge the others.
    /// </summary>
    private async Task PauseAsync()
    {
        for (int turn = 0; !enough.IsCancellationRequested; turn++)
        {
            ConductorProcess child = crew[turn % 2]!;
            child.Signal(ChildSignal.Stop);
            try
            {
                await UntilDeadAsync(child);
            }
            finally
            {
                child.Signal(ChildSignal.Continue);
            }

            Pauses++;
            await UntilAliveAsync(child);
        }
    }

    /// <summary>Kills a process and starts another in its place: the third and the fourth in turn.</summary>
    private async Task KillAsync()
    {
        for (int turn = 0; !enough.IsCancellationRequested; turn++)
        {
            int place = 2 + (turn % 2);
            ConductorProcess child = crew[place]!;
            child.Signal(ChildSignal.Kill);
            await child.WaitForExitAsync();
            told.AddRange(child.Lines);
            crew[place] = null;
            await child.DisposeAsync();
            Kills++;
            await EnlistAsync(place);
        }
    }

    private async Task LoseRepliesAsync()
    {
        for (int i = 0; !enough.IsCancellationRequested; i++)
        {
            using DroppedReplies fault = proxy.DropReplyAfterCommit(Statements[i % Statements.Length]);
            if (await HappensAsync(fault.WaitForDropAsync(FaultLimit)))
                LostReplies++;
            await Task.Delay(Pace);
        }
    }

    /// <summary>Delivers a statement when its sender has given up, and others have gone on.</summary>
    private async Task DelayStatementsAsync(string statement)
    {
        while (!enough.IsCancellationRequested)
        {
            using HeldRequests fault = proxy.HoldRequests(statement, count: 1);
            bool isLate = await HappensAsync(fault.WaitForSenderGoneAsync(FaultLimit));
            fault.Release();
            if (isLate && await HappensAsync(fault.WaitForAnswerAsync(FaultLimit)))
                LateStatements++;
        }
    }

    private async Task KillBackendsAsync()
    {
        while (!enough.IsCancellationRequested)
        {
            bool killed = await yard.ScalarAsync<bool>(
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and backend_type = 'client backend'
                  and application_name not like 'yard%'
                order by random() limit 1
                """);
            if (killed)
                KilledBackends++;
            await Task.Delay(Pace);
        }
    }

    private Task UntilDeadAsync(ConductorProcess child) => yard.UntilAsync($"process {child.Id} was declared dead",
        "select not exists (select from nodelock_conductors where process_id = $1 and state = 'alive')", child.Id);

    private Task UntilAliveAsync(ConductorProcess child) => yard.UntilAsync($"process {child.Id} went on",
        """
        select exists (select from nodelock_conductors
                       where process_id = $1 and state = 'alive' and expires_at > clock_timestamp())
        """,
        child.Id);
}
