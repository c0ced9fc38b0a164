using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>One change of a conductor's entry, as the database made it.</summary>
internal sealed record ConductorChange(
    long Seq, DateTimeOffset At, string Kind, string Holder, string? OldState, string? NewState,
    DateTimeOffset? OldExpiresAt)
{
    /// <summary>From here on its nodes may be taken.</summary>
    public bool IsDeath => NewState is "fenced" or "left" && NewState != OldState;

    /// <summary>It is claimed for its fence, or has been fenced.</summary>
    public bool IsFencing => Kind == "judged" && OldState == "dead" && NewState is "dead" or "fenced";
}

/// <summary>The history of the conductors table, kept by a trigger.</summary>
internal sealed class ConductorHistory(string connectionString)
{
    private const string Script =
        """
        create table yard_conductors (
          seq bigserial primary key, at timestamptz not null default clock_timestamp(), kind_of_change text not null,
          holder text not null, old_state text, new_state text, old_expires_at timestamptz);
        create function yard_conductors() returns trigger language plpgsql as $$
        begin
          insert into yard_conductors (kind_of_change, holder, old_state, new_state, old_expires_at) values (
            case when tg_op = 'INSERT' then 'entered' when tg_op = 'DELETE' then 'removed'
                 when new.expires_at <> old.expires_at then 'renewed' else 'judged' end,
            coalesce(new.holder, old.holder), old.state, new.state, old.expires_at);
          return null;
        end $$;
        create trigger history after insert or update or delete on nodelock_conductors
          for each row execute function yard_conductors();
        """;

    public async Task InstallAsync()
    {
        await using NpgsqlConnection connection = new(connectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(Script, connection);
        await command.ExecuteNonQueryAsync();
    }

    public async Task<IReadOnlyList<ConductorChange>> ReadAsync()
    {
        await using NpgsqlConnection connection = new(connectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(
            "select seq, at, kind_of_change, holder, old_state, new_state, old_expires_at from yard_conductors "
            + "order by seq",
            connection);
        await using NpgsqlDataReader reader = await command.ExecuteReaderAsync();
        List<ConductorChange> changes = [];
        while (await reader.ReadAsync())
        {
            changes.Add(new ConductorChange(
                reader.GetInt64(0), await reader.GetFieldValueAsync<DateTimeOffset>(1), reader.GetString(2),
                reader.GetString(3), reader[4] as string, reader[5] as string,
                reader.IsDBNull(6) ? null : await reader.GetFieldValueAsync<DateTimeOffset>(6)));
        }

        return changes;
    }

    /// <summary>
    /// What is wrong: a conductor that came back, one declared dead before its lease was over, and a reservation that
    /// was taken from a conductor before it was dead.
    /// </summary>
    public static IReadOnlyList<string> Check(
        IReadOnlyList<ConductorChange> conductors, IReadOnlyList<ReservationChange> reservations)
    {
        List<string> violations = [];
        Dictionary<string, DateTimeOffset> deaths = [];
        foreach (ConductorChange change in conductors)
        {
            if (change is { Kind: "renewed" or "judged", OldState: not "alive" } && !change.IsFencing)
                violations.Add($"A conductor that was {change.OldState} came back: {change}.");
            if (change is { Kind: "judged", OldState: "alive", NewState: "fenced" or "dead" }
                && change.OldExpiresAt >= change.At)
                violations.Add($"Declared dead while its lease went on: {change}.");
            if (change.IsDeath)
                deaths.TryAdd(change.Holder, change.At);
        }

        violations.AddRange(reservations
            .Where(change => IsTakenAway(change) && !(deaths.TryGetValue(change.OldHolder!, out DateTimeOffset death)
                && death <= change.At))
            .Select(change => $"Taken from a holder that was not dead: {change}."));
        return violations;
    }

    /// <summary>By a take-over or by a sweep, which raises the token. So does one who begins to share the node, and
    /// that may be the holder itself: <see cref="EntryHistory"/> knows who it was.</summary>
    public static bool IsTakenAway(ReservationChange change) => change.OldHolder is not null && !change.IsDelete
        && change.OldHolder != change.NewHolder && change.OldToken != change.NewToken
        && (change.NewHolder is not null || change.NewPurpose is null);
}
