using System.Globalization;

namespace NodeLock;

/// <summary>The node stayed locked through all attempts that the acquire was allowed.</summary>
public sealed class NodeLockedException : Exception
{
    internal NodeLockedException(NodeId nodeId, string purpose, Obstacle obstacle, int attempts, TimeSpan waited,
        bool turnedAway)
        : base(Describe(nodeId, purpose, obstacle, attempts, waited, turnedAway))
    {
        NodeId = nodeId;
        Purpose = purpose;
        Reservation = obstacle.Reservation;
        IsHeldByThisProcess = obstacle.IsOurs;
        IsTurnedAway = turnedAway;
        Attempts = attempts;
        Waited = waited;
    }

    /// <summary>The node that was asked for.</summary>
    public NodeId NodeId { get; }

    /// <summary>What it was asked for.</summary>
    public string Purpose { get; }

    /// <summary>The reservation in the way, as it was last seen. Null when a database transaction has the node's row in
    /// hand, when another caller of this process was still asking for it, or
    /// when nothing but the wish of a writer keeps sharers away.</summary>
    public Reservation? Reservation { get; }

    /// <summary>The conductor that holds the node; of several that share it, the first (<see cref="Reservation"/> has
    /// all); null where <see cref="Reservation"/> is.</summary>
    public string? Holder => Reservation?.Holders[0];

    /// <summary>What it is held for; null where <see cref="Reservation"/> is.</summary>
    public string? HolderPurpose => Reservation?.Purpose;

    /// <summary>Since when, by the store's clock; null where <see cref="Reservation"/> is.</summary>
    public DateTimeOffset? Since => Reservation?.ReservedAt;

    /// <summary>The fencing token it is held with; null where <see cref="Reservation"/> is.</summary>
    public long? HolderFencingToken => Reservation?.FencingToken;

    /// <summary>True when the holder is the very process that asks; task scopes are not re-entrant.</summary>
    public bool IsHeldByThisProcess { get; }

    /// <summary>True when it was not waited for, since <see cref="NodeLockOptions.MaxWaiters"/> acquires wait already.
    /// </summary>
    public bool IsTurnedAway { get; }

    /// <summary>How many attempts were made, the first included.</summary>
    public int Attempts { get; }

    /// <summary>How long the caller waited.</summary>
    public TimeSpan Waited { get; }

    private static string Describe(NodeId node, string purpose, Obstacle obstacle, int attempts, TimeSpan waited,
        bool turnedAway)
    {
        string asked = string.Create(CultureInfo.InvariantCulture, $"It was asked for \"{purpose}\", "
            + $"{attempts} time{(attempts == 1 ? "" : "s")} over {waited.TotalSeconds:0.0} s.");
        string advice = (obstacle, turnedAway) switch
        {
            (_, true) => "It was not waited for, since as many acquires wait already as MaxWaiters allows.",
            ({ IsOurs: true }, _) =>
                "Task scopes are not re-entrant: dispose the one that holds it first, or try again later.",
            ({ Reservation.State: ReservationState.WaitingForFence }, _) =>
                "Its conductor is dead; the node is free as soon as it is fenced.",
            _ => "Try again later.",
        };
        return $"Node {node} is locked: {obstacle}. {asked} {advice}";
    }
}

/// <summary>There is no node with this id; nothing was written.</summary>
public sealed class NodeNotFoundException : Exception
{
    /// <summary>Says which node does not exist.</summary>
    /// <param name="nodeId">The id.</param>
    /// <param name="kind">The family of nodes it was looked for in.</param>
    public NodeNotFoundException(NodeId nodeId, string kind) : base($"There is no node {nodeId} in {kind}.")
    {
        NodeId = nodeId;
        Kind = kind;
    }

    /// <summary>The id that no node has.</summary>
    public NodeId NodeId { get; }

    /// <summary>The family of nodes it was looked for in.</summary>
    public string Kind { get; }
}

/// <summary>
/// The reservation is no longer this process's: its conductor could not renew its lease in time, was declared dead, or
/// the reservation was taken away. Stop working on the node; somebody else may have it.
/// </summary>
public sealed class ReservationLostException : Exception
{
    internal ReservationLostException(NodeId nodeId, string purpose, long fencingToken, string holder, string reason)
        : base($"The reservation of node {nodeId} for \"{purpose}\" (fencing token {fencingToken}, holder {holder}) "
            + $"is lost: {reason}. Stop working on the node and acquire it again.")
    {
        NodeId = nodeId;
        Purpose = purpose;
        FencingToken = fencingToken;
        Holder = holder;
        Reason = reason;
    }

    /// <summary>The node.</summary>
    public NodeId NodeId { get; }

    /// <summary>What it was held for.</summary>
    public string Purpose { get; }

    /// <summary>The token of the reservation that is lost.</summary>
    public long FencingToken { get; }

    /// <summary>The conductor that had it.</summary>
    public string Holder { get; }

    /// <summary>Why it is lost, in words.</summary>
    public string Reason { get; }
}

/// <summary>As much spawned work runs as the settings allow; the caller still holds its node.</summary>
public sealed class NoFreeWorkerException : Exception
{
    internal NoFreeWorkerException(NodeId nodeId, string purpose, int workerPoolSize, int reservedWorkers)
        : base($"No worker is free to go on with node {nodeId} for \"{purpose}\": of {workerPoolSize} "
            + $"(WorkerPoolSize), {reservedWorkers} (ReservedWorkers) are kept for urgent work. The scope is as it "
            + "was; try again later, or do the work without spawning it.")
    {
        NodeId = nodeId;
        Purpose = purpose;
        WorkerPoolSize = workerPoolSize;
    }

    /// <summary>The node, which is still held.</summary>
    public NodeId NodeId { get; }

    /// <summary>What it is held for.</summary>
    public string Purpose { get; }

    /// <summary>How much work may run at the same time.</summary>
    public int WorkerPoolSize { get; }
}

/// <summary>The conductor is shutting down, or was disposed, and takes no more nodes.</summary>
public sealed class ConductorStoppingException : Exception
{
    internal ConductorStoppingException(string conductorName)
        : base($"Conductor {conductorName} is stopping and takes no more nodes.") => ConductorName = conductorName;

    /// <summary>The conductor's name.</summary>
    public string ConductorName { get; }
}
