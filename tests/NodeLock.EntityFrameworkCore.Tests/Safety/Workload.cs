using System.Collections.Concurrent;
using System.Data.Common;
using System.Globalization;
using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>
/// Workers that want a few nodes all the time: each acquires one, believes in it for a moment, counts, and releases it.
/// </summary>
/// <remarks>
/// Where processes are paused, the counter is to be guarded by the token: a plain write of a process that was paused
/// before it may rightly come too late, since there is nothing to hold it back.
/// </remarks>
internal class Workload(
    TaskManager manager, Counters counters, Beliefs beliefs, string[] nodes, TimeSpan hold, bool isGuarded)
{
    private const int Steps = 3;

    /// <summary>Few attempts, so that a worker soon goes on to another node.</summary>
    protected static readonly LockRetry Retry = new(8, TimeSpan.FromMilliseconds(25));

    private readonly ConcurrentDictionary<string, int> outcomes = new();
    private int scopes;

    /// <summary>How often what happened: "used", "lost", and the names of exceptions.</summary>
    public IReadOnlyDictionary<string, int> Outcomes => outcomes;

    public async Task RunAsync(int workers, CancellationToken stop)
    {
        await Task.WhenAll(Enumerable.Range(0, workers).Select(_ => Task.Run(() => WorkAsync(stop))));
    }

    private async Task WorkAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
            await WithFaultsAsync(TakeTurnAsync);
    }

    /// <summary>Counts the answers that a caller must expect when processes, connections and backends are
    /// killed.</summary>
    protected async Task WithFaultsAsync(Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception e) when (e is NodeLockedException or ReservationLostException || IsOfTheDatabase(e))
        {
            Count(e is PostgresException refused ? $"SQLSTATE {refused.SqlState}" : e.GetType().Name);
            if (e is DbException)
                await Task.Delay(Retry.Interval); // the server may be away
        }
    }

    protected virtual Task TakeTurnAsync() => UseAsync(AnyNode());

    protected string AnyNode() => nodes[Random.Shared.Next(nodes.Length)];

    /// <summary>A fault of the database, also as EF Core wraps it.</summary>
    protected static bool IsOfTheDatabase(Exception e) => e is DbException or DbUpdateException or TimeoutException
        || (e is InvalidOperationException && e.InnerException is { } inner && IsOfTheDatabase(inner));

    protected virtual void Count(string outcome) => outcomes.AddOrUpdate(outcome, 1, (_, count) => count + 1);

    private async Task UseAsync(string node)
    {
        await using TaskScope scope = await manager.AcquireAsync(
            new NodeId(node), new AcquireOptions { Purpose = "count", Retry = Retry });
        string id = Interlocked.Increment(ref scopes).ToString(CultureInfo.InvariantCulture);
        if (!Believes(scope, id, isFirst: true))
            return;
        long count = await counters.ReadAsync(node);
        for (int step = 0; step < Steps; step++)
        {
            await Task.Delay(hold / Steps);
            if (!Believes(scope, id))
                return;
        }

        if (isGuarded)
            await counters.WriteGuardedAsync(node, count + 1, scope.FencingToken);
        else
            await counters.WriteAsync(node, count + 1, scope.FencingToken);
        if (Believes(scope, id))
            Count("used");
    }

    /// <summary>
    /// Notes the belief with a time before the question. A process may be paused after any answer, so that nothing is
    /// noted that was not asked for: the belief is over with the last "yes".
    /// </summary>
    private bool Believes(TaskScope scope, string id, bool isFirst = false)
    {
        long askedAfter = Beliefs.Now();
        try
        {
            scope.EnsureHeld();
        }
        catch (ReservationLostException)
        {
            Count("lost");
            beliefs.Lose(id);
            return false;
        }

        if (isFirst)
            beliefs.Begin(scope.NodeId.ToString(), id, manager.Holder, scope.FencingToken, askedAfter: askedAfter);
        else
            beliefs.Confirm(id, askedAfter);
        return true;
    }
}
