using System.Diagnostics;
using System.Globalization;
using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Runs one statement in a transaction of its own: <c>begin; …; commit</c>, as a batch in one round trip. The isolation
/// level is stated, since under the stricter ones, which a database may have as its default, most reserves of a
/// contended node would fail with a serialization error.
/// </summary>
internal static class OwnTransaction
{
    private const string Begin = "begin isolation level read committed read write";
    private const string Commit = "commit";
    private const string Rollback = "rollback";
    private const string LimitIdleness = "select set_config('idle_in_transaction_session_timeout', $1, true)";

    /// <summary>Runs a statement; its answer counts only once the commit has been confirmed. One that fails because of
    /// whom it tells is run again and tells nobody.</summary>
    /// <returns>Each row as the statement reads it.</returns>
    public static async Task<List<T>> QueryAsync<T>(NpgsqlConnection connection, Statement<T> statement)
    {
        try
        {
            return await OnceAsync(connection, statement).ConfigureAwait(false);
        }
        catch (PostgresException e) when (statement.Tells && IsOfTelling(e))
        {
            await RollBackAsync(connection).ConfigureAwait(false);
            return await OnceAsync(connection, statement.Untold()).ConfigureAwait(false);
        }
    }

    private static async Task<List<T>> OnceAsync<T>(NpgsqlConnection connection, Statement<T> statement)
    {
        using Replication replication = new(connection);
        NpgsqlBatch batch = BatchOf(connection, statement);
        await using (batch.ConfigureAwait(false))
        {
            List<T> rows = [];
            NpgsqlDataReader reader = await batch.ExecuteReaderAsync(statement.Ends).ConfigureAwait(false);
            await using (reader.ConfigureAwait(false))
            {
                while (await reader.ReadAsync(statement.Ends).ConfigureAwait(false)) rows.Add(statement.Read(reader));
                while (await reader.NextResultAsync(statement.Ends).ConfigureAwait(false))
                {
                }
            }

            replication.ThrowIfNotWaitedFor();
            return rows;
        }
    }

    /// <summary>
    /// The same on the calling thread, one command after the other: of a batch, Npgsql sends all but the first from the
    /// thread pool, also when it is executed synchronously. A process that is paused in between must not keep its rows
    /// locked, so the server ends a transaction that waits for its next command for as long as an answer may take.
    /// </summary>
    /// <returns>Each row, and how many rows were changed.</returns>
    public static (List<T> Rows, int Changed) Query<T>(NpgsqlConnection connection, Statement<T> statement)
    {
        try
        {
            return Once(connection, statement);
        }
        catch (PostgresException e) when (statement.Tells && IsOfTelling(e))
        {
            Execute(connection, Rollback, [], statement.TimeLimit);
            return Once(connection, statement.Untold());
        }
    }

    private static (List<T> Rows, int Changed) Once<T>(NpgsqlConnection connection, Statement<T> statement)
    {
        using Replication replication = new(connection);
        Execute(connection, Begin, [], statement.TimeLimit);
        Execute(connection, LimitIdleness, [Milliseconds(statement.TimeLimit)], statement.TimeLimit);
        List<T> rows = [];
        int changed;
        using (NpgsqlCommand command = CommandOf(connection, statement.Sql, statement.Parameters, statement.TimeLimit))
        using (NpgsqlDataReader reader = command.ExecuteReader())
        {
            while (reader.Read()) rows.Add(statement.Read(reader));
            changed = reader.RecordsAffected;
        }

        Execute(connection, Commit, [], statement.TimeLimit);
        replication.ThrowIfNotWaitedFor();
        return (rows, changed);
    }

    /// <summary>Ends the transaction that a failed statement left behind, so that another can follow.</summary>
    public static async Task RollBackAsync(NpgsqlConnection connection)
    {
        NpgsqlCommand command = new(Rollback, connection);
        await using (command.ConfigureAwait(false)) await command.ExecuteNonQueryAsync().ConfigureAwait(false);
    }

    /// <summary>A time limit as the server's settings take it.</summary>
    public static string Milliseconds(TimeSpan timeLimit) =>
        string.Create(CultureInfo.InvariantCulture, $"{Math.Ceiling(timeLimit.TotalMilliseconds):0}ms");

    // The queue of notifications is full, which shows at the commit, or the payload is not one. Neither is a reason to
    // keep a node.
    private static bool IsOfTelling(PostgresException e) =>
        e.SqlState is PostgresErrorCodes.ProgramLimitExceeded or PostgresErrorCodes.InvalidParameterValue;

    private static void Execute(NpgsqlConnection connection, string sql, object[] parameters, TimeSpan timeLimit)
    {
        using NpgsqlCommand command = CommandOf(connection, sql, parameters, timeLimit);
        command.ExecuteNonQuery();
    }

    private static NpgsqlCommand CommandOf(
        NpgsqlConnection connection, string sql, object[] parameters, TimeSpan timeLimit)
    {
        NpgsqlCommand command = new(sql, connection) { CommandTimeout = Seconds(timeLimit) };
        foreach (object value in parameters) command.Parameters.Add(new NpgsqlParameter { Value = value });
        return command;
    }

    // A whole number of seconds, and 0 would mean for ever.
    private static int Seconds(TimeSpan timeLimit) => (int)Math.Ceiling(timeLimit.TotalSeconds);

    private static NpgsqlBatch BatchOf<T>(NpgsqlConnection connection, Statement<T> statement)
    {
        NpgsqlBatchCommand command = new(statement.Sql);
        foreach (object value in statement.Parameters) command.Parameters.Add(new NpgsqlParameter { Value = value });
        return new NpgsqlBatch(connection)
        {
            Timeout = Seconds(statement.TimeLimit),
            BatchCommands = { new NpgsqlBatchCommand(Begin), command, new NpgsqlBatchCommand(Commit) },
        };
    }
}

/// <summary>A statement, what it is given, and how its rows are read.</summary>
/// <remarks>
/// <c>Ends</c> cancels a query. A statement that changes something has none: its outcome would be unknown.
/// </remarks>
internal readonly record struct Statement<T>(
    string Sql, object[] Parameters, TimeSpan TimeLimit, Func<NpgsqlDataReader, T> Read,
    CancellationToken Ends = default)
{
    private readonly long begun = Stopwatch.GetTimestamp();

    /// <summary>Whether the time has passed within which the statement is worth beginning (again).</summary>
    public bool IsOver => Stopwatch.GetElapsedTime(begun) >= TimeLimit;

    /// <summary>Whether it tells those who wait; the last of its parameters says so to the server.</summary>
    public bool Tells { get; private init; }

    /// <summary>The same, telling those who wait, for a statement whose last parameter is to say so.</summary>
    public Statement<T> Telling() => this with { Parameters = [.. Parameters, true], Tells = true };

    /// <summary>The same, telling nobody.</summary>
    public Statement<T> Untold() => this with { Parameters = [.. Parameters[..^1], false], Tells = false };
}
