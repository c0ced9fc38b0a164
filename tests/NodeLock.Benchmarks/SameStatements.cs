using NodeLock.EntityFrameworkCore;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// The very statements that NodeLock sends for a cycle, with their text from the library, by nothing but Npgsql: each
/// between its begin and commit in one round trip, on a pooled connection opened for it. Whoever sends them is a
/// conductor to the store, one that nothing keeps alive.
/// </summary>
internal sealed class SameStatements
{
    private const string Begin = "begin isolation level read committed read write";
    private const string Commit = "commit";
    private const string ReserveRowWait = "250ms";
    private const string ReleaseRowWait = "1s";

    private static readonly TimeSpan NextAttempt = TimeSpan.FromSeconds(1);

    private readonly NpgsqlDataSource dataSource;
    private readonly ReservationSql sql;
    private readonly string holder = $"same-statements/{Guid.NewGuid():N}";

    private SameStatements(NpgsqlDataSource dataSource, ReservationSql sql) =>
        (this.dataSource, this.sql) = (dataSource, sql);

    public static async Task<SameStatements> EnterAsync(BenchmarkDatabase database, NpgsqlDataSource dataSource)
    {
        await using BenchmarkContext context = database.Context();
        ReservationModel model = ReservationModel.Of(context, KindName.OfNames());
        KindSql library = new(model);
        SameStatements same = new(dataSource, library.Reservations);
        TimeSpan longerThanAnyRun = TimeSpan.FromDays(1);
        await using NpgsqlCommand register = dataSource.CreateCommand(library.Conductors.Register);
        foreach (object value in (object[])
            [same.holder, model.Kind, "same-statements", Environment.MachineName, Environment.ProcessId,
                longerThanAnyRun, false])
        {
            register.Parameters.Add(new NpgsqlParameter { Value = value });
        }

        await register.ExecuteNonQueryAsync();
        return same;
    }

    public async Task CycleAsync(NodeId node, string purpose, CancellationToken cancellationToken)
    {
        string id = node.ToString();
        long token = await SendAsync(
            sql.Reserve, [id, holder, 0L, purpose, ReserveRowWait, NextAttempt, 0], cancellationToken)
            ?? throw new InvalidOperationException($"Node {id} is taken.");
        await SendAsync(sql.Release, [id, holder, token, ReleaseRowWait, true], cancellationToken);
    }

    /// <returns>The token that was granted.</returns>
    private async Task<long?> SendAsync(string statement, object[] parameters, CancellationToken cancellationToken)
    {
        await using NpgsqlConnection connection = await dataSource.OpenConnectionAsync(cancellationToken);
        var command = new NpgsqlBatchCommand(statement);
        foreach (object value in parameters) command.Parameters.Add(new NpgsqlParameter { Value = value });
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands = { new NpgsqlBatchCommand(Begin), command, new NpgsqlBatchCommand(Commit) },
        };
        await using NpgsqlDataReader reader = await batch.ExecuteReaderAsync(cancellationToken);
        long? token = null;
        while (await reader.ReadAsync(cancellationToken))
            if (reader.FieldCount > 1 && reader.GetString(1) == "granted") token = reader.GetInt64(2);
        while (await reader.NextResultAsync(cancellationToken))
        {
        }

        return token;
    }
}
