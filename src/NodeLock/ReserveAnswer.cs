using System.Diagnostics.CodeAnalysis;

namespace NodeLock;

/// <summary>What is asked for in a <see cref="ReserveRequest"/>.</summary>
[Experimental(INodeLockRepository.DiagnosticId)]
public enum ReserveAction
{
    /// <summary>The node, exclusively.</summary>
    Reserve,

    /// <summary>The node, shared. Refused while a writer waits and others share it.</summary>
    Share,

    /// <summary>To let one more share the entry that the conductor has already and names. Changes nothing in the store;
    /// refused while a writer waits.</summary>
    Join,

    /// <summary>To turn the shared entry that the conductor names into an exclusive reservation. Refused while others
    /// share the node; the entry stays then.</summary>
    Upgrade,

    /// <summary>To turn the exclusive reservation that the conductor names into a shared entry.</summary>
    Downgrade,

    /// <summary>
    /// To give the exclusive reservation that the conductor names another purpose and a token that was drawn for it
    /// with an earlier one: the next of the same process has it from then on. It need not outlive a crash of the store;
    /// see <see cref="IConductorStore.Restore"/>. What it names must stand, or it is answered with
    /// <see cref="ReserveAnswer.NotHeld"/>.
    /// </summary>
    HandOver,
}

/// <summary>One request for a node, made in the name of a conductor.</summary>
/// <param name="Action">What is asked for.</param>
/// <param name="NodeId">The node, as <see cref="INodeLockRepository.Spell"/> spells it.</param>
/// <param name="Holder">The conductor that asks.</param>
/// <param name="KnownToken">
/// The fencing token of a reservation of this node, exclusive or shared, that the conductor names as its own; 0 when it
/// knows of none. To reserve and to share, one that no scope uses; for the other actions, the one that they are about.
/// </param>
/// <param name="Purpose">Why the node is wanted.</param>
[Experimental(INodeLockRepository.DiagnosticId)]
public readonly record struct ReserveRequest(
    ReserveAction Action, NodeId NodeId, string Holder, long KnownToken, string Purpose)
{
    /// <summary>
    /// How long until it is asked again, if it is refused; zero when it will not be. A wish is then left that stands
    /// for twice as long, so that those who listen are told when the node is given back. To reserve or to upgrade it is
    /// a writer's, and new sharers hold back.
    /// </summary>
    public TimeSpan NextAttempt { get; init; }

    /// <summary>How many tokens more to draw, if it is granted, for hand-overs of what was reserved. To reserve
    /// only.</summary>
    public int Spares { get; init; }

    /// <summary>To hand over: the token to go on with, one of those drawn before.</summary>
    public long NewToken { get; init; }

    /// <summary>The wish that an earlier request of the same upgrade left; null when there was none.</summary>
    public DateTimeOffset? Wish { get; init; }
}

/// <summary>What a repository answers to a <see cref="ReserveRequest"/>; "taken" is an answer, not an error.</summary>
[Experimental(INodeLockRepository.DiagnosticId)]
public abstract record ReserveAnswer
{
    private ReserveAnswer()
    {
    }

    /// <summary>What was asked for is done.</summary>
    /// <param name="FencingToken">Greater than all that the node had before; for <see cref="ReserveAction.Join"/> the
    /// one that was named.</param>
    /// <param name="ReservedAt">When, by the store's clock.</param>
    /// <param name="TakenOverFrom">The dead or departed exclusive holder it was taken over from; null when there was
    /// none.</param>
    public sealed record Granted(long FencingToken, DateTimeOffset ReservedAt, string? TakenOverFrom) : ReserveAnswer
    {
        /// <summary>Of an exclusive grant, how long the wish still stands that somebody left who was refused, who may
        /// be this conductor itself; zero when none does.</summary>
        public TimeSpan Wanted { get; init; }

        /// <summary>How long the wish of a writer still stands; zero when none does.</summary>
        public TimeSpan WriterWaits { get; init; }

        /// <summary>Tokens that were drawn with this one for hand-overs of the node, each greater than the one before;
        /// no more than were asked for.</summary>
        public IReadOnlyList<long> Spares { get; init; } = [];
    }

    /// <summary>
    /// Somebody else holds the node, or a writer waits for it. Nothing was granted, and what the request named to
    /// reserve or to share is no longer this conductor's; what it named to join or to upgrade still is.
    /// </summary>
    /// <param name="Reservation">Who, why and since when.</param>
    public sealed record Taken(Reservation Reservation) : ReserveAnswer
    {
        /// <summary>How long the wish of another writer still stands; zero when none does.</summary>
        public TimeSpan WriterWaits { get; init; }

        /// <summary>The wish of an upgrade, to be named when it is asked again; null for other actions.</summary>
        public DateTimeOffset? Wish { get; init; }
    }

    /// <summary>A transaction of somebody else had the node's row in hand for longer than a request waits.</summary>
    public sealed record RowInHand : ReserveAnswer;

    /// <summary>
    /// The reservation carries the name of the conductor that asked, with a token the request did not name: the reply
    /// to an earlier request was lost. Ask again and name it.
    /// </summary>
    /// <param name="FencingToken">The token to name.</param>
    /// <param name="Mode">How the node is reserved with it.</param>
    public sealed record Unnamed(long FencingToken, ReservationMode Mode) : ReserveAnswer;

    /// <summary>To join, to upgrade or to downgrade: the conductor does not have what it named (any more), nor anything
    /// else of this node.</summary>
    public sealed record NotHeld : ReserveAnswer;

    /// <summary>One of many of which all or none were asked for: it was free, and others were not.</summary>
    public sealed record Withheld : ReserveAnswer;

    /// <summary>The conductor that asked is not alive in the store, so nothing was reserved.</summary>
    public sealed record ConductorNotAlive : ReserveAnswer;

    /// <summary>There is no such node; nothing was written.</summary>
    public sealed record NodeNotFound : ReserveAnswer;
}
