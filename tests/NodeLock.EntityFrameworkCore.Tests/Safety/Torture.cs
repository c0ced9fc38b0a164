using System.Collections.Concurrent;
using System.Data.Common;
using System.Diagnostics;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// Conductors in processes of their own that want the same few nodes in both modes, while processes are paused and
/// killed, and <see cref="TortureFaults"/> befall their connections and their server.
/// </summary>
internal sealed class Torture : IAsyncDisposable
{
    public const int Processes = 4;

    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(2);
    public static readonly TimeSpan Heartbeat = TimeSpan.FromMilliseconds(500);

    public static readonly TimeSpan ReleaseTimeout = TimeSpan.FromSeconds(1);

    // How long a process works before it is paused or killed.
    private static readonly TimeSpan Peace = TimeSpan.FromSeconds(2);

    private readonly Yard yard;
    private readonly FaultProxy proxy;
    private readonly string[] nodes;
    private readonly RepositoryFault brokenBy;
    private readonly TortureFaults faults;
    private readonly ConductorProcess?[] crew = new ConductorProcess?[Processes];
    private readonly DirectoryInfo records = Directory.CreateTempSubdirectory("nodelock-torture");
    private readonly CancellationTokenSource enough = new();
    private readonly WatchedRequests handOvers;
    private readonly WatchedRequests groups;
    private int enlisted;

    public Torture(
        Yard yard, FaultProxy proxy, PrivateCluster cluster, string[] nodes,
        RepositoryFault brokenBy = RepositoryFault.None)
    {
        this.yard = yard;
        this.proxy = proxy;
        this.nodes = nodes;
        this.brokenBy = brokenBy;
        faults = new TortureFaults(yard, proxy, cluster, nodes, enough.Token);
        handOvers = proxy.WatchRequests(Requests.IsHandOver);
        groups = proxy.WatchRequests(r => r.IsReserveOfMany() && r.Contains(MixedWorkload.AtOnce));
    }

    /// <summary>How often what was done to them.</summary>
    public Toll Toll => faults.Toll;

    /// <summary>How often the next in line was to get what the one before it had.</summary>
    public int HandOvers => handOvers.Matches;

    /// <summary>How many statements went for several callers together.</summary>
    public int Groups => groups.Matches;

    /// <summary>How often a conductor was told that a node is free for which somebody waits.</summary>
    public int Told => proxy.Notifications;

    /// <summary>When a user's transaction had which node in hand, on the clock of the beliefs.</summary>
    public IReadOnlyCollection<(string Node, long Begin, long End)> Hangs => faults.Hangs;

    /// <summary>Everything that the processes have recorded, read as it is asked for.</summary>
    public IEnumerable<string> Lines => records.EnumerateFiles().SelectMany(file => ReadLines(file.FullName));

    public static string NameOf(int place) => $"tortured{place}";

    /// <summary>For at least this long, and until it is so.</summary>
    public async Task RunAsync(TimeSpan atLeast, Func<Task<bool>> isEnough)
    {
        for (int i = 0; i < crew.Length; i++)
            await EnlistAsync(i);
        Task befalling = brokenBy switch
        {
            RepositoryFault.None => Task.WhenAll(PauseAsync(), KillAsync(), faults.RunAsync()),
            RepositoryFault.ReleaseOfEntryByHolder => faults.RunAsync(TortureFaults.ReleaseOfEntry),
            _ => faults.RunAsync(TortureFaults.Release),
        };
        long began = Stopwatch.GetTimestamp();
        try
        {
            await Task.WhenAny(befalling, Task.Delay(atLeast));
            await Patience.UntilAsync("everything happened often enough",
                async () => befalling.IsCompleted || await isEnough());
        }
        finally
        {
            await enough.CancelAsync();
            await befalling;
            Toll.Took = Stopwatch.GetElapsedTime(began);
        }

        foreach (ConductorProcess? child in crew)
            await child!.RestAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ConductorProcess? child in crew)
        {
            if (child is not null)
                await child.DisposeAsync();
        }

        handOvers.Dispose();
        groups.Dispose();
        enough.Dispose();
        records.Delete(recursive: true);
    }

    private static IEnumerable<string> ReadLines(string file)
    {
        using StreamReader reader = new(new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        while (reader.ReadLine() is { } line)
            yield return line;
    }

    private async Task EnlistAsync(int place)
    {
        ConductorProcess child = await ConductorProcess.StartAsync(new ConductorSettings
        {
            ConnectionString = $"{proxy.ConnectionString};Cancellation Timeout=-1", // gives up at once at its limit
            DirectConnectionString = yard.ConnectionString,
            Name = NameOf(place),
            Lease = Lease,
            Heartbeat = Heartbeat,
            ReleaseTimeout = ReleaseTimeout,
            Listens = place % 2 == 0, // one of those that are paused, and one of those that are killed
            // What breaks the broken ones comes of statements that go alone.
            Groups = (place == 1) != (brokenBy == RepositoryFault.None),
            Fault = brokenBy,
        });
        crew[place] = child;
        WorkOrder order = new()
        {
            Nodes = nodes,
            IsSaving = brokenBy == RepositoryFault.None,
            HasLines = brokenBy == RepositoryFault.None,
            Record = Path.Combine(records.FullName, $"{++enlisted:000}"),
        };
        await child.AskAsync($"work-mixed {order}", "working");
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
            int place = turn % 2;
            ConductorProcess child = crew[place]!;
            await Task.Delay(Peace);
            using HeldRequests write = proxy.HoldRequests(request =>
                request.Contains(TortureFaults.GuardedWrite) && request.Contains($"{NameOf(place)}/"), count: 1);
            bool isWriting = await TortureFaults.HappensAsync(write.WaitForMatchAsync(Peace));
            child.Signal(ChildSignal.Stop);
            try
            {
                await UntilDeadAsync(child);
                write.Release(); // what it had sent in time arrives when it is dead
                if (isWriting)
                    await TortureFaults.HappensAsync(write.WaitForAnswerAsync(Peace));
            }
            finally
            {
                child.Signal(ChildSignal.Continue);
            }

            Toll.Add(isWriting ? Toll.PausesInWrites : Toll.Pauses);
            await UntilAliveAsync(child);
        }
    }

    /// <summary>Kills a process and starts another in its place: the third and the fourth in turn.</summary>
    private async Task KillAsync()
    {
        for (int turn = 0; !enough.IsCancellationRequested; turn++)
        {
            await Task.Delay(Peace);
            int place = 2 + (turn % 2);
            ConductorProcess child = crew[place]!;
            child.Signal(ChildSignal.Kill);
            await child.WaitForExitAsync();
            crew[place] = null;
            await child.DisposeAsync();
            Toll.Add(Toll.Kills);
            await EnlistAsync(place);
        }
    }

    private Task UntilDeadAsync(ConductorProcess child) => UntilAsync($"process {child.Id} was declared dead",
        "select not exists (select from nodelock_conductors where process_id = $1 and state = 'alive')", child.Id);

    private Task UntilAliveAsync(ConductorProcess child) => UntilAsync($"process {child.Id} went on",
        """
        select exists (select from nodelock_conductors
                       where process_id = $1 and state = 'alive' and expires_at > clock_timestamp())
        """,
        child.Id);

    /// <summary>Waits also while the server is stopped.</summary>
    private Task UntilAsync(string what, string sql, object parameter) => Patience.UntilAsync(what, async () =>
    {
        try
        {
            return await yard.ScalarAsync<bool>(sql, parameter);
        }
        catch (DbException)
        {
            return false;
        }
    });
}

/// <summary>How often what was done to the processes of a torture.</summary>
internal sealed class Toll
{
    public const string Pauses = "pauses";
    public const string PausesInWrites = "pauses in a guarded write";
    public const string Kills = "kills";
    public const string KilledBackends = "killed backends";
    public const string ServerStops = "server stops";
    public const string Hangs = "hung transactions";
    public const string LostReply = "lost reply: ";
    public const string Late = "late: ";

    private readonly ConcurrentDictionary<string, int> counts = new();

    /// <summary>How long it went on.</summary>
    public TimeSpan Took { get; set; }

    public void Add(string what) => counts.AddOrUpdate(what, 1, (_, count) => count + 1);

    /// <summary>How often anything happened that begins so.</summary>
    public int Of(string beginning) =>
        counts.Where(c => c.Key.StartsWith(beginning, StringComparison.Ordinal)).Sum(c => c.Value);

    public override string ToString() => $"{Took.TotalSeconds:0} s: {Of(LostReply)} lost replies, {Of(Late)} late; "
        + string.Join(", ", counts.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => $"{c.Key} {c.Value}"));
}
