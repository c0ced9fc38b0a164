using Npgsql;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// The history of a reservation table, kept by a trigger: whatever the processes believed, this is what the database
/// did. A change is noted under the lock of its row, so for one node the sequence is the order of its row's versions.
/// </summary>
public sealed class ReservationHistory
{
    private readonly string connectionString;
    private readonly string history;

    private ReservationHistory(string connectionString, string history)
    {
        this.connectionString = connectionString;
        this.history = history;
    }

    /// <param name="connectionString">Leads to the database of the table.</param>
    /// <param name="table">The reservation table; it may be qualified by its schema.</param>
    /// <param name="key">Its key column.</param>
    public static async Task<ReservationHistory> InstallAsync(
        string connectionString, string table = "nodelock_nodes", string key = "id")
    {
        string quotedTable = string.Join('.', table.Split('.').Select(Quote));
        string[] parts = table.Split('.');
        parts[^1] += "_history";
        string kept = string.Join('.', parts.Select(Quote));
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(Script(quotedTable, kept, Quote(key)), connection);
        await command.ExecuteNonQueryAsync();
        return new ReservationHistory(connectionString, kept);
    }

    /// <summary>The changes that were committed, in their order.</summary>
    public async Task<IReadOnlyList<ReservationChange>> ReadAsync()
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(
            $"""
            SELECT seq, at, txid, node, old_holder, new_holder, old_token, new_token, new_purpose
            FROM {history} ORDER BY seq
            """,
            connection);
        await using NpgsqlDataReader reader = await command.ExecuteReaderAsync();
        List<ReservationChange> changes = [];
        while (await reader.ReadAsync())
        {
            changes.Add(new ReservationChange(
                reader.GetInt64(0),
                await reader.GetFieldValueAsync<DateTimeOffset>(1),
                reader.GetInt64(2),
                reader.GetString(3),
                reader[4] as string,
                reader[5] as string,
                reader[6] as long?,
                reader[7] as long?,
                reader[8] as string));
        }

        return changes;
    }

    /// <summary>What is wrong with a history, in words; nothing when it is in order.</summary>
    /// <param name="changes">The changes of any number of nodes, those of one node in their order.</param>
    /// <param name="mayBeReplaced">
    /// Whether a holder was rightly taken over from, as it was dead; null when nobody was.
    /// </param>
    public static IReadOnlyList<string> Check(
        IEnumerable<ReservationChange> changes, Func<string, bool>? mayBeReplaced = null)
    {
        List<string> violations = [];
        foreach (IGrouping<string, ReservationChange> node in changes.GroupBy(c => c.Node, StringComparer.Ordinal))
        {
            long highest = 0;
            ReservationChange? previous = null;
            foreach (ReservationChange change in node)
            {
                if (previous is not null && Gap(previous, change) is { } gap)
                    violations.Add(gap);
                if (Replaced(change, mayBeReplaced) is { } replaced)
                    violations.Add(replaced);
                if (Stale(change, highest) is { } stale)
                    violations.Add(stale);
                highest = change.IsReservation ? Math.Max(highest, change.NewToken ?? 0) : highest;
                previous = change;
            }
        }

        return violations;
    }

    // Between two changes the row is as the first left it; else a holder began or ended unseen.
    private static string? Gap(ReservationChange previous, ReservationChange change)
        => change.OldHolder == previous.NewHolder && change.OldToken == previous.NewToken
            ? null
            : $"A change went unseen between {previous} and {change}.";

    private static string? Replaced(ReservationChange change, Func<string, bool>? mayBeReplaced)
        => change is { OldHolder: { } old, NewHolder: { } holder }
            && old != holder
            && mayBeReplaced?.Invoke(old) != true
            ? $"Two holders at once: {holder} got the node while {old} held it, in {change}."
            : null;

    private static string? Stale(ReservationChange change, long highest)
    {
        if (change.IsReservation && change.NewToken <= highest)
            return $"The token did not grow: it had been {highest} before {change}.";
        return !change.IsReservation && change.NewToken < change.OldToken
            ? $"The token went back in {change}."
            : null;
    }

    private static string Quote(string identifier)
    {
        using var builder = new NpgsqlCommandBuilder();
        return builder.QuoteIdentifier(identifier);
    }

    private static string Script(string table, string history, string key)
    {
        string changed =
            """
            (old.reservation, old.reservation_token, old.reservation_purpose)
              IS DISTINCT FROM (new.reservation, new.reservation_token, new.reservation_purpose)
            """;
        string columns = "node, old_holder, new_holder, old_token, new_token, new_purpose";
        return $"""
            CREATE TABLE {history} (
              seq bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
              txid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
              node text NOT NULL, old_holder text, new_holder text, old_token bigint, new_token bigint,
              new_purpose text);
            CREATE FUNCTION {history}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF tg_op = 'INSERT' THEN
                INSERT INTO {history} ({columns}) VALUES (new.{key}::text, NULL, new.reservation,
                  NULL, new.reservation_token, new.reservation_purpose);
              ELSIF tg_op = 'DELETE' THEN
                INSERT INTO {history} ({columns}) VALUES (old.{key}::text, old.reservation, NULL,
                  old.reservation_token, NULL, NULL);
              ELSIF {changed} THEN
                INSERT INTO {history} ({columns}) VALUES (new.{key}::text, old.reservation, new.reservation,
                  old.reservation_token, new.reservation_token, new.reservation_purpose);
              END IF;
              RETURN NULL;
            END $$;
            CREATE TRIGGER history AFTER INSERT OR UPDATE OR DELETE ON {table}
              FOR EACH ROW EXECUTE FUNCTION {history}();
            """;
    }
}
