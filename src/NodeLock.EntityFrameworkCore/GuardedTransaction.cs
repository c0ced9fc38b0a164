using System.Data.Common;
using System.Runtime.ExceptionServices;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// A transaction of NodeLock's own around a save: guard, save, commit, and only then the context learns that its
/// changes are saved. So whatever fails before the commit can be run again from the start, by the user's execution
/// strategy or by the caller. A commit that fails is neither repeated nor given up before its outcome is known.
/// </summary>
/// <param name="context">The user's context.</param>
/// <param name="look">Judges the scope in this process, for each attempt.</param>
/// <param name="releases">Whether it releases the node too.</param>
internal sealed class GuardedTransaction(DbContext context, Func<Guard> look, bool releases)
{
    // Somebody's wish in the row since the transaction's snapshot is enough for a failure; more would be a fault.
    private const int MostRepetitions = 5;

    /// <returns>How many entries were saved.</returns>
    public async Task<int> SaveAsync(CancellationToken cancellationToken)
    {
        IExecutionStrategy strategy = context.Database.CreateExecutionStrategy();
        try
        {
            // Without retries a strategy does nothing but wrap what it throws.
            return strategy.RetriesOnFailure
                ? await strategy.ExecuteAsync(this, static (self, token) => self.AttemptAsync(token), cancellationToken)
                    .ConfigureAwait(false)
                : await AttemptAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (RetryLimitExceededException e) when (e.InnerException is DbException inner)
        {
            ExceptionDispatchInfo.Throw(inner);
            throw;
        }
    }

    private async Task<int> AttemptAsync(CancellationToken cancellationToken)
    {
        Guard guard = look();
        Commit commit = await RunAsync(guard, cancellationToken).ConfigureAwait(false);

        // The connection has been given back by now: it may be the only one of its pool, and asking takes another.
        if (commit.Failure is { } failure) await DemandCommittedAsync(guard, commit, failure).ConfigureAwait(false);
        context.ChangeTracker.AcceptAllChanges();
        if (commit.Guarded.IsWanted) await guard.TellAsync().ConfigureAwait(false);
        return commit.Saved;
    }

    private async Task<Commit> RunAsync(Guard guard, CancellationToken cancellationToken)
    {
        (IDbContextTransaction transaction, Guarded guarded) =
            await BeginAsync(guard, cancellationToken).ConfigureAwait(false);
        await using (transaction.ConfigureAwait(false))
        {
            int saved = await SaveOnceAsync(cancellationToken).ConfigureAwait(false);

            // A transaction that has failed is confirmed by "rollback" to its commit, and the driver calls that a
            // success. An interceptor that swallows an error after the save is all it takes.
            if (!await guard.IsInAsync(guarded.Transaction, cancellationToken).ConfigureAwait(false))
                throw new InvalidOperationException("Something ended the transaction of the guarded write before its "
                    + "commit; an interceptor or a handler of the context, for one.");
            return new Commit(guarded, saved, await FailureOfAsync(guard, transaction).ConfigureAwait(false));
        }
    }

    /// <summary>Begins until the guard has looked. Where that ends in a conflict, nothing has been done yet.</summary>
    private async Task<(IDbContextTransaction Transaction, Guarded Guarded)> BeginAsync(
        Guard guard, CancellationToken cancellationToken)
    {
        for (int repetition = 0; ; repetition++)
        {
            IDbContextTransaction transaction =
                await context.Database.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                return (transaction, await guard.HoldAsync(releases ? guard.Sql.Release : guard.Sql.Guard,
                    cancellationToken).ConfigureAwait(false));
            }
            catch (PostgresException e) when (Statements.IsOverAtOnce(e) && repetition < MostRepetitions)
            {
                await transaction.DisposeAsync().ConfigureAwait(false);
            }
            catch
            {
                await transaction.DisposeAsync().ConfigureAwait(false);
                throw;
            }
        }
    }

    private async Task<int> SaveOnceAsync(CancellationToken cancellationToken)
    {
        // A savepoint would be two round trips for nothing: what fails here is rolled back as a whole.
        bool before = context.Database.AutoSavepointsEnabled;
        context.Database.AutoSavepointsEnabled = false;
        try
        {
            return await context.SaveChangesAsync(acceptAllChangesOnSuccess: false, cancellationToken)
                .ConfigureAwait(false);
        }
        finally
        {
            context.Database.AutoSavepointsEnabled = before;
        }
    }

    /// <summary>Commits, which nobody cancels; null when it is confirmed.</summary>
    private async Task<Exception?> FailureOfAsync(Guard guard, IDbContextTransaction transaction)
    {
        using Replication replication = new((NpgsqlConnection)context.Database.GetDbConnection());
        try
        {
            await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
        }
        // The server's no. Anything more severe ends the session, and may do so in the middle of a commit.
        catch (PostgresException e) when (e.InvariantSeverity == "ERROR")
        {
            throw;
        }
        catch (Exception e)
        {
            return e;
        }

        return replication.IsWaitedFor ? null : throw Unknown(guard, replication.Failure);
    }

    private async Task DemandCommittedAsync(Guard guard, Commit commit, Exception failure)
    {
        switch (await guard.LostCommit(commit.Guarded, releases).IsCommittedAsync().ConfigureAwait(false))
        {
            case true: return;
            case false: ExceptionDispatchInfo.Throw(failure); return;
            default: throw Unknown(guard, failure);
        }
    }

    // Not an exception of the provider, which an execution strategy would take for a reason to save again.
    private InvalidOperationException Unknown(Guard guard, Exception failure)
    {
        // Somebody else may have the node already.
        if (releases) guard.Lose("a transaction was to release it, and whether it was committed is not known");
        return new InvalidOperationException(
            "The outcome of a guarded write is unknown: its commit was sent, and it could not be found out whether it "
            + "was carried out. Look at the data before saving again.", failure);
    }

    private readonly record struct Commit(Guarded Guarded, int Saved, Exception? Failure);
}
