using System.Collections.Concurrent;

namespace NodeLock.Tests;

/// <summary>
/// One conductor's way to a store that others share: whatever goes along it can be held up, fail, or be carried out and
/// then not be answered, as on a network.
/// </summary>
internal sealed class StoreWithFaults(INodeLockRepository store) : INodeLockRepository
{
    private readonly ConcurrentQueue<ReserveRequest> requests = [];

    /// <summary>Called instead of a reserve; its second parameter carries it out.</summary>
    public Func<ReserveRequest, Func<ValueTask<ReserveAnswer>>, ValueTask<ReserveAnswer>>? OnReserve { get; set; }

    /// <summary>Called instead of a release of either kind; its second parameter carries it out.</summary>
    public Func<HeldNode, Func<ValueTask>, ValueTask>? OnRelease { get; set; }

    /// <summary>Called instead of a renewal; its parameter carries it out.</summary>
    public Func<Func<DateTimeOffset?>, DateTimeOffset?>? OnRenew { get; set; }

    /// <summary>Called before any statement on the conductor's connection, with its name.</summary>
    public Action<string>? BeforeStatement { get; set; }

    /// <summary>The leases that the store is told, against those that the conductor asks for.</summary>
    public Func<TimeSpan, TimeSpan> LeaseOf { get; set; } = lease => lease;

    public HeartbeatPace Pace { get; init; } = HeartbeatPace.Timer;

    /// <summary>The reserves that were sent, carried out or not.</summary>
    public IReadOnlyList<ReserveRequest> Requests => [.. requests];

    public string Kind => store.Kind;

    public string Location => store.Location;

    public NodeId Spell(NodeId nodeId) => store.Spell(nodeId);

    public ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        requests.Enqueue(request);
        return OnReserve is null ? Carry() : OnReserve(request, Carry);

        ValueTask<ReserveAnswer> Carry() => store.ReserveAsync(request, timeLimit);
    }

    public ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit)
    {
        return OnRelease is null ? Carry() : OnRelease(held, Carry);

        ValueTask Carry() => store.ReleaseAsync(holder, held, timeLimit);
    }

    public void Release(string holder, HeldNode held, TimeSpan timeLimit)
    {
        if (OnRelease is null) store.Release(holder, held, timeLimit);
        else OnRelease(held, Carry).AsTask().GetAwaiter().GetResult();

        ValueTask Carry()
        {
            store.Release(holder, held, timeLimit);
            return default;
        }
    }

    public ValueTask<Reservation?> FindAsync(NodeId nodeId, CancellationToken cancellationToken) =>
        store.FindAsync(nodeId, cancellationToken);

    public ValueTask<IReadOnlyList<Reservation>> ListAsync(CancellationToken cancellationToken) =>
        store.ListAsync(cancellationToken);

    public IConductorStore Connect(TimeSpan timeLimit)
    {
        BeforeStatement?.Invoke(nameof(Connect));
        return new Connection(this, store.Connect(timeLimit));
    }

    private sealed class Connection(StoreWithFaults way, IConductorStore connection) : IConductorStore
    {
        public bool Register(ConductorEntry conductor) => Before(nameof(Register)).Register(
            conductor with { Lease = way.LeaseOf(conductor.Lease) });

        public DateTimeOffset? Renew(string holder, TimeSpan lease)
        {
            Before(nameof(Renew));
            return way.OnRenew is null ? Carry() : way.OnRenew(Carry);

            DateTimeOffset? Carry() => connection.Renew(holder, way.LeaseOf(lease));
        }

        public IReadOnlyList<HeldNode> FindLost(string holder, IReadOnlyList<HeldNode> held) =>
            Before(nameof(FindLost)).FindLost(holder, held);

        public IReadOnlyList<HeldNode> FindReservedBy(string holder) => Before(nameof(FindReservedBy)).FindReservedBy(holder);

        public int Release(string holder, IReadOnlyList<HeldNode> held) =>
            Before(nameof(Release)).Release(holder, held);

        public IReadOnlyList<string> DeclareDead(string holder, DateTimeOffset notAfter) =>
            Before(nameof(DeclareDead)).DeclareDead(holder, notAfter);

        public int Sweep(int batchSize) => Before(nameof(Sweep)).Sweep(batchSize);

        public IReadOnlyList<string> FindStrangers() => Before(nameof(FindStrangers)).FindStrangers();

        public void Bury(string stranger) => Before(nameof(Bury)).Bury(stranger);

        public int Forget(TimeSpan endedFor) => Before(nameof(Forget)).Forget(endedFor);

        public bool Leave(string holder) => Before(nameof(Leave)).Leave(holder);

        public void Dispose() => connection.Dispose();

        private IConductorStore Before(string statement)
        {
            way.BeforeStatement?.Invoke(statement);
            return connection;
        }
    }
}

/// <summary>What a store throws, so that a test can see that it comes through as it is.</summary>
internal sealed class StoreException(string message) : Exception(message);
