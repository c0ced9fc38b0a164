using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

namespace NodeLock.Tests.Guard;

/// <summary>Does something right before each commit of a context.</summary>
internal sealed class BeforeCommit(Func<NpgsqlConnection, Task> act) : DbTransactionInterceptor
{
    public int Commits { get; private set; }

    /// <summary>Ends the session that is about to commit, the first time.</summary>
    public static BeforeCommit Kills(Func<int, Task> kill) => new OnceOnly(kill).Interceptor;

    public override async ValueTask<InterceptionResult> TransactionCommittingAsync(DbTransaction transaction,
        TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
    {
        Commits++;
        await act((NpgsqlConnection)eventData.Context!.Database.GetDbConnection());
        return result;
    }

    private sealed class OnceOnly
    {
        private bool done;

        public OnceOnly(Func<int, Task> kill) => Interceptor = new BeforeCommit(async connection =>
        {
            if (done) return;
            done = true;
            await kill(connection.ProcessID);
        });

        public BeforeCommit Interceptor { get; }
    }
}

/// <summary>A handler that runs a statement after each save, and is not told when it fails.</summary>
internal sealed class CarelessHandler(string sql) : SaveChangesInterceptor
{
    public override async ValueTask<int> SavedChangesAsync(SaveChangesCompletedEventData eventData, int result,
        CancellationToken cancellationToken = default)
    {
        try
        {
            await eventData.Context!.Database.ExecuteSqlRawAsync(sql, cancellationToken);
        }
        catch (DbException)
        {
        }

        return result;
    }
}

/// <summary>
/// Gives a context's own transactions an isolation level: Npgsql names one in its <c>begin</c>, so that the database's
/// default has no say.
/// </summary>
internal sealed class Isolation(string level) : DbTransactionInterceptor
{
    public override async ValueTask<DbTransaction> TransactionStartedAsync(DbConnection connection,
        TransactionEndEventData eventData, DbTransaction result, CancellationToken cancellationToken = default)
    {
        await using NpgsqlCommand set = new($"set transaction isolation level {level}", (NpgsqlConnection)connection);
        await set.ExecuteNonQueryAsync(cancellationToken);
        return result;
    }
}
