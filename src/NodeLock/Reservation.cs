namespace NodeLock;

/// <summary>How a node is taken.</summary>
public enum ReservationMode
{
    /// <summary>By one holder, beside nobody: to write.</summary>
    Exclusive,

    /// <summary>Beside any number of others that share it, never beside an exclusive holder: to read.</summary>
    Shared,
}

/// <summary>What a reservation is worth at the moment it was read.</summary>
public enum ReservationState
{
    /// <summary>Its conductor lives, or is not yet known to be dead.</summary>
    Held,

    /// <summary>Its conductor was declared dead or has left; the next acquire takes the node over.</summary>
    Revoked,

    /// <summary>Its conductor was declared dead, and the node must be fenced before anybody else may have it.</summary>
    WaitingForFence,
}

/// <summary>The claim in a node's row, as it stood when it was read: who holds the node, why, and since when.</summary>
/// <param name="NodeId">The node.</param>
/// <param name="Mode">How it is taken.</param>
/// <param name="Holders">The conductors that hold it; one for an exclusive reservation.</param>
/// <param name="Purpose">Why, in the words of the holder; of several that share it, of the latest to come.</param>
/// <param name="ReservedAt">Since when, by the store's clock; of several that share it, the latest.</param>
/// <param name="FencingToken">The token of this reservation; every later one has a greater. Of several that share it,
/// the latest's.</param>
/// <param name="State">Whether it still counts.</param>
/// <threadsafety>Immutable.</threadsafety>
public sealed record Reservation(
    NodeId NodeId,
    ReservationMode Mode,
    IReadOnlyList<string> Holders,
    string Purpose,
    DateTimeOffset ReservedAt,
    long FencingToken,
    ReservationState State);
