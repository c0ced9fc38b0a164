using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;
using NodeLock;
using NodeLock.EntityFrameworkCore;

namespace Microsoft.EntityFrameworkCore;

/// <summary>
/// Writes that a stale holder cannot make: whether the scope still has its node is judged in the very transaction that
/// writes, with the node's row locked until that transaction ends.
/// </summary>
/// <remarks>
/// <para>
/// The context may be any that is connected to the scope's database; NodeLock need not be in its model. From the guard
/// on, nobody else can reserve the node until the transaction ends: keep it short. It may idle no longer than the
/// conductor's lease (<c>idle_in_transaction_session_timeout</c>; a lower setting of yours stays), or the server ends
/// it.
/// </para>
/// <para>
/// Under every isolation level a stale holder is refused. Under repeatable read and serializable that may also be
/// with the provider's serialization failure (SQLSTATE 40001), where the row was changed after the transaction began.
/// </para>
/// </remarks>
/// <threadsafety>As the context: one at a time. The scope may be used elsewhere meanwhile.</threadsafety>
public static class NodeLockGuardExtensions
{
    /// <summary>Saves the context's changes if the scope still has its node, and nothing otherwise.</summary>
    /// <remarks>
    /// <para>
    /// In a transaction that is open (of the context, or ambient) the guard and the save are part of it, and it is the
    /// caller's to commit. Without one, both get a transaction of their own under the context's execution strategy, as
    /// a plain save does. What became of a commit whose reply was lost is found out, in no longer than the lease lasts,
    /// so that a retry neither reports what was not saved nor saves twice.
    /// </para>
    /// <para>
    /// In a transaction of its own the context accepts its changes only after the commit. What handles
    /// <c>SavedChanges</c> comes before that, as in any explicit transaction, and must not save again.
    /// </para>
    /// </remarks>
    /// <param name="context">The context, on the scope's database.</param>
    /// <param name="task">The scope, which goes on holding its node.</param>
    /// <param name="cancellationToken">Ends everything up to the commit, which nothing cancels; without a transaction
    /// of the caller, nothing is saved then. None by default.</param>
    /// <returns>How many entries were written.</returns>
    /// <exception cref="ReservationLostException">The scope has lost its node; nothing was written.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed, has released its node already, or its work was
    /// spawned.</exception>
    /// <exception cref="InvalidOperationException">
    /// The scope is shared; its reservation is not in PostgreSQL; the context is not, or is of another database; the
    /// transaction is older than the reservation, completed, or not really one; or the outcome of the commit is
    /// unknown. The scope keeps its node.
    /// </exception>
    /// <exception cref="DbUpdateException">What <c>SaveChangesAsync</c> throws.</exception>
    /// <exception cref="System.Data.Common.DbException">The database failed or was away; the provider's own
    /// exception.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static async Task<int> SaveChangesGuardedAsync(
        this DbContext context, TaskScope task, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(task);
        Guard guard = Guard.Of(context, task.Guard());
        if (!guard.HasTransaction)
        {
            return await new GuardedTransaction(context, () => Guard.Of(context, task.Guard()), releases: false)
                .SaveAsync(cancellationToken).ConfigureAwait(false);
        }

        await guard.HoldInCallersAsync(cancellationToken).ConfigureAwait(false);
        return await context.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Saves the context's changes and releases the node, in one durable transaction: either both have happened, and
    /// the scope is spent, or neither, and it holds its node as before. Only where the outcome of the commit cannot be
    /// found out is neither known: then the scope is lost.
    /// </summary>
    /// <remarks>
    /// For the last write of a task. The transaction is its own, as that of <see cref="SaveChangesGuardedAsync"/>, and
    /// waits for the disk also where <c>synchronous_commit</c> is off.
    /// </remarks>
    /// <param name="context">The context, on the scope's database.</param>
    /// <param name="task">The scope; disposing it afterwards does nothing more.</param>
    /// <param name="cancellationToken">Ends everything up to the commit, which nothing cancels. None by
    /// default.</param>
    /// <exception cref="InvalidOperationException">
    /// A transaction is open; the scope is shared; its reservation is not in PostgreSQL; the context is not, or is of
    /// another database; a change of the scope is under way; or the outcome of the commit is unknown, and then the
    /// scope is lost.
    /// </exception>
    /// <inheritdoc cref="SaveChangesGuardedAsync"/>
    public static async Task<int> SaveChangesAndReleaseAsync(
        this DbContext context, TaskScope task, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(task);
        return await task.ReleaseInAsync(async (held, ends) =>
        {
            Guard guard = Guard.Of(context, held);
            if (guard.HasTransaction)
                throw new InvalidOperationException("A transaction is open, and whether it will be committed is not "
                    + "known here: the node cannot be released in it. Use SaveChangesGuardedAsync in the transaction, "
                    + "and dispose the scope after its commit.");
            return await new GuardedTransaction(context, () => guard, releases: true)
                .SaveAsync(ends).ConfigureAwait(false);
        }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Makes sure that the scope has its node until the open transaction ends: for writes that are not
    /// <c>SaveChanges</c>, such as <c>ExecuteUpdateAsync</c> or SQL of your own. Call it before them.
    /// </summary>
    /// <param name="database">The database of a context with an open transaction, its own or an ambient one.</param>
    /// <param name="task">The scope, which goes on holding its node.</param>
    /// <param name="cancellationToken">Ends the wait for the node's row. None by default.</param>
    /// <exception cref="ReservationLostException">The scope has lost its node. Roll back.</exception>
    /// <exception cref="ObjectDisposedException">The scope is disposed, has released its node already, or its work was
    /// spawned.</exception>
    /// <exception cref="InvalidOperationException">
    /// No transaction is open, or it is completed, not really one or older than the reservation; the scope is shared;
    /// its reservation is not in PostgreSQL; or the context is not, or is of another database.
    /// </exception>
    /// <exception cref="System.Data.Common.DbException">The database failed or was away; the provider's own
    /// exception.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static async Task EnsureReservedAsync(
        this DatabaseFacade database, TaskScope task, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(database);
        ArgumentNullException.ThrowIfNull(task);
        DbContext context = ((IDatabaseFacadeDependenciesAccessor)database).Context;
        Guard guard = Guard.Of(context, task.Guard());
        if (!guard.HasTransaction)
            throw new InvalidOperationException("No transaction is open, so the node could be taken over right after "
                + "this. Begin one (Database.BeginTransactionAsync), call EnsureReservedAsync, write, and commit; or "
                + "save with SaveChangesGuardedAsync.");
        await guard.HoldInCallersAsync(cancellationToken).ConfigureAwait(false);
    }
}
