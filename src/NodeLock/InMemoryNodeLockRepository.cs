namespace NodeLock;

/// <summary>
/// Keeps reservations in memory, by the same rules as a database does: leases, death and take-over included. Two task
/// managers that share one stand for two conductors.
/// </summary>
/// <remarks>
/// With it an acquire runs synchronously up to its wait, and heartbeats are timers of the <see cref="TimeProvider"/>,
/// so that a test may acquire, advance the time, and see.
/// </remarks>
/// <param name="timeProvider">The store's clock; null for the system's.</param>
/// <threadsafety>All members may be used at the same time from any thread.</threadsafety>
public sealed class InMemoryNodeLockRepository(TimeProvider? timeProvider = null) : INodeLockRepository
{
    private readonly TimeProvider clock = timeProvider ?? TimeProvider.System;
    private long lastToken;

    /// <summary>The nodes that exist.</summary>
    /// <value>The default is null: every node does.</value>
    public IReadOnlySet<NodeId>? Nodes { get; init; }

    internal Lock Sync { get; } = new();

    internal SortedDictionary<NodeId, InMemoryRow> Rows { get; } =
        new(Comparer<NodeId>.Create((a, b) => string.CompareOrdinal(a.ToString(), b.ToString())));

    internal Dictionary<string, InMemoryConductor> Conductors { get; } = [];

    internal HashSet<InMemoryReleaseListener> Listeners { get; } = [];

    internal DateTimeOffset Now => clock.GetUtcNow();

    string INodeLockRepository.Kind => "memory";

    string INodeLockRepository.Location => "memory";

    HeartbeatPace INodeLockRepository.Pace => HeartbeatPace.Timer;

    NodeId INodeLockRepository.Spell(NodeId nodeId) => nodeId;

    ValueTask<ReserveAnswer> INodeLockRepository.ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        lock (Sync) return new(Refuse_NeedsLock(request) ?? RowOf_NeedsLock(request.NodeId).Answer(request));
    }

    ValueTask<IReadOnlyList<ReserveAnswer>> INodeLockRepository.ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit)
    {
        lock (Sync)
        {
            ReserveAnswer?[] refusals = [.. requests.Select(Refuse_NeedsLock)];
            bool[] areFree = [.. requests.Select(
                (r, i) => refusals[i] is null && RowOf_NeedsLock(r.NodeId).IsFreeFor(r))];
            bool isWithheld = atomicity == Atomicity.AllOrNone && areFree.Contains(false);
            return new([.. requests.Select((r, i) => refusals[i]
                ?? (isWithheld && areFree[i] ? new ReserveAnswer.Withheld() : RowOf_NeedsLock(r.NodeId).Answer(r)))]);
        }
    }

    ValueTask INodeLockRepository.ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit)
    {
        lock (Sync) Release_NeedsLock(holder, held);
        return default;
    }

    void INodeLockRepository.Release(string holder, HeldNode held, TimeSpan timeLimit)
    {
        lock (Sync) Release_NeedsLock(holder, held);
    }

    ValueTask<IReadOnlyList<HeldNode>> INodeLockRepository.ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit)
    {
        lock (Sync) return new([.. held.Where(h => Release_NeedsLock(holder, h))]);
    }

    ValueTask<Reservation?> INodeLockRepository.FindAsync(NodeId nodeId, CancellationToken cancellationToken)
    {
        if (Nodes?.Contains(nodeId) == false) throw new NodeNotFoundException(nodeId, "memory");
        lock (Sync) return new(Rows.GetValueOrDefault(nodeId)?.ToReservation());
    }

    ValueTask<IReadOnlyList<Reservation>> INodeLockRepository.ListAsync(CancellationToken cancellationToken)
    {
        lock (Sync) return new([.. Rows.Values.Select(r => r.ToReservation()).OfType<Reservation>()]);
    }

    ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, long fencingToken, TimeSpan timeLimit)
    {
        lock (Sync) return new(Rows.GetValueOrDefault(nodeId)?.Break(fencingToken) == true);
    }

    ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, string sharer, TimeSpan timeLimit)
    {
        lock (Sync) return new(Rows.GetValueOrDefault(nodeId)?.Break(sharer) == true);
    }

    ValueTask<IReadOnlyList<NodeId>> INodeLockRepository.FindReservedByAsync(string deadHolder, TimeSpan timeLimit)
    {
        lock (Sync) return new([.. Rows.Where(r => r.Value.IsHeldBy(deadHolder)).Select(r => r.Key)]);
    }

    ValueTask<Reservation?> INodeLockRepository.RevokeAsync(
        NodeId nodeId, string deadHolder, string fencer, TimeSpan timeLimit)
    {
        lock (Sync)
        {
            return new(IsClaimed_NeedsLock(deadHolder, fencer) && IsTrusted_NeedsLock(fencer)
                ? Rows.GetValueOrDefault(nodeId)?.Revoke(deadHolder)
                : null);
        }
    }

    ValueTask<bool> INodeLockRepository.FinishFenceAsync(string deadHolder, string fencer, TimeSpan timeLimit)
    {
        lock (Sync)
        {
            if (!IsClaimed_NeedsLock(deadHolder, fencer) || Rows.Values.Any(r => r.IsHeldBy(deadHolder)))
                return new(false);
            Conductors[deadHolder].State = InMemoryConductorState.Fenced;
            return new(true);
        }
    }

    ValueTask<IReleaseListener> INodeLockRepository.ListenAsync(
        string? connectionString, TimeSpan timeLimit, CancellationToken cancellationToken)
    {
        lock (Sync)
        {
            InMemoryReleaseListener listener = new(this);
            Listeners.Add(listener);
            return new(listener);
        }
    }

    IConductorStore INodeLockRepository.Connect(TimeSpan timeLimit) => new InMemoryConductorStore(this);

    internal bool Release_NeedsLock(string holder, HeldNode held) =>
        Rows.GetValueOrDefault(held.NodeId)?.Release(holder, held) == true;

    /// <summary>Tells all who listen that a node is free, or nothing.</summary>
    internal void Tell_NeedsLock(NodeId? nodeId)
    {
        foreach (InMemoryReleaseListener listener in Listeners) listener.Tell(nodeId);
    }

    internal long DrawToken_NeedsLock() => ++lastToken;

    /// <summary>Whether a holder is fenced or has left. One without an entry is not: that proves nothing.</summary>
    internal bool HasEnded_NeedsLock(string holder) => Conductors.GetValueOrDefault(holder)?.HasEnded == true;

    /// <summary>Whether it is never alive again: then it shares nothing any more, fenced or not.</summary>
    internal bool HasDied_NeedsLock(string holder) => Conductors.GetValueOrDefault(holder)?.IsAlive == false;

    internal bool WaitsForFence_NeedsLock(string holder) =>
        Conductors.GetValueOrDefault(holder)?.State == InMemoryConductorState.Dead;

    /// <summary>Whether a conductor may be given anything.</summary>
    internal bool IsTrusted_NeedsLock(string holder) =>
        Conductors.GetValueOrDefault(holder) is { IsAlive: true } conductor && conductor.ExpiresAt > Now;

    private bool IsClaimed_NeedsLock(string deadHolder, string fencer) =>
        Conductors.GetValueOrDefault(deadHolder) is { State: InMemoryConductorState.Dead } dead
        && dead.FencedBy == fencer;

    /// <summary>What stands in the way of any request, whatever is in the row.</summary>
    private ReserveAnswer? Refuse_NeedsLock(ReserveRequest request) =>
        Nodes?.Contains(request.NodeId) == false ? new ReserveAnswer.NodeNotFound()
        : !IsTrusted_NeedsLock(request.Holder) ? new ReserveAnswer.ConductorNotAlive()
        : null;

    private InMemoryRow RowOf_NeedsLock(NodeId nodeId)
    {
        if (!Rows.TryGetValue(nodeId, out InMemoryRow? row)) Rows.Add(nodeId, row = new InMemoryRow(this, nodeId));
        return row;
    }
}
