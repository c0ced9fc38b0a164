using System.Text.RegularExpressions;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Statements are written with [names] in brackets, which stand for the tables and columns of the user's model; this
/// puts the real ones in, as the model's provider quotes them.
/// </summary>
internal sealed partial class SqlTemplate(ReservationModel model)
{
    // Everything that draws a token, registers, renews or declares dead must outlive a crash of the server, also where
    // the database's default is not to wait for the disk. Never lowers a setting that asks for more.
    private const string Durable = "case when current_setting('synchronous_commit') = 'off' "
        + "then set_config('synchronous_commit', 'on', true) end as durable";

    // Of a release, which need not outlive a crash (nor need a hand-over, for reasons of its own). What comes back then
    // names a living conductor by a token that no scope of its uses, and its next look at what carries its name gives
    // that back; where the conductor is dead, it is taken over like all else of it. Whoever has the node afterwards has
    // it by a reserve, which is durable and stands later in the log, so it takes the release to the disk along with it.
    private const string Forgettable = "set_config('synchronous_commit', 'off', true) as forgettable";

    // Whether anybody waits who is to be told that the node n is free, and the telling: the notification goes out with
    // the commit. None where nobody waits, since a commit that sends one queues up behind all others that do.
    private const string Wanted = "n.[wanted_until] > clock_timestamp()";
    private const string Tell = "pg_notify([channel], n.[id]::text)";

    // Whether the conductor that an entry e of those that share a node names is dead, fenced or has left. None of them
    // is ever alive again, so any snapshot may say so; an entry of a conductor that has no row still counts. A dead one
    // that requires a fence only shared this node: a reader changes nothing, and it has been told to stop.
    private const string EntryEnded = "exists (select from [conductors] c "
        + "where c.[holder] = split_part(e, ' ', 1) and c.[state] in ('dead', 'fenced', 'left'))";

    // What stands in a row d (reservation, token, purpose, reserved_at, entries), in the columns that ReserveReply
    // reads a reservation from; nulls when the node is free. Entries of ended conductors show only when there are no
    // others.
    private const string Standing = "s.shared, s.holders, s.token, d.purpose, d.reserved_at, s.state";

    private const string JoinStanding =
        """
        left join lateral (
          select false as shared, array[d.reservation] as holders, d.token as token,
                 (select c.[state] from [conductors] c where c.[holder] = d.reservation) as state
          where d.reservation is not null
          union all
          select true, coalesce(array_agg(e.holder order by e.place) filter (where not e.ended),
                                array_agg(e.holder order by e.place)),
                 coalesce(max(e.stamp) filter (where not e.ended), max(e.stamp)),
                 case when bool_and(e.ended) then 'fenced' else 'alive' end
          from (select split_part(u.entry, ' ', 1) as holder, split_part(u.entry, ' ', 2)::bigint as stamp,
                       u.place as place, coalesce(c.[state] in ('dead', 'fenced', 'left'), false) as ended
                from unnest(d.entries) with ordinality as u(entry, place)
                left join [conductors] c on c.[holder] = split_part(u.entry, ' ', 1)) as e
          where d.reservation is null
          having count(*) > 0) as s on true
        """;

    // Whether there is a node a.id, where the store knows that.
    private const string IsNode = "exists (select from [entity] e where e.[entity_id] = a.id)";

    private readonly Dictionary<string, string> names = new()
    {
        ["nodes"] = model.Table.Sql,
        ["id"] = model.Columns.Id,
        ["reservation"] = model.Columns.Reservation,
        ["token"] = model.Columns.Token,
        ["purpose"] = model.Columns.Purpose,
        ["reserved_at"] = model.Columns.ReservedAt,
        ["shared"] = model.Columns.Shared,
        ["wanted_until"] = model.Columns.WantedUntil,
        ["writer_until"] = model.Columns.WriterUntil,
        ["channel"] = model.ChannelLiteral,
        ["conductors"] = model.Conductors.Sql,
        ["holder"] = model.ConductorColumns.Holder,
        ["kind"] = model.ConductorColumns.Kind,
        ["name"] = model.ConductorColumns.Name,
        ["host"] = model.ConductorColumns.Host,
        ["process_id"] = model.ConductorColumns.ProcessId,
        ["state"] = model.ConductorColumns.State,
        ["started_at"] = model.ConductorColumns.StartedAt,
        ["heartbeat_at"] = model.ConductorColumns.HeartbeatAt,
        ["expires_at"] = model.ConductorColumns.ExpiresAt,
        ["requires_fence"] = model.ConductorColumns.RequiresFence,
        ["fenced_by"] = model.ConductorColumns.FencedBy,
        ["entity"] = model.Entity?.Sql ?? "",
        ["entity_id"] = model.EntityId ?? "",
        ["next_token"] = $"nextval({model.SequenceLiteral})",
        ["durable"] = Durable,
        ["forgettable"] = Forgettable,
    };

    private readonly Dictionary<string, string> fragments = new()
    {
        ["entry_ended"] = EntryEnded,
        ["wanted"] = Wanted,
        ["tell"] = Tell,
        ["standing"] = Standing,
        ["join_standing"] = JoinStanding,
        ["is_node"] = model.Entity is null ? "true" : IsNode,
    };

    public string Render(string template) => Name().Replace(template, match => Of(match.Groups["name"].Value));

    private string Of(string name) =>
        fragments.TryGetValue(name, out string? fragment) ? Render(fragment) : names[name];

    [GeneratedRegex(@"\[(?<name>\w+)\]", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Name();
}
