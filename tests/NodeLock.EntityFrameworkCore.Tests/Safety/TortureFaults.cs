using System.Collections.Concurrent;
using System.Data.Common;
using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>
/// What befalls connections and server, over and over: replies are lost, statements come late, sessions are killed, a
/// user's transaction hangs on a node, and the server stops at once and starts again.
/// </summary>
internal sealed class TortureFaults(
    Yard yard, FaultProxy proxy, PrivateCluster cluster, string[] nodes, CancellationToken enough)
{
    /// <summary>Words of the statement that a guarded write begins with.</summary>
    public const string GuardedWrite = "pg_current_xact_id()";

    public const string Release = "release";
    public const string ReleaseOfEntry = "release of an entry";

    // How often faults come; the workload goes on in between.
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(400);

    // For a statement of the kind to come by; its sender gives up after a second at the most, unless it is paused.
    private static readonly TimeSpan FaultLimit = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(2);

    // Never late: the server ends the heartbeat's transactions when they idle for an interval.
    private const string Renewal = "renewal";

    // Words of the statements that faults are for.
    private static readonly (string Name, string Words)[] Statements =
    [
        ("reserve", "then 'shared'"),
        ("hand-over", "$6 > n.reservation_token"),
        ("reserve beside sharers, or upgrade", "as outbid"),
        ("share, or downgrade", "drawn as materialized"),
        ("join", "as waits"),
        ("reserve many", "after_the_locks"),
        (Release, "n.reservation_token = $3 and settings.row_wait"),
        (ReleaseOfEntry, "= any (n.reservation_shared) and settings.row_wait"),
        ("release many", "returning l.id, l.token, l.shared"),
        ("guarded write", GuardedWrite),
        (Renewal, "returning c.heartbeat_at"),
    ];

    private readonly ConcurrentQueue<(string Node, long Begin, long End)> hangs = new();

    public Toll Toll { get; } = new();

    public IReadOnlyCollection<(string Node, long Begin, long End)> Hangs => hangs;

    /// <summary>Nothing but late statements of one kind, many of them.</summary>
    public Task RunAsync(string kind) => Task.WhenAll(
        Statements.Where(s => s.Name == kind).SelectMany(s => Enumerable.Repeat(s, 6))
            .Select(s => DelayAsync(s.Name, s.Words)));

    public Task RunAsync() => Task.WhenAll(
    [
        LoseRepliesAsync(),
        KillBackendsAsync(),
        HangAsync(),
        StopServerAsync(),
        .. Statements.Where(s => s.Name != Renewal).Select(s => DelayAsync(s.Name, s.Words)),
    ]);

    /// <summary>False when another fault was faster, and killed the session or the process.</summary>
    public static async Task<bool> HappensAsync(Task fault)
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

    private static TimeSpan UpTo(double seconds) => Random.Shared.NextDouble() * TimeSpan.FromSeconds(seconds);

    /// <summary>Loses the reply to the statement; to a guarded write, that to its commit.</summary>
    private async Task LoseRepliesAsync()
    {
        for (int i = 0; !enough.IsCancellationRequested; i++)
        {
            (string name, string words) = Statements[i % Statements.Length];
            using DroppedReplies fault = proxy.DropReplyAfterCommit(words);
            if (await HappensAsync(fault.WaitForDropAsync(FaultLimit)) && fault.Errors == 0)
                Toll.Add(Toll.LostReply + name);
            await Task.Delay(Pace);
        }
    }

    /// <summary>Delivers a statement when its sender has given up, and others have gone on for a while.</summary>
    private async Task DelayAsync(string name, string words)
    {
        while (!enough.IsCancellationRequested)
        {
            ProxiedRequest? held = null;
            using HeldRequests fault = proxy.HoldRequests(
                request => request.Contains(words) && Interlocked.CompareExchange(ref held, request, null) is null,
                count: 1);
            bool isLate = await HappensAsync(fault.WaitForSenderGoneAsync(FaultLimit));
            if (isLate)
                await UntilItMattersAsync(held!);
            fault.Release();
            if (isLate && await HappensAsync(fault.WaitForAnswerAsync(AnswerLimit)))
                Toll.Add(Toll.Late + name);
            await Task.Delay(Pace);
        }
    }

    /// <summary>
    /// At any time; or when anybody asks for the node again, and may have it then; or when its sender does, who may
    /// take what comes late for its own.
    /// </summary>
    private async Task UntilItMattersAsync(ProxiedRequest late)
    {
        int when = Random.Shared.Next(3);
        if (when == 0)
        {
            await Task.Delay(UpTo(seconds: 1));
            return;
        }

        string node = nodes.FirstOrDefault(late.Contains) ?? "";
        string sender = when == 1 ? "" : Enumerable.Range(0, Torture.Processes).Select(Torture.NameOf)
            .FirstOrDefault(name => late.Contains($"{name}/")) ?? "";
        using WatchedRequests again = proxy.WatchRequests(request =>
            request.IsReserve() && request.Contains(node) && request.Contains(sender));
        await HappensAsync(again.WaitForMatchAsync(AnswerLimit));
        await Task.Delay(UpTo(seconds: 0.03));
    }

    private async Task KillBackendsAsync()
    {
        while (!enough.IsCancellationRequested)
        {
            try
            {
                bool killed = await yard.ScalarAsync<bool>(
                    """
                    select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and backend_type = 'client backend'
                      and application_name not like 'yard%'
                    order by random() limit 1
                    """);
                if (killed)
                    Toll.Add(Toll.KilledBackends);
            }
            catch (DbException)
            {
                // The server is stopped.
            }

            await Task.Delay(Pace);
        }
    }

    /// <summary>A transaction of somebody's has a node's row in hand for longer than anybody waits for it.</summary>
    private async Task HangAsync()
    {
        while (!enough.IsCancellationRequested)
        {
            string node = nodes[Random.Shared.Next(nodes.Length)];
            try
            {
                await using NpgsqlConnection hung = await yard.TakeRowInHandAsync(node);
                long began = Beliefs.Now();
                await Task.Delay(TimeSpan.FromSeconds(1) + UpTo(seconds: 2));
                long ended = Beliefs.Now();
                await using NpgsqlCommand rollBack = new("rollback", hung);
                await rollBack.ExecuteNonQueryAsync();
                hangs.Enqueue((node, began, ended));
                Toll.Add(Toll.Hangs);
            }
            catch (DbException)
            {
                // The server is stopped, and its transactions with it.
            }

            await Task.Delay(Pace);
        }
    }

    /// <summary>Sometimes for less than what is left of the leases, sometimes for longer.</summary>
    private async Task StopServerAsync()
    {
        while (!enough.IsCancellationRequested)
        {
            await Task.Delay(TimeSpan.FromSeconds(6) + UpTo(seconds: 10), enough)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (enough.IsCancellationRequested)
                return;
            await cluster.StopAsync(ClusterStop.Immediate);
            await Task.Delay(UpTo(seconds: 2));
            await cluster.StartAsync();
            Toll.Add(Toll.ServerStops);
        }
    }
}
