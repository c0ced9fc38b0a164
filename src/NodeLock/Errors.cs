using System.Globalization;

namespace NodeLock;

/// <summary>The node stayed locked through all attempts that the acquire was allowed.</summary>
public sealed class NodeLockedException : Exception
{
    internal NodeLockedException(NodeId nodeId, string purpose, Obstacle obstacle, int attempts, TimeSpan waited)
        : base(Describe(nodeId, purpose, obstacle, attempts, waited))
    {
        NodeId = nodeId;
        Purpose = purpose;
        Reservation = obstacle.Reservation;
        IsHeldByThisProcess = obstacle.IsOurs;
        Attempts = attempts;
        Waited = waited;
    }

    /// <summary>The node that was asked for.</summary>
    public NodeId NodeId { get; }

    /// <summary>What it was asked for.</summary>
    public string Purpose { get; }

    /// <summary>The reservation in the way, as it was last seen. Null when a database transaction has the node's row in
    /// hand, or when another caller of this process was still asking for it.</summary>
    public Reservation? Reservation { get; }

    /// <summary>The conductor that holds the node; null where <see cref="Reservation"/> is.</summary>
    public string? Holder => Reservation?.Holders[0];

    /// <summary>What it is held for; null where <see cref="Reservation"/> is.</summary>
    public string? HolderPurpose => Reservation?.Purpose;

    /// <summary>Since when, by the store's clock; null where <see cref="Reservation"/> is.</summary>
    public DateTimeOffset? Since => Reservation?.ReservedAt;

    /// <summary>The fencing token it is held with; null where <see cref="Reservation"/> is.</summary>
    public long? HolderFencingToken => Reservation?.FencingToken;

    /// <summary>True when the holder is the very process that asks; task scopes are not re-entrant.</summary>
    public bool IsHeldByThisProcess { get; }

    /// <summary>How many attempts were made, the first included.</summary>
    public int Attempts { get; }

    /// <summary>How long the caller waited.</summary>
    public TimeSpan Waited { get; }

    private static string Describe(NodeId node, string purpose, Obstacle obstacle, int attempts, TimeSpan waited)
    {
        string asked = string.Create(CultureInfo.InvariantCulture,
            $"It was asked for \"{purpose}\", {attempts} time{(attempts == 1 ? "" : "s")} over {waited.TotalSeconds:0.0} s.");
        if (obstacle.Reservation is not { } held)
            return $"Node {node} is locked: {obstacle.InWords}. {asked} Try again later.";

        string since = held.ReservedAt.ToString("u", CultureInfo.InvariantCulture);
        string who = obstacle.IsOurs ? $"this very process ({held.Holders[0]})" : held.Holders[0];
        string advice = obstacle.IsOurs
            ? "Task scopes are not re-entrant: dispose the one that holds it first, or try again later."
            : held.State == ReservationState.Held
                ? "Try again later."
                : "Its conductor is dead; the node is free as soon as it is fenced.";
        return $"Node {node} is locked by {who} for \"{held.Purpose}\" since {since}, fencing token "
            + $"{held.FencingToken}. {asked} {advice}";
    }
}

/// <summary>There is no node with this id; nothing was written.</summary>
public sealed class NodeNotFoundException : Exception
{
    /// <summary>Says which node does not exist.</summary>
    /// <param name="nodeId">The id.</param>
    /// <param name="kind">The family of nodes it was looked for in.</param>
    public NodeNotFoundException(NodeId nodeId, string kind) : base($"There is no node {nodeId} in {kind}.") =>
        NodeId = nodeId;

    /// <summary>The id that no node has.</summary>
    public NodeId NodeId { get; }
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
    }

    /// <summary>The node.</summary>
    public NodeId NodeId { get; }

    /// <summary>What it was held for.</summary>
    public string Purpose { get; }

    /// <summary>The token of the reservation that is lost.</summary>
    public long FencingToken { get; }

    /// <summary>The conductor that had it.</summary>
    public string Holder { get; }
}

/// <summary>The conductor is shutting down and takes no more nodes.</summary>
public sealed class ConductorStoppingException : Exception
{
    internal ConductorStoppingException(string conductorName)
        : base($"Conductor {conductorName} is stopping and takes no more nodes.")
    {
    }
}
