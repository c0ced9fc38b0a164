using System.Data.Common;
using System.Runtime.ExceptionServices;
using System.Transactions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Runs statements on contexts of the user's own: the connection is opened through EF Core, so that its interceptors
/// and password providers work, inside its execution strategy, and never in a transaction of the caller.
/// </summary>
internal sealed class Statements(ContextSource contexts, string contextName)
{
    // Deadlock and serialization failures have changed nothing and are over at once; more in a row would be a fault.
    private const int MostRepetitions = 5;

    public Task<List<T>> QueryAsync<T>(Statement<T> statement)
    {
        if (Transaction.Current is null) return RunAsync(statement);

        // Where an ambient transaction is in force, the statement runs where none flows to.
        Task<List<T>> elsewhere;
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
            elsewhere = Task.Run(() => RunAsync(statement));
        return elsewhere;
    }

    /// <summary>
    /// Once, on a thread of its own, for which the caller waits no longer than the statement may take: connecting has a
    /// limit of its own, which is not ours, and the thread pool may be busy. Nothing ambient flows there.
    /// </summary>
    /// <exception cref="TimeoutException">The outcome is unknown.</exception>
    public List<T> Query<T>(Statement<T> statement)
    {
        List<T> rows = [];
        ExceptionDispatchInfo? failure = null;
        Thread thread = new(() =>
        {
            try
            {
                rows = OnceHere(statement);
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        })
        { IsBackground = true, Name = "NodeLock statement" };
        thread.UnsafeStart();
        if (!thread.Join(statement.TimeLimit))
            throw new TimeoutException($"The database did not answer within {statement.TimeLimit}.");
        failure?.Throw();
        return rows;
    }

    /// <summary>Without the execution strategy, which would sleep between its retries.</summary>
    private List<T> OnceHere<T>(Statement<T> statement)
    {
        using ContextLease lease = contexts.Lease();
        lease.Context.Database.OpenConnection();
        try
        {
            // Nobody waits for it any more, and somebody may have the node by now.
            if (statement.IsOver) throw new NpgsqlException($"Given up after {statement.TimeLimit}.");
            NpgsqlConnection connection = (NpgsqlConnection)lease.Context.Database.GetDbConnection();
            return OwnTransaction.Query(connection, statement).Rows;
        }
        finally
        {
            lease.Context.Database.CloseConnection();
        }
    }

    private async Task<List<T>> RunAsync<T>(Statement<T> statement)
    {
        ContextLease lease = contexts.Lease();
        await using (lease.ConfigureAwait(false))
        {
            DbContext context = lease.Context;
            IExecutionStrategy strategy = context.Database.CreateExecutionStrategy();
            try
            {
                // Without retries a strategy does nothing but wrap what it throws.
                return strategy.RetriesOnFailure
                    ? await strategy.ExecuteAsync((context, statement),
                        static s => OnceAsync(s.context, s.statement)).ConfigureAwait(false)
                    : await OnceAsync(context, statement).ConfigureAwait(false);
            }
            catch (Exception e) when (Translated(e) is { } better)
            {
                ExceptionDispatchInfo.Throw(better);
                throw;
            }
        }
    }

    private static async Task<List<T>> OnceAsync<T>(DbContext context, Statement<T> statement)
    {
        // An execution strategy may come back long after anybody waits for this.
        if (statement.IsOver) throw new NpgsqlException($"Given up after {statement.TimeLimit}.");
        await context.Database.OpenConnectionAsync(statement.Ends).ConfigureAwait(false);
        try
        {
            if (statement.IsOver) throw new NpgsqlException($"Given up after {statement.TimeLimit}.");
            NpgsqlConnection connection = (NpgsqlConnection)context.Database.GetDbConnection();
            for (int repetition = 0; ; repetition++)
            {
                try
                {
                    return await OwnTransaction.QueryAsync(connection, statement).ConfigureAwait(false);
                }
                catch (PostgresException e) when (IsOverAtOnce(e) && repetition < MostRepetitions)
                {
                    await OwnTransaction.RollBackAsync(connection).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            await context.Database.CloseConnectionAsync().ConfigureAwait(false);
        }
    }

    public static bool IsOverAtOnce(PostgresException e) =>
        e.SqlState is PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure;

    public static bool IsAbsence(PostgresException e) =>
        e.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedColumn;

    /// <summary>What a caller should see instead: the provider's own exception out of EF Core's wrapping, and what to
    /// do where the tables are missing. Null where it is that already.</summary>
    private Exception? Translated(Exception e)
    {
        Exception inner = e is RetryLimitExceededException or InvalidOperationException
            && e.InnerException is DbException wrapped ? wrapped : e;
        return inner is PostgresException missing && IsAbsence(missing)
            ? SchemaSql.Refused(contextName, [missing.MessageText], missing)
            : inner == e ? null : inner;
    }
}
