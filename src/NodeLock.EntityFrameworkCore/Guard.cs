using System.Transactions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Judges in a transaction of a user's context whether a scope still has its node. Any context on the scope's database
/// will do: the names come from the model of the scope's own repository, and the commands are plain ones, since EF
/// Core's mapping (naming plug-ins, converters) has nothing to say about their results.
/// </summary>
internal sealed class Guard
{
    private static readonly TimeSpan LongestTelling = TimeSpan.FromSeconds(2);

    private readonly DbContext context;
    private readonly ReservationGuard guard;
    private readonly EntityFrameworkCoreNodeLockRepository repository;

    private Guard(DbContext context, ReservationGuard guard, EntityFrameworkCoreNodeLockRepository repository) =>
        (this.context, this.guard, this.repository) = (context, guard, repository);

    /// <exception cref="InvalidOperationException">The reservation or the context is not in PostgreSQL.</exception>
    public static Guard Of(DbContext context, ReservationGuard guard)
    {
        if (guard.Repository is not EntityFrameworkCoreNodeLockRepository repository)
            throw new InvalidOperationException($"Node {guard.Held.NodeId} is reserved in {guard.Repository.Location}, "
                + "which no database transaction can look at. A guarded write needs UseEntityFrameworkCore.");
        if (!context.Database.IsNpgsql())
            throw new InvalidOperationException($"{context.GetType().Name} uses "
                + $"{context.Database.ProviderName ?? "no provider"}; a guarded write needs PostgreSQL.");
        return new Guard(context, guard, repository);
    }

    public GuardSql Sql => repository.GuardSql;

    /// <summary>Whether the context is in a transaction, its own or an ambient one.</summary>
    public bool HasTransaction => context.Database.CurrentTransaction is not null
        || context.Database.GetEnlistedTransaction() is not null || Transaction.Current is not null;

    /// <summary>Holds the node's row in the transaction that the caller has open.</summary>
    /// <exception cref="InvalidOperationException">There is none, whatever the context believes.</exception>
    public async Task HoldInCallersAsync(CancellationToken cancellationToken)
    {
        // Where it was completed behind the context's back, each command would be a transaction of its own.
        if (context.Database.CurrentTransaction?.GetDbTransaction() is { Connection: null })
            throw new InvalidOperationException("The context's transaction is completed, so a guard in it guards "
                + "nothing. Begin a new one.");

        await context.Database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            Guarded guarded = await HoldAsync(Sql.Guard, cancellationToken).ConfigureAwait(false);
            if (context.Database.CurrentTransaction is null
                && !await IsInAsync(guarded.Transaction, cancellationToken).ConfigureAwait(false))
            {
                throw new InvalidOperationException("The context's connection takes no part in the ambient "
                    + "transaction (Enlist=false?), so a guard in it guards nothing. Begin a transaction with "
                    + "Database.BeginTransactionAsync.");
            }
        }
        finally
        {
            await context.Database.CloseConnectionAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Locks the node's row in the transaction of the context, and compares.</summary>
    /// <param name="statement">One of <see cref="Sql"/>.</param>
    /// <param name="cancellationToken">Ends the wait for the row.</param>
    /// <returns>The transaction's id, and the run of the server it is of.</returns>
    /// <exception cref="ReservationLostException">The row has another holder or token, or is gone.</exception>
    /// <exception cref="NpgsqlException">The database has forgotten a hand-over, which will be restored.</exception>
    /// <exception cref="InvalidOperationException">The context is of another database, or its transaction looks at a
    /// time before the reservation. The scope keeps its node.</exception>
    public async Task<Guarded> HoldAsync(string statement, CancellationToken cancellationToken)
    {
        Reply reply;
        try
        {
            reply = await AskAsync(statement, cancellationToken).ConfigureAwait(false);
        }
        catch (PostgresException e) when (Statements.IsAbsence(e))
        {
            throw OfAnotherDatabase(e);
        }

        if (reply.IsHeld) return new Guarded(reply.Transaction, reply.Run, reply.IsWanted);

        if (reply is { HasSnapshot: true, Token: null } && await IsHeldNowAsync().ConfigureAwait(false))
        {
            throw new InvalidOperationException($"The transaction looks at the database as it was before node "
                + $"{guard.Held.NodeId} was reserved. Acquire the node first, then begin the transaction.");
        }

        if (reply.Holder == guard.Holder && reply.Token >= guard.DrawnWith && reply.Token < guard.Held.FencingToken)
            throw SetBack();

        if (!reply.KnowsHolder) throw OfAnotherDatabase(null);

        throw guard.Lost(reply switch
        {
            { Token: null } => "the node's row is gone",
            { Holder: null } => "the node's row says that it is free",
            _ => $"the node's row names holder {reply.Holder} with fencing token {reply.Token}",
        });
    }

    /// <summary>Whether the context's connection is still in this transaction, and can commit it.</summary>
    /// <exception cref="PostgresException">The transaction has failed.</exception>
    public async Task<bool> IsInAsync(string transaction, CancellationToken cancellationToken)
    {
        NpgsqlCommand command = Command(GuardSql.Transaction);
        await using (command.ConfigureAwait(false))
            return transaction == await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) as string;
    }

    /// <summary>What to find out about a transaction's commit, and for how long: by then the idle limit has ended one
    /// whose commit never reached the server.</summary>
    /// <param name="guarded">The transaction.</param>
    /// <param name="releases">Whether it releases the node, so that the row knows too.</param>
    public LostCommit LostCommit(Guarded guarded, bool releases) => new(repository.Statements, guarded,
        releases ? (Sql.IsReleased, [.. Reservation, guard.DrawnWith]) : null, guard.LeaseDuration);

    /// <summary>
    /// Tells those who wait that the node is free, once that is committed. Where it cannot be done in a moment it is
    /// not done: what is saved is saved, and they find out at their next attempt.
    /// </summary>
    public async Task TellAsync()
    {
        using CancellationTokenSource limit = new(LongestTelling, TimeProvider.System);
        Statement<bool> tell = new(
            Sql.Tell, [guard.Held.NodeId.ToString()], LongestTelling, static _ => true, limit.Token);
        try
        {
            await repository.Statements.QueryAsync(tell).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Of whatever kind: the user's own interceptors have a say in how a connection is opened.
        }
    }

    /// <summary>Tells the scope that nobody knows whether it has its node.</summary>
    public void Lose(string reason) => guard.Lost(reason);

    private async Task<Reply> AskAsync(string statement, CancellationToken cancellationToken)
    {
        long idleLimit = (long)Math.Clamp(guard.LeaseDuration.TotalMilliseconds, 1, int.MaxValue);
        NpgsqlCommand command = Command(statement, [.. Reservation, idleLimit]);
        await using (command.ConfigureAwait(false))
        {
            NpgsqlDataReader row = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using (row.ConfigureAwait(false))
            {
                await row.ReadAsync(cancellationToken).ConfigureAwait(false);
                return new Reply(row.GetBoolean(0), row.IsDBNull(1) ? null : row.GetString(1),
                    row.IsDBNull(2) ? null : row.GetInt64(2), row.GetBoolean(3), row.GetBoolean(4), row.GetString(5),
                    row.GetString(6), row.GetBoolean(7));
            }
        }
    }

    private async Task<bool> IsHeldNowAsync()
    {
        Statement<bool> look = new(Sql.IsHeld, Reservation, guard.LeaseDuration, static _ => true);
        return (await repository.Statements.QueryAsync(look).ConfigureAwait(false)).Count > 0;
    }

    private object[] Reservation =>
        [repository.KeyOf(guard.Held.NodeId), guard.Holder, guard.Held.FencingToken];

    private NpgsqlConnection Connection => (NpgsqlConnection)context.Database.GetDbConnection();

    private NpgsqlCommand Command(string sql, params object[] parameters)
    {
        NpgsqlCommand command = new(sql, Connection)
        {
            Transaction = context.Database.CurrentTransaction?.GetDbTransaction() as NpgsqlTransaction,
        };
        if (context.Database.GetCommandTimeout() is { } seconds) command.CommandTimeout = seconds;
        foreach (object value in parameters) command.Parameters.Add(new NpgsqlParameter { Value = value });
        return command;
    }

    // Transient, as the driver judges by the inner exception: an execution strategy tries again.
    private NpgsqlException SetBack() => new($"The database has crashed and forgotten how node {guard.Held.NodeId} was "
        + "handed over within this process; the next heartbeat restores it. Nothing was written: try again.",
        new TimeoutException());

    private InvalidOperationException OfAnotherDatabase(Exception? inner) => new(
        $"Node {guard.Held.NodeId} is reserved in {guard.Repository.Location}. {context.GetType().Name} is connected "
        + $"to PostgreSQL at {Connection.Host}:{Connection.Port}, database {Connection.Database}, whose tables (on its "
        + "search path) do not know the reservation's conductor. A guarded write needs a context of the same "
        + "database. Nothing was written, and the node is still reserved.", inner);

    /// <param name="IsHeld">Whether the row has the holder and the token.</param>
    /// <param name="Holder">Whom the row names; null when nobody.</param>
    /// <param name="Token">Its token; null when there is no row.</param>
    /// <param name="KnowsHolder">Whether the conductors table knows the scope's holder.</param>
    /// <param name="HasSnapshot">Whether the transaction goes on looking at the time of its first statement.</param>
    /// <param name="Transaction">Its id.</param>
    /// <param name="Run">The run of the server.</param>
    /// <param name="IsWanted">Whether it was released and somebody waits for it.</param>
    private sealed record Reply(
        bool IsHeld, string? Holder, long? Token, bool KnowsHolder, bool HasSnapshot, string Transaction,
        string Run, bool IsWanted);
}

/// <summary>A transaction in which a node's row is held.</summary>
/// <param name="Transaction">Its id.</param>
/// <param name="Run">The run of the server, from a start or a crash to the next: an id is of one run.</param>
/// <param name="IsWanted">Whether it releases the node, and somebody is to be told.</param>
internal readonly record struct Guarded(string Transaction, string Run, bool IsWanted);
