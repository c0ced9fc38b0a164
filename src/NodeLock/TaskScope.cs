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
    private readonly Scopes scopes;
    private readonly Holding holding;
    private readonly ScopeUse use = new();

    internal TaskScope(Scopes scopes, Holding holding)
    {
        this.scopes = scopes;
        this.holding = holding;
    }

#pragma warning disable MA0055 // This finalizer frees nothing, it tells: the only way to find a scope that was dropped.
    /// <summary>Reports a scope that nobody disposed. It does not release: the body may still be running.</summary>
    ~TaskScope()
    {
        if (!use.IsOver) scopes.ReportDropped(holding);
    }
#pragma warning restore MA0055

    /// <summary>The node.</summary>
    public NodeId NodeId => holding.NodeId;

    /// <summary>How it is taken now.</summary>
    public ReservationMode Mode => holding.Mode;

    /// <summary>What it was acquired for, or upgraded for since.</summary>
    public string Purpose => holding.Purpose;

    /// <summary>The token of this reservation. Every later reservation of this node has a greater one, so a store
    /// that remembers the greatest it has seen can refuse a holder that does not know it is late. An upgrade and a
    /// downgrade give another. Scopes of one process that share a node have the same.</summary>
    public long FencingToken => holding.FencingToken;

    /// <summary>When this scope got the node in its present mode, by the store's clock.</summary>
    public DateTimeOffset ReservedAt => holding.Grant.ReservedAt;

    /// <summary>
    /// Fires when the reservation is lost, before anybody else can have the node. Two exceptions: an operator who
    /// breaks it (this fires within a heartbeat), and a process that is paused meanwhile (when it goes on). It does
    /// not fire on dispose, and stays readable after it. Its callbacks run on the thread pool.
    /// </summary>
    public CancellationToken Lost => holding.LostToken;

    internal Holding Holding => holding;

    /// <summary>Throws unless this process may still believe that it holds the node, judged at the call.</summary>
    /// <exception cref="ReservationLostException">It may not.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed, a transaction is releasing it, or its work was
    /// spawned.</exception>
    public void EnsureHeld()
    {
        ThrowIfSpent();
        scopes.EnsureHeld(holding);
    }

    /// <summary>The same, and throws unless the node is taken exclusively.</summary>
    /// <exception cref="InvalidOperationException">It is shared.</exception>
    /// <inheritdoc cref="EnsureHeld" path="/exception"/>
    public void EnsureExclusive()
    {
        EnsureHeld();
        if (Mode != ReservationMode.Exclusive)
            throw new InvalidOperationException($"Node {NodeId} is only shared, for \"{Purpose}\", and what is about "
                + $"to be done needs it exclusively. Call {nameof(UpgradeAsync)} before.");
    }

    /// <summary>
    /// Turns a shared scope into an exclusive one, with no gap in which anybody else could write. It waits for others
    /// who share the node, and fails at once where another writer waits, so that two never wait for each other.
    /// Whatever it throws but a loss, the scope stays shared and usable, its purpose unchanged. An exclusive scope
    /// stays as it is.
    /// </summary>
    /// <param name="purpose">Why the node is written, 1 to 500 characters; null for the purpose it has.</param>
    /// <param name="retry">How often to ask while others share the node; null for the configured retry.</param>
    /// <param name="cancellationToken">Ends the wait between two attempts. A request on its way is waited for.</param>
    /// <exception cref="ArgumentException">The purpose is empty or too long.</exception>
    /// <exception cref="NodeLockedException">Others share it still, or another writer waits.</exception>
    /// <exception cref="ReservationLostException">The scope has lost the node.</exception>
    /// <exception cref="ConductorStoppingException">The process is shutting down, so that nobody waits.</exception>
    /// <exception cref="InvalidOperationException">Another change of this scope is under way.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed, or was meanwhile, or its work was
    /// spawned.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="TimeoutException">The store did not answer within
    /// <see cref="NodeLockOptions.HeartbeatInterval"/>.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed; the provider's own
    /// exception.</exception>
    public async ValueTask UpgradeAsync(string? purpose = null, LockRetry? retry = null,
        CancellationToken cancellationToken = default)
    {
        if (purpose is not null) Text.Purpose(purpose, nameof(purpose));
        cancellationToken.ThrowIfCancellationRequested();
        using CancellationTokenSource ends =
            CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, holding.LostToken);
        Begin(ends);
        try
        {
            scopes.EnsureHeld(holding);
            if (Mode == ReservationMode.Shared)
                await scopes.UpgradeAsync(holding, purpose ?? Purpose, retry, ends.Token).ConfigureAwait(false);
        }
        // The linked token is the scope's own; what the caller gave is what it is to see.
        catch (OperationCanceledException) when (ends.IsCancellationRequested)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ThrowIfSpent();
            scopes.EnsureHeld(holding);
            throw;
        }
        finally
        {
            await EndChangeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Turns an exclusive scope into a shared one, with no gap in which anybody else could write; others may share the
    /// node from then on. A shared scope stays as it is. From the moment the request is sent the scope counts as
    /// shared, whatever becomes of it; after a <see cref="TimeoutException"/> or the database's own exception, call it
    /// again.
    /// </summary>
    /// <param name="cancellationToken">Looked at before the request is sent; the request is waited for.</param>
    /// <exception cref="ReservationLostException">The scope has lost the node.</exception>
    /// <exception cref="InvalidOperationException">Another change of this scope is under way.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed, or its work was spawned.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="TimeoutException">The store did not answer within
    /// <see cref="NodeLockOptions.HeartbeatInterval"/>, or a transaction has had the node's row in hand for
    /// <see cref="NodeLockOptions.ReleaseTimeout"/>.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed; the provider's own
    /// exception.</exception>
    public async ValueTask DowngradeAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Begin(null);
        try
        {
            scopes.EnsureHeld(holding);
            if (Mode == ReservationMode.Exclusive || holding.IsChanging)
                await scopes.DowngradeAsync(holding).ConfigureAwait(false);
        }
        finally
        {
            await EndChangeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Goes on with the node in the background: the work gets a scope of its own for the same reservation, which ends
    /// with the work, however that ends; this one is spent. Nothing is queued.
    /// </summary>
    /// <param name="work">The work. Its token is the scope's <see cref="Lost"/>, which fires too when the process ends
    /// before the work does.</param>
    /// <param name="priority">Whether it may take one of the reserved workers.</param>
    /// <returns>The outcome of the work. A failure is logged whether or not this is awaited.</returns>
    /// <exception cref="NoFreeWorkerException">As much work runs as may. The scope is as it was.</exception>
    /// <exception cref="ReservationLostException">The scope has lost the node.</exception>
    /// <exception cref="InvalidOperationException">A change of this scope is under way.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed, or its work was spawned before.</exception>
    public Task Spawn(Func<TaskScope, CancellationToken, Task> work, WorkPriority priority = WorkPriority.Normal)
    {
        ArgumentNullException.ThrowIfNull(work);
        Begin(null);
        bool hasWorker = false;
        try
        {
            scopes.EnsureHeld(holding);
            scopes.TakeWorker(holding, priority);
            hasWorker = true;
            TaskScope own = new(scopes, holding);
            Task running = Task.Run(() => scopes.RunAsync(own, work));
            _ = running.ContinueWith(static t => t.Exception, CancellationToken.None,
                TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default); // seen, also where the caller does not look: it has been logged
            // A dispose meanwhile asked for what the work does at its end.
            use.Spend();
            return running;
        }
        catch
        {
            if (hasWorker) scopes.LeaveWorker();
            if (use.EndChange()) scopes.EndLater(holding);
            throw;
        }
    }

    /// <summary>What a store needs to judge in a transaction of the caller whether this scope still has its
    /// node.</summary>
    /// <exception cref="ReservationLostException">It has not, as this process knows already.</exception>
    /// <exception cref="InvalidOperationException">It is shared.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed, or its work was spawned.</exception>
    [Experimental(INodeLockRepository.DiagnosticId)]
    public ReservationGuard Guard()
    {
        EnsureExclusive();
        return scopes.Guard(holding);
    }

    /// <summary>
    /// Lets a transaction of the caller release the node. If it returns, this scope is spent; if it throws, the scope
    /// is as before, unless the transaction has called <see cref="ReservationGuard.Lost"/>.
    /// </summary>
    /// <typeparam name="T">What the transaction gives.</typeparam>
    /// <param name="transaction">The transaction.</param>
    /// <param name="cancellationToken">Given to the transaction.</param>
    /// <returns>What the transaction returned.</returns>
    /// <exception cref="InvalidOperationException">It is shared, or a change of it is under way.</exception>
    /// <inheritdoc cref="Guard" path="/exception"/>
    [Experimental(INodeLockRepository.DiagnosticId)]
    public async ValueTask<T> ReleaseInAsync<T>(Func<ReservationGuard, CancellationToken, Task<T>> transaction,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        Begin(null);
        try
        {
            scopes.EnsureHeld(holding);
            EnsureExclusive();
            T result = await scopes.ReleaseInAsync(holding, transaction, cancellationToken).ConfigureAwait(false);
            use.Spend();
            scopes.EndReleased(holding);
            return result;
        }
        finally
        {
            await EndChangeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Releases the node. A change under way is ended first.</summary>
    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return TrySpend() ? scopes.EndAsync(holding) : default;
    }

    /// <summary>Releases the node, blocking the calling thread but needing none of the thread pool. Prefer
    /// <see cref="DisposeAsync"/>.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        if (TrySpend()) scopes.End(holding);
    }

    /// <summary>True for the one who is to end the use.</summary>
    internal bool TrySpend() => use.TrySpend();

    private void Begin(CancellationTokenSource? change)
    {
        ThrowIfSpent();
        if (use.TryBeginChange(change)) return;
        ThrowIfSpent();
        throw new InvalidOperationException($"Another change of the scope of node {NodeId}, for \"{Purpose}\", is "
            + "under way: an upgrade, a downgrade or a transaction that releases it. Wait for it.");
    }

    private ValueTask EndChangeAsync() => use.EndChange() ? scopes.EndAsync(holding) : default;

    private void ThrowIfSpent()
    {
        if (use.IsOver || holding.IsBeingReleased)
            throw new ObjectDisposedException(nameof(TaskScope), $"The scope of node {NodeId}, for \"{Purpose}\", is "
                + "disposed, is being released by a transaction, or its work was spawned.");
    }
}
