using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>One change of who has a node, in either mode, as the database made it.</summary>
internal sealed record EntryChange(
    long Seq, DateTimeOffset At, string Node, string? OldHolder, string? NewHolder, long NewToken,
    IReadOnlyList<string> OldEntries, IReadOnlyList<string> NewEntries)
{
    /// <summary>Those who share the node from here on, and did not before.</summary>
    public IEnumerable<string> Added => NewEntries.Except(OldEntries);

    /// <summary>Whether one who shares the node got it from an exclusive holder that was not itself.</summary>
    public bool IsSharedTakeOver => OldHolder is not null && Added.Any(entry => HolderOf(entry) != OldHolder);

    public static string HolderOf(string entry) => entry.Split(' ')[0];

    public static long StampOf(string entry) =>
        long.Parse(entry.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);

    public override string ToString() => $"change {Seq} of node {Node} ({Word(OldHolder, OldEntries)} -> "
        + $"{Word(NewHolder, NewEntries)})";

    private static string Word(string? holder, IReadOnlyList<string> entries) =>
        $"{holder ?? "nobody"}, shared by [{string.Join(", ", entries)}]";
}

/// <summary>The history of a reservation table in both modes, kept by a trigger under the lock of each row.</summary>
internal sealed class EntryHistory(string connectionString, string table)
{
    private string Script =>
        $"""
        create table {table}_entries (
          seq bigserial primary key, at timestamptz not null default clock_timestamp(), node text not null,
          old_holder text, new_holder text, new_token bigint not null, old_entries text[] not null,
          new_entries text[] not null);
        create function {table}_entries() returns trigger language plpgsql as $$
        begin
          if tg_op = 'INSERT' then
            insert into {table}_entries (node, old_holder, new_holder, new_token, old_entries, new_entries) values (
              new.id::text, null, new.reservation, new.reservation_token, array[]::text[], new.reservation_shared);
          elsif (old.reservation, old.reservation_token, old.reservation_shared)
              is distinct from (new.reservation, new.reservation_token, new.reservation_shared) then
            insert into {table}_entries (node, old_holder, new_holder, new_token, old_entries, new_entries) values (
              new.id::text, old.reservation, new.reservation, new.reservation_token, old.reservation_shared,
              new.reservation_shared);
          end if;
          return null;
        end $$;
        create trigger entries after insert or update on {table} for each row execute function {table}_entries();
        """;

    public async Task InstallAsync()
    {
        await using NpgsqlConnection connection = new(connectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(Script, connection);
        await command.ExecuteNonQueryAsync();
    }

    public async Task<IReadOnlyList<EntryChange>> ReadAsync()
    {
        await using NpgsqlConnection connection = new(connectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(
            $"select seq, at, node, old_holder, new_holder, new_token, old_entries, new_entries from {table}_entries "
            + "order by seq",
            connection);
        await using NpgsqlDataReader reader = await command.ExecuteReaderAsync();
        List<EntryChange> changes = [];
        while (await reader.ReadAsync())
        {
            changes.Add(new EntryChange(
                reader.GetInt64(0), await reader.GetFieldValueAsync<DateTimeOffset>(1), reader.GetString(2),
                reader[3] as string, reader[4] as string, reader.GetInt64(5),
                await reader.GetFieldValueAsync<string[]>(6), await reader.GetFieldValueAsync<string[]>(7)));
        }

        return changes;
    }

    /// <summary>
    /// What is wrong: a row that has a writer and readers, a writer that got the node from readers who were not dead,
    /// a reader that got it from a writer who was not, a conductor with two entries, and a stamp that had been there.
    /// </summary>
    public static IReadOnlyList<string> Check(
        IReadOnlyList<EntryChange> changes, IReadOnlyList<ConductorChange> conductors)
    {
        Dictionary<string, DateTimeOffset> deaths = [];
        foreach (ConductorChange death in conductors.Where(change => change.IsDeath))
            deaths.TryAdd(death.Holder, death.At);
        return
        [
            .. changes.GroupBy(change => change.Node).SelectMany(node => Reused([.. node])),
            .. changes.SelectMany(change => Check(change,
                holder => deaths.TryGetValue(holder, out DateTimeOffset death) && death <= change.At)),
        ];
    }

    private static IEnumerable<string> Check(EntryChange change, Func<string, bool> isDead)
    {
        if (change.NewHolder is not null && change.NewEntries.Count > 0)
            yield return $"A writer beside readers in one row: {change}.";
        if (change.NewHolder is { } writer && change.OldEntries.Select(EntryChange.HolderOf)
            .Any(reader => reader != writer && !isDead(reader)))
            yield return $"A writer got the node while others read: {change}.";
        if (change.IsSharedTakeOver && !isDead(change.OldHolder!))
            yield return $"A reader got the node while another wrote: {change}.";
        if (change.NewEntries.GroupBy(EntryChange.HolderOf).Any(entries => entries.Count() > 1))
            yield return $"A conductor has two entries: {change}.";
    }

    private static IEnumerable<string> Reused(IReadOnlyList<EntryChange> changes)
    {
        long highest = 0;
        foreach (EntryChange change in changes)
        {
            long before = highest;
            foreach (string entry in change.Added)
            {
                long stamp = EntryChange.StampOf(entry);
                if (stamp <= before)
                    yield return $"A stamp did not grow: it had been {before} before {change}.";
                highest = Math.Max(highest, stamp);
            }

            highest = Math.Max(highest, change.NewToken);
        }
    }
}
