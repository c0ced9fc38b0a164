using System.Diagnostics.CodeAnalysis;

namespace NodeLock;

/// <summary>
/// A node that is reserved for the caller, from the acquire that returned this until its dispose.
/// </summary>
/// <remarks>
/// <para>
/// The conductor keeps the reservation alive; nothing has to be renewed by hand. Should it be unable to,
/// <see cref="Lost"/> fires before anybody else can get the node. Watch it in long work, and call
/// <see cref="EnsureHeld"/> before a step that must not be done twice. Neither protects a process that is paused
/// between the check and the step: what guards a write against that is the <see cref="FencingToken"/>.
/// </para>
/// <para>
/// Dispose releases the node. It may be called more than once, never throws because the node was lost or the store is
/// away, and takes at most <see cref="NodeLockOptions.ReleaseTimeout"/>; what it could not release by then, the
/// conductor releases later. A scope that is dropped without dispose stays reserved and is reported in the log.
/// </para>
/// </remarks>
/// <threadsafety>All members may be used at the same time from any thread.</threadsafety>
public sealed class TaskScope : IAsyncDisposable, IDisposable
{
    private readonly TaskManager manager;
    private readonly Holding holding;
    private int disposed;

    internal TaskScope(TaskManager manager, Holding holding)
    {
        this.manager = manager;
        this.holding = holding;
    }

#pragma warning disable MA0055 // This finalizer frees nothing, it tells: the only way to find a scope that was dropped.
    /// <summary>Reports a scope that nobody disposed. It does not release: the body may still be running.</summary>
    ~TaskScope()
    {
        if (Volatile.Read(ref disposed) == 0) manager.ReportDropped(holding);
    }
#pragma warning restore MA0055

    /// <summary>The node.</summary>
    public NodeId NodeId => holding.NodeId;

    /// <summary>How it is taken.</summary>
    public ReservationMode Mode => holding.Mode;

    /// <summary>What it was acquired for.</summary>
    public string Purpose => holding.Purpose;

    /// <summary>The token of this reservation. Every later reservation of any node has a greater one, so a store that
    /// remembers the greatest it has seen can refuse a holder that does not know it is late.</summary>
    public long FencingToken => holding.FencingToken;

    /// <summary>Since when the node is reserved, by the store's clock.</summary>
    public DateTimeOffset ReservedAt => holding.ReservedAt;

    /// <summary>
    /// Fires when the reservation is lost, before anybody else can have the node, and not on dispose. Stays readable
    /// after dispose. Its callbacks run on the thread pool.
    /// </summary>
    public CancellationToken Lost => holding.LostToken;

    /// <summary>Throws unless this process may still believe that it holds the node, judged at the call.</summary>
    /// <exception cref="ReservationLostException">It may not.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed.</exception>
    public void EnsureHeld()
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref disposed) != 0, this);
        manager.EnsureHeld(holding);
    }

    /// <summary>What a store needs to judge in a transaction of the caller whether this scope still has its node.</summary>
    /// <exception cref="ReservationLostException">It has not, as this process knows already.</exception>
    /// <exception cref="InvalidOperationException">It is shared.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed.</exception>
    [Experimental(INodeLockRepository.DiagnosticId)]
    public ReservationGuard Guard()
    {
        EnsureHeld();
        return manager.Guard(holding);
    }

    /// <summary>
    /// Lets a transaction of the caller release the node. If it returns, this scope is spent; if it throws, nothing has
    /// changed.
    /// </summary>
    /// <inheritdoc cref="Guard" path="/exception"/>
    [Experimental(INodeLockRepository.DiagnosticId)]
    public async ValueTask<T> ReleaseInAsync<T>(Func<ReservationGuard, Task<T>> transaction)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        return await transaction(Guard()).ConfigureAwait(false);
    }

    /// <summary>Releases the node.</summary>
    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return Interlocked.Exchange(ref disposed, 1) == 0 ? manager.EndAsync(holding) : default;
    }

    /// <summary>Releases the node, blocking the calling thread but needing none of the thread pool. Prefer
    /// <see cref="DisposeAsync"/>.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        if (Interlocked.Exchange(ref disposed, 1) == 0) manager.End(holding);
    }
}
