using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// Workers that want a few nodes all the time, in either mode, one or several, and change the mode while they have one.
/// Who has a node exclusively counts, with a guarded write for one; who shares it looks whether the numbers stand still.
/// </summary>
internal sealed class MixedWorkload(
    TaskManager manager, Counters counters, DbContextOptions<Accounts> accounts, WorkRecord record, WorkOrder order)
    : Workload(manager, counters, record.Beliefs, order.Nodes, order.Hold, order.IsGuarded)
{
    /// <summary>What several acquires that come at the same time are for.</summary>
    public const string AtOnce = "all at once";

    private const int Steps = 3;
    private const int MostStages = 3;

    // One hold of so many is so many times as long: what is taken from its scope, others find time to take.
    private const int LongHolds = 3;
    private const int LongHold = 20;

    // So many of one process want the same node, and ask rarely: most are woken.
    private const int Line = 4;
    private static readonly LockRetry Rarely = new(4, TimeSpan.FromMilliseconds(400));

    private readonly TaskManager manager = manager;
    private readonly Counters counters = counters;

    protected override Task TakeTurnAsync() => Random.Shared.Next(order.HasLines ? 12 : 10) switch
    {
        0 => UseSeveralAsync(),
        1 => UseThoseThatAreFreeAsync(),
        2 => SpawnAsync(),
        3 => TryAsync(ReservationMode.Exclusive),
        4 => TryAsync(ReservationMode.Shared),
        < 8 => UseAsync(ReservationMode.Shared),
        10 => UseInLineAsync(),
        11 => TryAllAsync(),
        _ => UseAsync(ReservationMode.Exclusive),
    };

    protected override void Count(string outcome)
    {
        base.Count(outcome);
        record.Did(outcome);
    }

    private Task UseInLineAsync()
    {
        NodeId node = new(AnyNode());
        AcquireOptions options = new() { Purpose = "one after the other", Retry = Rarely };
        return Task.WhenAll(Enumerable.Range(0, Line).Select(_ => WithFaultsAsync(async () =>
        {
            await using TaskScope scope = await manager.AcquireAsync(node, options);
            await UseBrieflyAsync(scope);
        })));
    }

    /// <summary>Each with a call of its own, so that most go together in one statement.</summary>
    private Task TryAllAsync() => Task.WhenAll(order.Nodes.Select(node => WithFaultsAsync(async () =>
    {
        await using TaskScope? scope = await manager.TryAcquireAsync(new NodeId(node), AtOnce);
        if (scope is not null)
            await UseBrieflyAsync(scope);
    })));

    private async Task UseBrieflyAsync(TaskScope scope)
    {
        Believer believer = new(scope, record, manager.Holder);
        if (believer.Begin(BeliefMode.Exclusive))
            await CountAsync(believer, mayBeLong: false);
    }

    private async Task UseAsync(ReservationMode mode)
    {
        await using TaskScope scope = await AcquireAsync(mode);
        await UseAsync(scope);
    }

    private async Task TryAsync(ReservationMode mode)
    {
        await using TaskScope? scope = await manager.TryAcquireAsync(new NodeId(AnyNode()), "try", mode);
        if (scope is not null)
            await UseAsync(scope);
    }

    private async Task SpawnAsync()
    {
        await using TaskScope scope = await AcquireAsync(ReservationMode.Exclusive);
        await scope.Spawn((own, _) => UseAsync(own));
    }

    private async Task UseSeveralAsync()
    {
        await using TaskScopes scopes = await manager.AcquireAllAsync(
            SeveralNodes(), new AcquireOptions { Purpose = "all of them", Retry = Retry });
        Count("acquired all");
        await UseEachAsync(scopes);
    }

    private async Task UseThoseThatAreFreeAsync()
    {
        await using TaskScopes scopes = await manager.TryAcquireManyAsync(SeveralNodes(), "what is free");
        await UseEachAsync(scopes);
    }

    private Task UseEachAsync(TaskScopes scopes) =>
        Task.WhenAll(scopes.Select(scope => WithFaultsAsync(() => UseAsync(scope))));

    private IEnumerable<NodeId> SeveralNodes() =>
        [.. Enumerable.Range(0, Random.Shared.Next(2, 4)).Select(_ => new NodeId(AnyNode()))];

    private async Task<TaskScope> AcquireAsync(ReservationMode mode) => await manager.AcquireAsync(
        new NodeId(AnyNode()), new AcquireOptions { Purpose = "count", Mode = mode, Retry = Retry });

    private async Task UseAsync(TaskScope scope)
    {
        Believer believer = new(scope, record, manager.Holder);
        bool holds = believer.Begin(
            scope.Mode == ReservationMode.Exclusive ? BeliefMode.Exclusive : BeliefMode.Shared);
        for (int stage = Random.Shared.Next(MostStages); holds; stage--)
        {
            bool isExclusive = believer.Mode == BeliefMode.Exclusive;
            holds = isExclusive ? await WriteAsync(believer, isLast: stage == 0) : await ReadAsync(believer);
            if (stage == 0)
                return;
            if (holds)
                holds = isExclusive ? await believer.DowngradeAsync() : await believer.UpgradeAsync();
        }
    }

    private Task<bool> WriteAsync(Believer believer, bool isLast) =>
        order.IsSaving && IsHeads() ? SaveAsync(believer, releases: isLast && IsHeads()) : CountAsync(believer);

    private async Task<bool> CountAsync(Believer believer, bool mayBeLong = true)
    {
        string node = believer.Scope.NodeId.ToString();
        long count = await counters.ReadAsync(node);
        if (!await HoldAsync(believer, mayBeLong: mayBeLong))
            return false;
        if (order.IsGuarded)
            await counters.WriteGuardedAsync(node, count + 1, believer.Scope.FencingToken);
        else
            await counters.WriteAsync(node, count + 1, believer.Scope.FencingToken);
        return believer.Confirm();
    }

    private async Task<bool> SaveAsync(Believer believer, bool releases)
    {
        await using Accounts context = new(accounts);
        Accounts.Account account = await context.ReadAsync(believer.Scope.NodeId.ToString());
        if (!await HoldAsync(believer, asks: IsHeads()))
            return false;
        string write = record.Name();
        context.Raise(account, write, believer.Scope.FencingToken);
        record.Wrote(write, WorkRecord.Begun);
        string outcome = await OutcomeAsync(releases
            ? context.SaveChangesAndReleaseAsync(believer.Scope)
            : context.SaveChangesGuardedAsync(believer.Scope));
        record.Wrote(write, outcome);
        bool isReleased = releases && outcome == WorkRecord.Accepted;
        return !isReleased && believer.Confirm();
    }

    private static async Task<string> OutcomeAsync(Task<int> save)
    {
        try
        {
            await save;
            return WorkRecord.Accepted;
        }
        catch (ReservationLostException)
        {
            return WorkRecord.Refused;
        }
        catch (InvalidOperationException e) when (
            e.Message.StartsWith("The outcome of a guarded write is unknown", StringComparison.Ordinal))
        {
            return WorkRecord.Unknown;
        }
        // Whatever else it throws, nothing was saved.
        catch (Exception e) when (IsOfTheDatabase(e))
        {
            return WorkRecord.Failed;
        }
    }

    private async Task<bool> ReadAsync(Believer believer)
    {
        string node = believer.Scope.NodeId.ToString();
        (long, long) before = await counters.ReadBothAsync(node);
        if (!await HoldAsync(believer))
            return false;
        (long, long) after = await counters.ReadBothAsync(node);

        // Asked after the second look: the node was shared all the time between the two.
        if (!believer.Confirm())
            return false;
        Count("read");
        if (before != after)
            record.ReadTorn($"{node}: {before} became {after} while it was shared with {believer.Scope.FencingToken}");
        return true;
    }

    /// <summary>Who does not ask finds out by what it does next.</summary>
    private async Task<bool> HoldAsync(Believer believer, bool asks = true, bool mayBeLong = true)
    {
        TimeSpan hold = mayBeLong && Random.Shared.Next(LongHolds) == 0 ? order.Hold * LongHold : order.Hold;
        for (int step = 0; step < Steps; step++)
        {
            await Task.Delay(hold / Steps);
            if (asks && !believer.Confirm())
                return false;
        }

        return true;
    }

    private static bool IsHeads() => Random.Shared.Next(2) == 0;
}
