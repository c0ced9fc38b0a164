namespace NodeLock.Tests.Safety;

/// <summary>A repository as it is, to be overridden where a control is to be broken.</summary>
internal abstract class DecoratedRepository(INodeLockRepository inner) : INodeLockRepository
{
    public string Kind => inner.Kind;

    public string Location => inner.Location;

    public HeartbeatPace Pace => inner.Pace;

    public NodeId Spell(NodeId nodeId) => inner.Spell(nodeId);

    public virtual ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit) =>
        inner.ReserveAsync(request, timeLimit);

    public virtual ValueTask<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit) =>
        inner.ReserveManyAsync(requests, atomicity, timeLimit);

    public virtual ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit) =>
        inner.ReleaseAsync(holder, held, timeLimit);

    public virtual void Release(string holder, HeldNode held, TimeSpan timeLimit) =>
        inner.Release(holder, held, timeLimit);

    public virtual ValueTask<IReadOnlyList<HeldNode>> ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit) =>
        inner.ReleaseManyAsync(holder, held, timeLimit);

    public ValueTask<Reservation?> FindAsync(NodeId nodeId, CancellationToken cancellationToken) =>
        inner.FindAsync(nodeId, cancellationToken);

    public ValueTask<IReadOnlyList<Reservation>> ListAsync(CancellationToken cancellationToken) =>
        inner.ListAsync(cancellationToken);

    public ValueTask<bool> BreakAsync(NodeId nodeId, long fencingToken, TimeSpan timeLimit) =>
        inner.BreakAsync(nodeId, fencingToken, timeLimit);

    public ValueTask<bool> BreakAsync(NodeId nodeId, string sharer, TimeSpan timeLimit) =>
        inner.BreakAsync(nodeId, sharer, timeLimit);

    public ValueTask<IReadOnlyList<NodeId>> FindReservedByAsync(string deadHolder, TimeSpan timeLimit) =>
        inner.FindReservedByAsync(deadHolder, timeLimit);

    public ValueTask<Reservation?> RevokeAsync(
        NodeId nodeId, string deadHolder, string fencer, TimeSpan timeLimit) =>
        inner.RevokeAsync(nodeId, deadHolder, fencer, timeLimit);

    public ValueTask<bool> FinishFenceAsync(string deadHolder, string fencer, TimeSpan timeLimit) =>
        inner.FinishFenceAsync(deadHolder, fencer, timeLimit);

    public ValueTask<IReleaseListener> ListenAsync(
        string? connectionString, TimeSpan timeLimit, CancellationToken cancellationToken) =>
        inner.ListenAsync(connectionString, timeLimit, cancellationToken);

    public IConductorStore Connect(TimeSpan timeLimit) => inner.Connect(timeLimit);
}
