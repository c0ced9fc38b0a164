using System.Diagnostics.CodeAnalysis;

namespace NodeLock;

/// <summary>
/// The one seam between NodeLock and a store: it reserves and releases single nodes for their callers, and opens the
/// connection on which a conductor keeps itself alive.
/// </summary>
/// <remarks>
/// Every method is atomic and durable by itself and takes no part in a transaction of its caller. No method takes a
/// caller's cancellation token where its outcome would be unknown afterwards: cancellation ends a wait, never a
/// statement. A fault of the store surfaces as the store's own exception.
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

    /// <summary>Reserves a node if it is free for the conductor that asks.</summary>
    /// <param name="request">Who asks, for what.</param>
    /// <param name="timeLimit">How long to wait for the answer; after it the outcome is unknown and a
    /// <see cref="TimeoutException"/> or the store's own exception says so.</param>
    ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit);

    /// <summary>
    /// Gives back exactly the reservation with this holder and token; where the node no longer has it, nothing
    /// happens and that is no error.
    /// </summary>
    ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit);

    /// <summary>The same, blocking the calling thread for no longer than the limit, and without need of the thread
    /// pool.</summary>
    void Release(string holder, HeldNode held, TimeSpan timeLimit);

    /// <summary>The reservation of a node; null when it is free.</summary>
    /// <exception cref="NodeNotFoundException">There is no such node, and the store knows which nodes
    /// exist.</exception>
    ValueTask<Reservation?> FindAsync(NodeId nodeId, CancellationToken cancellationToken);

    /// <summary>All reservations of this kind, in the order of their ids.</summary>
    ValueTask<IReadOnlyList<Reservation>> ListAsync(CancellationToken cancellationToken);

    /// <summary>Opens a conductor's own connection to the store.</summary>
    /// <param name="timeLimit">How long each statement on it may take until it counts as unanswered.</param>
    IConductorStore Connect(TimeSpan timeLimit);
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

/// <summary>A node and the fencing token under which it is held.</summary>
/// <param name="NodeId">The node, as the store spells it.</param>
/// <param name="FencingToken">The token.</param>
[Experimental(INodeLockRepository.DiagnosticId)]
public readonly record struct HeldNode(NodeId NodeId, long FencingToken);
