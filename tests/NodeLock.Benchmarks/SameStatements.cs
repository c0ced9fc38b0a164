using System.Globalization;
using System.Text.RegularExpressions;
using NodeLock.EntityFrameworkCore;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// The very statements that NodeLock sends for a cycle, with their text from the library, by nothing but Npgsql: each
/// between its begin and commit in one round trip, on a pooled connection opened for it. Whoever sends them is a
/// conductor to the store, one that nothing keeps alive.
/// </summary>
internal sealed partial class SameStatements
{
    private const string Begin = "begin isolation level read committed read write";
    private const string Commit = "commit";
    private const string ReserveRowWait = "250ms";
    private const string ReleaseRowWait = "1s";

    private const int NoSpareTokens = 0;
    private const bool TellsWhoWaits = true;

    private static readonly TimeSpan NextAttempt = TimeSpan.FromSeconds(1);

    private readonly NpgsqlDataSource dataSource;
    private readonly Statement reserve;
    private readonly Statement release;
    private readonly string holder = $"same-statements/{Guid.NewGuid():N}";

    private SameStatements(NpgsqlDataSource dataSource, ReservationSql sql)
    {
        this.dataSource = dataSource;
        reserve = Statement.Of(sql.Reserve);
        release = Statement.Of(sql.Release);
    }

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
        long token = await SendAsync(reserve,
            [id, holder, 0L, purpose, ReserveRowWait, NextAttempt, NoSpareTokens], TokenOf, cancellationToken)
            ?? throw new InvalidOperationException($"Node {id} is taken.");
        await SendAsync(release,
            [id, holder, token, ReleaseRowWait, TellsWhoWaits], static _ => null, cancellationToken);
    }

    private static long? TokenOf(NpgsqlDataReader answer) =>
        answer.GetString(1) == "granted" ? answer.GetInt64(2) : null;

    private async Task<long?> SendAsync(Statement statement, object[] parameters,
        Func<NpgsqlDataReader, long?> read, CancellationToken cancellationToken)
    {
        await using NpgsqlConnection connection = await dataSource.OpenConnectionAsync(cancellationToken);
        var command = new NpgsqlBatchCommand(statement.Text);
        for (int i = 0; i < statement.Parameters; i++)
            command.Parameters.Add(new NpgsqlParameter { Value = parameters[i] });
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands = { new NpgsqlBatchCommand(Begin), command, new NpgsqlBatchCommand(Commit) },
        };
        await using NpgsqlDataReader reader = await batch.ExecuteReaderAsync(cancellationToken);
        long? result = null;
        while (await reader.ReadAsync(cancellationToken)) result = read(reader);
        while (await reader.NextResultAsync(cancellationToken))
        {
        }

        return result;
    }

    [GeneratedRegex(@"\$[0-9]+", RegexOptions.None, 1000)]
    private static partial Regex Parameter();

    /// <summary>A statement, and how many of the parameters its version names: with time some were added at the
    /// end.</summary>
    private sealed record Statement(string Text, int Parameters)
    {
        public static Statement Of(string text) => new(text,
            Parameter().Matches(text).Max(m => int.Parse(m.ValueSpan[1..], CultureInfo.InvariantCulture)));
    }
}
