using System.Diagnostics.CodeAnalysis;

namespace NodeLock;

/// <summary>
/// What a store needs to judge, inside a transaction of the caller, whether a task scope still has its node. It is one
/// look at an exclusive scope that was held a moment ago.
/// </summary>
[Experimental(INodeLockRepository.DiagnosticId)]
public sealed class ReservationGuard
{
    private readonly Func<string, ReservationLostException> lose;

    internal ReservationGuard(INodeLockRepository repository, string holder, HeldNode held, long drawnWith,
        TimeSpan leaseDuration, Func<string, ReservationLostException> lose)
    {
        Repository = repository;
        Holder = holder;
        Held = held;
        DrawnWith = drawnWith;
        LeaseDuration = leaseDuration;
        this.lose = lose;
    }

    /// <summary>Where the reservation is kept.</summary>
    public INodeLockRepository Repository { get; }

    /// <summary>The conductor that holds the node.</summary>
    public string Holder { get; }

    /// <summary>The node and its token.</summary>
    public HeldNode Held { get; }

    /// <summary>The token with which that of the scope was drawn; its own, if it was not handed over. A row of this
    /// holder with a token from this one up to the scope's was set back by a crash, and will be restored.</summary>
    public long DrawnWith { get; }

    /// <summary>The lease of the conductor: a guarded transaction may idle no longer.</summary>
    public TimeSpan LeaseDuration { get; }

    /// <summary>Tells the scope that the store says otherwise: it is lost.</summary>
    /// <param name="reason">Why, in words that follow "is lost:".</param>
    /// <returns>The exception to throw.</returns>
    public ReservationLostException Lost(string reason) => lose(reason);
}
