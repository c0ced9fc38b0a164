using System.Diagnostics.CodeAnalysis;

namespace NodeLock;

/// <summary>One request for a node, made in the name of a conductor.</summary>
/// <param name="NodeId">The node, as <see cref="INodeLockRepository.Spell"/> spells it.</param>
/// <param name="Holder">The conductor that asks.</param>
/// <param name="KnownToken">
/// The fencing token of a reservation of this node that the conductor names as its own and no scope uses; 0 when it
/// knows of none.
/// </param>
/// <param name="Purpose">Why the node is wanted.</param>
[Experimental(INodeLockRepository.DiagnosticId)]
public readonly record struct ReserveRequest(NodeId NodeId, string Holder, long KnownToken, string Purpose);

/// <summary>What a repository answers to a <see cref="ReserveRequest"/>; "taken" is an answer, not an error.</summary>
[Experimental(INodeLockRepository.DiagnosticId)]
public abstract record ReserveAnswer
{
    private ReserveAnswer()
    {
    }

    /// <summary>The node is reserved for the conductor that asked.</summary>
    /// <param name="FencingToken">Greater than every token given out before.</param>
    /// <param name="ReservedAt">When, by the store's clock.</param>
    /// <param name="TakenOverFrom">The dead or departed holder it was taken over from; null when it was free.</param>
    public sealed record Granted(long FencingToken, DateTimeOffset ReservedAt, string? TakenOverFrom) : ReserveAnswer;

    /// <summary>Somebody else holds the node.</summary>
    /// <param name="Reservation">Who, why and since when.</param>
    public sealed record Taken(Reservation Reservation) : ReserveAnswer;

    /// <summary>A transaction of somebody else had the node's row in hand for longer than a request waits.</summary>
    public sealed record RowInHand : ReserveAnswer;

    /// <summary>
    /// The reservation carries the name of the conductor that asked, with a token the request did not name: the reply
    /// to an earlier request was lost. Ask again and name it.
    /// </summary>
    /// <param name="FencingToken">The token to name.</param>
    public sealed record Unnamed(long FencingToken) : ReserveAnswer;

    /// <summary>The conductor that asked is not alive in the store, so nothing was reserved.</summary>
    public sealed record ConductorNotAlive : ReserveAnswer;

    /// <summary>There is no such node; nothing was written.</summary>
    public sealed record NodeNotFound : ReserveAnswer;
}
