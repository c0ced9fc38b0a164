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

    /// <summary>The nodes that exist.</summary>
    /// <value>The default is null: every node does.</value>
    public IReadOnlySet<NodeId>? Nodes { get; init; }

    internal Lock Sync { get; } = new();

    internal SortedDictionary<NodeId, InMemoryRow> Rows { get; } =
        new(Comparer<NodeId>.Create((a, b) => string.CompareOrdinal(a.ToString(), b.ToString())));

    internal Dictionary<string, InMemoryConductor> Conductors { get; } = [];

    internal DateTimeOffset Now => clock.GetUtcNow();

    internal long LastToken { get; set; }

    string INodeLockRepository.Kind => "memory";

    string INodeLockRepository.Location => "memory";

    HeartbeatPace INodeLockRepository.Pace => HeartbeatPace.Timer;

    NodeId INodeLockRepository.Spell(NodeId nodeId) => nodeId;

    ValueTask<ReserveAnswer> INodeLockRepository.ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        lock (Sync) return new(Reserve_NeedsLock(request));
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

    ValueTask<Reservation?> INodeLockRepository.FindAsync(NodeId nodeId, CancellationToken cancellationToken)
    {
        if (Nodes?.Contains(nodeId) == false) throw new NodeNotFoundException(nodeId, "memory");
        lock (Sync)
            return new(Rows.TryGetValue(nodeId, out InMemoryRow? row) ? ReservationOf_NeedsLock(nodeId, row) : null);
    }

    ValueTask<IReadOnlyList<Reservation>> INodeLockRepository.ListAsync(CancellationToken cancellationToken)
    {
        lock (Sync)
            return new([.. Rows.Select(r => ReservationOf_NeedsLock(r.Key, r.Value)).OfType<Reservation>()]);
    }

    ValueTask<IReadOnlyList<ReserveAnswer>> INodeLockRepository.ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<IReadOnlyList<HeldNode>> INodeLockRepository.ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit) => throw new NotSupportedException();

    ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, long fencingToken, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, string sharer, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<IReadOnlyList<NodeId>> INodeLockRepository.FindReservedByAsync(string deadHolder, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<Reservation?> INodeLockRepository.RevokeAsync(
        NodeId nodeId, string deadHolder, string fencer, TimeSpan timeLimit) => throw new NotSupportedException();

    ValueTask<bool> INodeLockRepository.FinishFenceAsync(string deadHolder, string fencer, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    IConductorStore INodeLockRepository.Connect(TimeSpan timeLimit) => new InMemoryConductorStore(this);

    internal bool Release_NeedsLock(string holder, HeldNode held)
    {
        if (!Rows.TryGetValue(held.NodeId, out InMemoryRow? row) || row.Holder != holder
            || row.Token != held.FencingToken)
            return false;
        row.Holder = null;
        return true;
    }

    internal bool HasEnded_NeedsLock(string holder) =>
        Conductors.TryGetValue(holder, out InMemoryConductor? conductor) && !conductor.IsAlive;

    private ReserveAnswer Reserve_NeedsLock(ReserveRequest request)
    {
        if (Nodes?.Contains(request.NodeId) == false) return new ReserveAnswer.NodeNotFound();
        if (!Conductors.TryGetValue(request.Holder, out InMemoryConductor? conductor) || !conductor.IsAlive
            || conductor.ExpiresAt <= Now)
            return new ReserveAnswer.ConductorNotAlive();

        if (!Rows.TryGetValue(request.NodeId, out InMemoryRow? row)) Rows.Add(request.NodeId, row = new InMemoryRow());
        bool isMine = row.Holder == request.Holder && row.Token == request.KnownToken;
        bool isFree = row.Holder is null || isMine || HasEnded_NeedsLock(row.Holder);
        if (!isFree && row.Holder == request.Holder) return new ReserveAnswer.Unnamed(row.Token, ReservationMode.Exclusive);
        if (!isFree) return new ReserveAnswer.Taken(ReservationOf_NeedsLock(request.NodeId, row)!);

        string? takenOverFrom = isMine ? null : row.Holder;
        (row.Holder, row.Token, row.Purpose, row.ReservedAt) = (request.Holder, ++LastToken, request.Purpose, Now);
        return new ReserveAnswer.Granted(row.Token, row.ReservedAt, takenOverFrom);
    }

    private Reservation? ReservationOf_NeedsLock(NodeId nodeId, InMemoryRow row) => row.Holder is null
        ? null
        : new Reservation(nodeId, ReservationMode.Exclusive, [row.Holder], row.Purpose, row.ReservedAt, row.Token,
            HasEnded_NeedsLock(row.Holder) ? ReservationState.Revoked : ReservationState.Held);
}

/// <summary>A node's row; free when it has no holder. The token stays when it is released.</summary>
internal sealed class InMemoryRow
{
    public string? Holder { get; set; }
    public long Token { get; set; }
    public string Purpose { get; set; } = "";
    public DateTimeOffset ReservedAt { get; set; }
}

/// <summary>A conductor's entry. One that is not alive never is again.</summary>
internal sealed class InMemoryConductor
{
    public bool IsAlive { get; set; } = true;
    public DateTimeOffset ExpiresAt { get; set; }
}
