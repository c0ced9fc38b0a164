namespace NodeLock.Tests.Model;

/// <summary>Hands everything on to a store, for others to get something wrong.</summary>
internal abstract class FaultyStore(INodeLockRepository store) : INodeLockRepository
{
    public string Kind => store.Kind;

    public string Location => store.Location;

    public HeartbeatPace Pace => store.Pace;

    protected INodeLockRepository Store => store;

    public NodeId Spell(NodeId nodeId) => store.Spell(nodeId);

    public virtual ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit) =>
        store.ReserveAsync(request, timeLimit);

    public ValueTask<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit) =>
        store.ReserveManyAsync(requests, atomicity, timeLimit);

    public virtual ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit) =>
        store.ReleaseAsync(holder, held, timeLimit);

    public void Release(string holder, HeldNode held, TimeSpan timeLimit) => store.Release(holder, held, timeLimit);

    public ValueTask<IReadOnlyList<HeldNode>> ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit) =>
        store.ReleaseManyAsync(holder, held, timeLimit);

    public ValueTask<Reservation?> FindAsync(NodeId nodeId, CancellationToken cancellationToken) =>
        store.FindAsync(nodeId, cancellationToken);

    public ValueTask<IReadOnlyList<Reservation>> ListAsync(CancellationToken cancellationToken) =>
        store.ListAsync(cancellationToken);

    public ValueTask<bool> BreakAsync(NodeId nodeId, long fencingToken, TimeSpan timeLimit) =>
        store.BreakAsync(nodeId, fencingToken, timeLimit);

    public ValueTask<bool> BreakAsync(NodeId nodeId, string sharer, TimeSpan timeLimit) =>
        store.BreakAsync(nodeId, sharer, timeLimit);

    public ValueTask<IReadOnlyList<NodeId>> FindReservedByAsync(string deadHolder, TimeSpan timeLimit) =>
        store.FindReservedByAsync(deadHolder, timeLimit);

    public ValueTask<Reservation?> RevokeAsync(NodeId nodeId, string deadHolder, string fencer, TimeSpan timeLimit) =>
        store.RevokeAsync(nodeId, deadHolder, fencer, timeLimit);

    public ValueTask<bool> FinishFenceAsync(string deadHolder, string fencer, TimeSpan timeLimit) =>
        store.FinishFenceAsync(deadHolder, fencer, timeLimit);

    public ValueTask<IReleaseListener> ListenAsync(
        string? connectionString, TimeSpan timeLimit, CancellationToken cancellationToken) =>
        store.ListenAsync(connectionString, timeLimit, cancellationToken);

    public IConductorStore Connect(TimeSpan timeLimit) => store.Connect(timeLimit);
}
