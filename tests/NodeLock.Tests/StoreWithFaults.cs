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

    /// <summary>Called instead of a reserve of many; its last parameter carries it out.</summary>
    public Func<IReadOnlyList<ReserveRequest>, Atomicity, Func<ValueTask<IReadOnlyList<ReserveAnswer>>>,
        ValueTask<IReadOnlyList<ReserveAnswer>>>? OnReserveMany
    { get; set; }

    /// <summary>Called instead of a release of any kind, for each node; its second parameter carries it out.</summary>
    public Func<HeldNode, Func<ValueTask>, ValueTask>? OnRelease { get; set; }

    /// <summary>Called before several are released in one statement.</summary>
    public Action<IReadOnlyList<HeldNode>>? BeforeReleaseMany { get; set; }

    /// <summary>Called before an id is spelled.</summary>
    public Action<NodeId>? BeforeSpell { get; set; }

    /// <summary>Called instead of a renewal; its parameter carries it out.</summary>
    public Func<Func<DateTimeOffset?>, DateTimeOffset?>? OnRenew { get; set; }

    /// <summary>Called when the conductor begins to listen; its parameter carries it out.</summary>
    public Func<Func<ValueTask<IReleaseListener>>, ValueTask<IReleaseListener>>? OnListen { get; set; }

    /// <summary>Called before any statement on the conductor's connection, with its name.</summary>
    public Action<string>? BeforeStatement { get; set; }

    /// <summary>The leases that the store is told, against those that the conductor asks for.</summary>
    public Func<TimeSpan, TimeSpan> LeaseOf { get; set; } = lease => lease;

    public HeartbeatPace Pace { get; init; } = HeartbeatPace.Timer;

    /// <summary>Carries every reserve out, and withholds the answer until this is set.</summary>
    public TaskCompletionSource HoldAnswers(Func<ReserveRequest, bool>? which = null)
    {
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        OnReserve = async (request, carryOut) =>
        {
            ReserveAnswer answer = await carryOut();
            if (which?.Invoke(request) != false) await goOn.Task;
            return answer;
        };
        return goOn;
    }

    /// <summary>Carries every reserve out and then answers with a fault.</summary>
    public void LoseAnswers(Func<ReserveRequest, bool>? which = null) => OnReserve = async (request, carryOut) =>
    {
        ReserveAnswer answer = await carryOut();
        return which?.Invoke(request) == false ? answer : throw new StoreException("no answer");
    };

    /// <summary>The reserves that were sent, carried out or not.</summary>
    public IReadOnlyList<ReserveRequest> Requests => [.. requests];

    public string Kind => store.Kind;

    public string Location => store.Location;

    public NodeId Spell(NodeId nodeId)
    {
        BeforeSpell?.Invoke(nodeId);
        return store.Spell(nodeId);
    }

    public ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        requests.Enqueue(request);
        return OnReserve is null ? Carry() : OnReserve(request, Carry);

        ValueTask<ReserveAnswer> Carry() => store.ReserveAsync(request, timeLimit);
    }

    public ValueTask<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
        IReadOnlyList<ReserveRequest> many, Atomicity atomicity, TimeSpan timeLimit)
    {
        foreach (ReserveRequest request in many) requests.Enqueue(request);
        return OnReserveMany is null ? Carry() : OnReserveMany(many, atomicity, Carry);

        ValueTask<IReadOnlyList<ReserveAnswer>> Carry() => store.ReserveManyAsync(many, atomicity, timeLimit);
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

    public async ValueTask<IReadOnlyList<HeldNode>> ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit)
    {
        BeforeReleaseMany?.Invoke(held);
        if (OnRelease is null) return await store.ReleaseManyAsync(holder, held, timeLimit);
        List<HeldNode> released = [];
        foreach (HeldNode node in held)
        {
            await OnRelease(node, async () =>
                released.AddRange(await store.ReleaseManyAsync(holder, [node], timeLimit)));
        }

        return released;
    }

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
        OnListen is null ? Carry(connectionString, timeLimit, cancellationToken)
            : OnListen(() => Carry(connectionString, timeLimit, cancellationToken));

    private ValueTask<IReleaseListener> Carry(
        string? connectionString, TimeSpan timeLimit, CancellationToken cancellationToken) =>
        store.ListenAsync(connectionString, timeLimit, cancellationToken);

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

        public IReadOnlyList<HeldNode> Restore(string holder, IReadOnlyList<HandedOverNode> handedOver) =>
            Before(nameof(Restore)).Restore(holder, handedOver);

        public IReadOnlyList<HeldNode> FindReservedBy(string holder) => Before(nameof(FindReservedBy)).FindReservedBy(holder);

        public int Release(string holder, IReadOnlyList<HeldNode> held) =>
            Before(nameof(Release)).Release(holder, held);

        public IReadOnlyList<string> DeclareDead(string holder, DateTimeOffset notAfter) =>
            Before(nameof(DeclareDead)).DeclareDead(holder, notAfter);

        public int Sweep(int batchSize) => Before(nameof(Sweep)).Sweep(batchSize);

        public IReadOnlyList<string> FindStrangers() => Before(nameof(FindStrangers)).FindStrangers();

        public IReadOnlyList<string> ClaimForFence(string fencer) => Before(nameof(ClaimForFence)).ClaimForFence(fencer);

        public void Bury(string stranger, bool requiresFence) =>
            Before(nameof(Bury)).Bury(stranger, requiresFence);

        public int Forget(TimeSpan endedFor) => Before(nameof(Forget)).Forget(endedFor);

        public void TellNothing() => Before(nameof(TellNothing)).TellNothing();

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
