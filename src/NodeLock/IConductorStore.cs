using System.Diagnostics.CodeAnalysis;

namespace NodeLock;

/// <summary>
/// A conductor's own connection to the store, used by one thread at a time and without the thread pool: registration,
/// renewal, what is held in its name, and what dead conductors leave behind.
/// </summary>
/// <remarks>
/// No statement here waits for a row that somebody else has in hand, but for the conductor's own entry. After an
/// exception the connection is given up and a new one is opened, since the outcome of the statement may be unknown.
/// </remarks>
[Experimental(INodeLockRepository.DiagnosticId)]
public interface IConductorStore : IDisposable
{
    /// <summary>Enters a new conductor, alive for one lease from now; false when the name is taken.</summary>
    bool Register(ConductorEntry conductor);

    /// <summary>Renews a conductor's lease; null when it is not alive (any more), which is final.</summary>
    /// <returns>The store's clock at the renewal.</returns>
    DateTimeOffset? Renew(string holder, TimeSpan lease);

    /// <summary>
    /// Those of the given nodes whose row no longer has this holder and this token. A shared entry is not lost while
    /// the row names this holder as exclusive: an upgrade whose reply was lost protects the node as well.
    /// </summary>
    IReadOnlyList<HeldNode> FindLost(string holder, IReadOnlyList<HeldNode> held);

    /// <summary>
    /// Gives back to their scopes what a crash of the store has forgotten: hand-overs, which are not durable, of
    /// reservations that are. A row that still carries this holder and a token from the one with which the scope's own
    /// was drawn up to that, has had nobody else since; it gets the scope's token.
    /// </summary>
    /// <returns>Those that stand; one whose row is in somebody's hand gets its token at the next look.</returns>
    IReadOnlyList<HeldNode> Restore(string holder, IReadOnlyList<HandedOverNode> handedOver);

    /// <summary>Every node whose row carries this conductor's name, exclusive or shared.</summary>
    IReadOnlyList<HeldNode> FindReservedBy(string holder);

    /// <summary>Gives back exactly these reservations, as far as their rows are in nobody's hand.</summary>
    /// <returns>How many it gave back.</returns>
    int Release(string holder, IReadOnlyList<HeldNode> held);

    /// <summary>Declares every other conductor of this kind dead whose lease is over: fenced, unless it requires a
    /// fence.</summary>
    /// <param name="holder">The conductor that asks.</param>
    /// <param name="notAfter">Nobody is, when the store's clock has come to this: it jumped.</param>
    /// <returns>The holders that were declared dead by this call.</returns>
    IReadOnlyList<string> DeclareDead(string holder, DateTimeOffset notAfter);

    /// <summary>
    /// Claims for a conductor that has a fence all dead ones of this kind that require one and that no other living
    /// conductor has claimed.
    /// </summary>
    /// <returns>All that are claimed by it now, those of earlier calls included.</returns>
    IReadOnlyList<string> ClaimForFence(string fencer);

    /// <summary>Frees nodes of conductors that are fenced or have left, and drops their shared entries, a batch at a
    /// time.</summary>
    /// <returns>How many were freed; 0 when none is left but those in somebody's hand.</returns>
    int Sweep(int batchSize);

    /// <summary>Holders named by a node that have no entry of their own.</summary>
    IReadOnlyList<string> FindStrangers();

    /// <summary>Enters a holder that has no entry as one that is dead already.</summary>
    /// <param name="stranger">The holder.</param>
    /// <param name="requiresFence">Whether its nodes must be fenced before anybody else may have them.</param>
    void Bury(string stranger, bool requiresFence);

    /// <summary>Removes the entries of conductors whose lease ended this long ago and that no node names.</summary>
    int Forget(TimeSpan endedFor);

    /// <summary>Tells everybody who listens nothing, by which they know that they hear: a connection may look open and
    /// be deaf.</summary>
    void TellNothing();

    /// <summary>Marks a conductor as gone in good order; false when it still holds something, or has claimed a dead one
    /// that is not fenced yet.</summary>
    bool Leave(string holder);
}

/// <summary>A node that came to a scope by a hand-over.</summary>
/// <param name="Held">The node and the scope's token.</param>
/// <param name="DrawnWith">The token of the durable reservation with which the scope's was drawn.</param>
/// <param name="Purpose">The scope's purpose.</param>
[Experimental(INodeLockRepository.DiagnosticId)]
public readonly record struct HandedOverNode(HeldNode Held, long DrawnWith, string Purpose);

/// <summary>What a conductor enters about itself when it starts.</summary>
/// <param name="Holder">Its identity, drawn for this start.</param>
/// <param name="Name">Its name, by which a person knows it.</param>
/// <param name="Host">The machine.</param>
/// <param name="ProcessId">The process.</param>
/// <param name="Lease">How long the store believes in it without a renewal.</param>
/// <param name="RequiresFence">Whether its nodes must be fenced, should it die, before anybody else may have
/// them.</param>
[Experimental(INodeLockRepository.DiagnosticId)]
public sealed record ConductorEntry(string Holder, string Name, string Host, int ProcessId, TimeSpan Lease,
    bool RequiresFence);
