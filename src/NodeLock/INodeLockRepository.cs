using System.Diagnostics.CodeAnalysis;

namespace NodeLock;

/// <summary>
/// The one seam between NodeLock and a store: it reserves and releases nodes for their callers, and opens the
/// connection on which a conductor keeps itself alive.
/// </summary>
/// <remarks>
/// Every method is atomic and durable by itself and takes no part in a transaction of its caller. No method takes a
/// caller's cancellation token where its outcome would be unknown afterwards: cancellation ends a wait, never a
/// statement. A fault of the store surfaces as the store's own exception. A <c>timeLimit</c> is how long to wait for
/// the answer; after it the outcome is unknown, and a <see cref="TimeoutException"/> or the store's own exception says
/// so.
/// </remarks>
/// <threadsafety>All members may be used at the same time from any thread.</threadsafety>
[Experimental(DiagnosticId)]
public interface INodeLockRepository
{
    /// <summary>The diagnostic that marks this seam as open to change until version 1.0.</summary>
    internal const string DiagnosticId = "NODELOCK001";

    /// <summary>The family of nodes that is kept here: a few letters, for logs and metrics.</summary>
    string Kind { get; }

    /// <summary>Where the store is, for logs and errors: its product, host and database. Never a password.</summary>
    string Location { get; }

    /// <summary>What a conductor's heartbeats run on.</summary>
    HeartbeatPace Pace { get; }

    /// <summary>The one spelling that the store has for an id, so that two spellings of one key are one node.</summary>
    /// <exception cref="ArgumentException">The text is not of the key's type.</exception>
    NodeId Spell(NodeId nodeId);

    /// <summary>Does what a request asks for, if the node is free for the conductor that asks.</summary>
    ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit);

    /// <summary>
    /// Reserves several nodes exclusively in one step. It waits for none of them: one whose row is in somebody's hand
    /// is answered with <see cref="ReserveAnswer.RowInHand"/>.
    /// </summary>
    /// <param name="requests">All to reserve, all of one holder, each for another node, no more than 500.</param>
    /// <param name="atomicity">Whether one that is taken keeps the others from being reserved.</param>
    /// <param name="timeLimit">How long to wait for the answer.</param>
    /// <returns>The answers, in the order of the requests.</returns>
    ValueTask<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit);

    /// <summary>
    /// Gives back exactly the reservation or shared entry with this holder and token; where the node no longer has it,
    /// nothing happens and that is no error. Those who listen are told if somebody waits, as by whatever else frees a
    /// node. Unlike all else but a hand-over it may be forgotten by a store that crashes: the conductor finds what
    /// came back.
    /// </summary>
    ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit);

    /// <summary>The same, blocking the calling thread for no longer than the limit, and without need of the thread
    /// pool.</summary>
    void Release(string holder, HeldNode held, TimeSpan timeLimit);

    /// <summary>The same for several in one step, as far as their rows are in nobody's hand.</summary>
    /// <returns>Those that it gave back.</returns>
    ValueTask<IReadOnlyList<HeldNode>> ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit);

    /// <summary>The reservation of a node; null when it is free.</summary>
    /// <exception cref="NodeNotFoundException">There is no such node, and the store knows which nodes
    /// exist.</exception>
    ValueTask<Reservation?> FindAsync(NodeId nodeId, CancellationToken cancellationToken);

    /// <summary>All reservations of this kind, in the order of their ids.</summary>
    ValueTask<IReadOnlyList<Reservation>> ListAsync(CancellationToken cancellationToken);

    /// <summary>Takes an exclusive reservation away from whoever holds it with this token, and makes the token
    /// worthless; false when no such reservation stands (any more).</summary>
    ValueTask<bool> BreakAsync(NodeId nodeId, long fencingToken, TimeSpan timeLimit);

    /// <summary>Takes a holder's shared entry away; false when it does not share the node (any more).</summary>
    ValueTask<bool> BreakAsync(NodeId nodeId, string sharer, TimeSpan timeLimit);

    /// <summary>The nodes that a dead conductor holds exclusively.</summary>
    ValueTask<IReadOnlyList<NodeId>> FindReservedByAsync(string deadHolder, TimeSpan timeLimit);

    /// <summary>
    /// Before a fence: gives the reservation of a dead holder a fresh token, so that whatever the old one guards is
    /// refused from here on. Waits for a transaction that has the row in hand.
    /// </summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="deadHolder">Whose reservation it is.</param>
    /// <param name="fencer">The living conductor that has claimed the dead one.</param>
    /// <param name="timeLimit">How long to wait for the answer.</param>
    /// <returns>The reservation with its new token; null when it is no longer the dead one's, or not the fencer's to
    /// revoke.</returns>
    ValueTask<Reservation?> RevokeAsync(NodeId nodeId, string deadHolder, string fencer, TimeSpan timeLimit);

    /// <summary>After the fences: marks a dead conductor that the fencer has claimed as fenced, unless it still holds a
    /// node exclusively.</summary>
    /// <returns>Whether it did.</returns>
    ValueTask<bool> FinishFenceAsync(string deadHolder, string fencer, TimeSpan timeLimit);

    /// <summary>Opens what hears of nodes that became free while somebody waited. Whatever is not heard costs its
    /// waiters time and nothing else.</summary>
    /// <param name="connectionString">Another way to the same store, for this alone; null for the usual one. A store
    /// that has no such ways passes it over.</param>
    /// <param name="timeLimit">How long it may take to open it.</param>
    /// <param name="cancellationToken">Ends the opening.</param>
    ValueTask<IReleaseListener> ListenAsync(
        string? connectionString, TimeSpan timeLimit, CancellationToken cancellationToken);

    /// <summary>Opens a conductor's own connection to the store.</summary>
    /// <param name="timeLimit">How long each statement on it may take until it counts as unanswered.</param>
    IConductorStore Connect(TimeSpan timeLimit);
}

/// <summary>Hears of nodes that became free while somebody waited for them. Used by one caller at a time.</summary>
[Experimental(INodeLockRepository.DiagnosticId)]
public interface IReleaseListener : IAsyncDisposable
{
    /// <summary>Waits for the next that is told. Throws when nothing more can be heard.</summary>
    /// <param name="cancellationToken">Ends the wait. After that it is of no more use.</param>
    /// <returns>The node; null for the proof that <see cref="IConductorStore.TellNothing"/> gives.</returns>
    ValueTask<NodeId?> HearAsync(CancellationToken cancellationToken);
}

/// <summary>What a conductor's heartbeats run on.</summary>
[Experimental(INodeLockRepository.DiagnosticId)]
public enum HeartbeatPace
{
    /// <summary>Threads of their own, which a busy thread pool cannot hold up: for a store that may block.</summary>
    OwnThread,

    /// <summary>Timers of the <see cref="TimeProvider"/>: for a store in memory, under a clock that a test
    /// moves.</summary>
    Timer,
}

/// <summary>What one node that is taken means for the others of one request.</summary>
[Experimental(INodeLockRepository.DiagnosticId)]
public enum Atomicity
{
    /// <summary>Nothing: each that is free is reserved.</summary>
    Each,

    /// <summary>That none is reserved.</summary>
    AllOrNone,
}

/// <summary>A node and the fencing token under which it is held.</summary>
/// <param name="NodeId">The node, as the store spells it.</param>
/// <param name="FencingToken">The token; of a shared entry, its stamp.</param>
/// <param name="Mode">How it is held.</param>
[Experimental(INodeLockRepository.DiagnosticId)]
public readonly record struct HeldNode(
    NodeId NodeId, long FencingToken, ReservationMode Mode = ReservationMode.Exclusive);
