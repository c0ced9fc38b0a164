using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Runs one statement in a transaction of its own, in one round trip: <c>begin; …; commit</c> as a batch. The isolation
/// level is stated, since under the stricter ones, which a database may have as its default, most reserves of a
/// contended node would fail with a serialization error.
/// </summary>
internal static class OwnTransaction
{
    private const string Begin = "begin isolation level read committed read write";
    private const string Commit = "commit";
    private const string Rollback = "rollback";

    /// <summary>Runs a statement; its answer counts only once the commit has been confirmed.</summary>
    /// <returns>Each row as the statement reads it.</returns>
    public static async Task<List<T>> QueryAsync<T>(NpgsqlConnection connection, Statement<T> statement)
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

    /// <summary>The same on the calling thread.</summary>
    /// <returns>Each row, and how many rows were changed.</returns>
    public static (List<T> Rows, int Changed) Query<T>(NpgsqlConnection connection, Statement<T> statement)
    {
        using Replication replication = new(connection);
        using NpgsqlBatch batch = BatchOf(connection, statement);
        List<T> rows = [];
        using (NpgsqlDataReader reader = batch.ExecuteReader())
        {
            while (reader.Read()) rows.Add(statement.Read(reader));
            while (reader.NextResult())
            {
            }
        }

        replication.ThrowIfNotWaitedFor();
        return (rows, batch.BatchCommands[1].RecordsAffected);
    }

    /// <summary>Ends the transaction that a failed statement left behind, so that another can follow.</summary>
    public static async Task RollBackAsync(NpgsqlConnection connection)
    {
        NpgsqlCommand command = new(Rollback, connection);
        await using (command.ConfigureAwait(false)) await command.ExecuteNonQueryAsync().ConfigureAwait(false);
    }

    private static NpgsqlBatch BatchOf<T>(NpgsqlConnection connection, Statement<T> statement)
    {
        NpgsqlBatchCommand command = new(statement.Sql);
        foreach (object value in statement.Parameters) command.Parameters.Add(new NpgsqlParameter { Value = value });
        return new NpgsqlBatch(connection)
        {
            // A whole number of seconds, and 0 would mean for ever.
            Timeout = (int)Math.Ceiling(statement.TimeLimit.TotalSeconds),
            BatchCommands = { new NpgsqlBatchCommand(Begin), command, new NpgsqlBatchCommand(Commit) },
        };
    }

    /// <summary>
    /// Hears the warning with which a server confirms a commit whose synchronous standby it did not wait for: after a
    /// failover that commit may never have been, so it counts as unanswered.
    /// </summary>
    private sealed class Replication : IDisposable
    {
        private const string Warning = "01000";

        private readonly NpgsqlConnection connection;
        private string? warning;

        public Replication(NpgsqlConnection connection)
        {
            this.connection = connection;
            connection.Notice += Hear;
        }

        public void ThrowIfNotWaitedFor()
        {
            if (warning is not null)
                throw new NpgsqlException($"The outcome of a statement is unknown; the server said: {warning}");
        }

        public void Dispose() => connection.Notice -= Hear;

        private void Hear(object sender, NpgsqlNoticeEventArgs e)
        {
            if (e.Notice.SqlState == Warning) warning = e.Notice.MessageText;
        }
    }
}

/// <summary>A statement, what it is given, and how its rows are read.</summary>
/// <remarks>
/// <c>Ends</c> cancels a query. A statement that changes something has none: its outcome would be unknown.
/// </remarks>
internal readonly record struct Statement<T>(
    string Sql, object[] Parameters, TimeSpan TimeLimit, Func<NpgsqlDataReader, T> Read, CancellationToken Ends = default);
