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

    public virtual ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit) =>
        inner.ReleaseAsync(holder, held, timeLimit);

    public virtual void Release(string holder, HeldNode held, TimeSpan timeLimit) =>
        inner.Release(holder, held, timeLimit);

    public ValueTask<Reservation?> FindAsync(NodeId nodeId, CancellationToken cancellationToken) =>
        inner.FindAsync(nodeId, cancellationToken);

    public ValueTask<IReadOnlyList<Reservation>> ListAsync(CancellationToken cancellationToken) =>
        inner.ListAsync(cancellationToken);

    public IConductorStore Connect(TimeSpan timeLimit) => inner.Connect(timeLimit);
}
