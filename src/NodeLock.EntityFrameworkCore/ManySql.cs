namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Every statement about several nodes at once. None of them waits for one row while it holds another (but for the
/// making of rows, which meet in the order of the ids and for no longer than the row wait): a row in somebody's hand is
/// skipped, and asked for again alone.
/// </summary>
internal sealed class ManySql(SqlTemplate sql, bool nodesAreRows)
{
    // $1 me  $2 nodes, each once  $3 the tokens that this process names as its own  $4 purposes
    //
    // Reserves those that nobody has and nobody shares, and says nothing of the others, which Reserve is asked for:
    // for the many that are free, two thirds of its cost. Decided on the version that the lock gave; "trusted" is
    // judged after the last lock. The locked rows are found again by where they are; one that was changed since the
    // snapshot is not seen there, and is left to the other statement.
    private const string ReserveFreeTemplate =
        """
        with settings as materialized (select [durable]),
        locked as materialized (
          select n.ctid as tid, n.[id] as id, n.[reservation] as reservation, n.[token] as token,
                 n.[shared] as shared, n.[wanted_until] as wanted_until, a.known as known, a.purpose as wanted_for,
                 a.place as place
          from settings cross join unnest($2, $3, $4) with ordinality as a(id, known, purpose, place)
          join [nodes] n on n.[id] = a.id
          order by n.[id]
          for no key update of n skip locked),
        me as materialized (
          select exists (select from [conductors] c
                         where c.[holder] = $1 and c.[state] = 'alive'
                           and c.[expires_at] > clock_timestamp()) as trusted
          from (select count(*) as rows from locked) as after_the_locks
          where after_the_locks.rows >= 0)
        update [nodes] n
        set [reservation] = $1, [token] = greatest([next_token], n.[token] + 1), [purpose] = l.wanted_for,
            [reserved_at] = clock_timestamp(), [writer_until] = null
        from locked l cross join me
        where n.ctid = l.tid and me.trusted and l.shared = '{}'
          and (l.reservation is null or (l.reservation = $1 and l.token = l.known))
        returning l.place, l.id, n.[token], n.[reserved_at], l.wanted_until - clock_timestamp()
        """;

    // $1 me  $2 nodes, each once  $3 the tokens that this process names as its own  $4 purposes
    // $5 until the next attempt of each, 0 where there will be none  $6 whether all or none
    //
    // What stands in the way is put together for those that are taken alone.
    //
    // Safe for the reasons of ReservationSql.Reserve and SharedSql.Reserve. "trusted" needs the count of the locked
    // rows, and so it is judged after the last lock. All or none is decided on rows that stay locked until the commit.
    private const string ReserveTemplate =
        """
        with settings as materialized (select [durable]),
        asked as materialized (
          select a.id, a.known, a.purpose, a.next_attempt, a.place
          from unnest($2, $3, $4, $5) with ordinality as a(id, known, purpose, next_attempt, place)),
        locked as materialized (
          select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                 n.[reserved_at] as reserved_at, n.[shared] as shared,
                 array_remove(n.[shared], $1 || ' ' || a.known) as entries, n.[writer_until] as writer_until,
                 n.[wanted_until] as wanted_until,
                 a.known as known, a.purpose as wanted_for, a.next_attempt as next_attempt, a.place as place
          from settings cross join asked a join [nodes] n on n.[id] = a.id
          order by n.[id]
          for no key update of n skip locked),
        me as materialized (
          select exists (select from [conductors] c
                         where c.[holder] = $1 and c.[state] = 'alive'
                           and c.[expires_at] > clock_timestamp()) as trusted
          from (select count(*) as rows from locked) as after_the_locks
          where after_the_locks.rows >= 0),
        decided as materialized (
          select l.*, me.trusted,
            (l.reservation is null
              or (l.reservation = $1 and l.token = l.known)
              or exists (select from [conductors] c
                         where c.[holder] = l.reservation and c.[state] in ('fenced', 'left')))
            and (l.entries = '{}' or not exists (select from unnest(l.entries) as e where not [entry_ended])) as free,
            l.next_attempt > interval '0'
              and coalesce(l.writer_until < clock_timestamp() + l.next_attempt, true) as wishes
          from locked l cross join me),
        verdict as materialized (
          select not $6 or count(*) filter (where d.free) = (select count(*) from asked) as go from decided d),
        reserved as (
          update [nodes] n
          set [reservation] = $1, [token] = greatest([next_token], n.[token] + 1), [purpose] = d.wanted_for,
              [reserved_at] = clock_timestamp(), [shared] = '{}', [writer_until] = null
          from decided d cross join verdict v
          where n.[id] = d.id and d.free and d.trusted and v.go
          returning n.[id] as id, n.[token] as token, n.[reserved_at] as reserved_at),
        refused as (
          update [nodes] n
          set [writer_until] = case when d.wishes
                                    then greatest(n.[writer_until], clock_timestamp() + d.next_attempt * 2)
                                    else n.[writer_until] end,
              [wanted_until] = case when d.wishes
                                    then greatest(n.[wanted_until], clock_timestamp() + d.next_attempt * 2)
                                    else n.[wanted_until] end,
              [shared] = d.entries
          from decided d
          where n.[id] = d.id and d.trusted and not d.free and (d.wishes or d.entries <> d.shared)),
        answered as materialized (
          select d.*, r.id is not null as granted, r.token as new_token, r.reserved_at as granted_at,
            case when d.reservation = $1 and d.token <> d.known then d.token
                 when d.entries <> '{}' then (select split_part(e, ' ', 2)::bigint from unnest(d.entries) as e
                                              where split_part(e, ' ', 1) = $1 limit 1) end as mine
          from decided d left join reserved r on r.id = d.id),
        met as materialized (
          select d.place, [standing]
          from answered d
          [join_standing]
          where d.reservation is not null or d.entries <> '{}')
        select coalesce(d.id, a.id),
               case when d.id is null then
                      case when exists (select from [nodes] n where n.[id] = a.id) then 'in hand'
                           when [is_node] then 'without a row'
                           else 'not found' end
                    when not d.trusted then 'not alive'
                    when d.granted then 'granted'
                    when d.free then 'withheld'
                    when d.mine is not null then 'unnamed'
                    else 'taken' end,
               coalesce(d.new_token, d.mine), d.granted_at,
               case when d.granted then d.wanted_until - clock_timestamp() end, null::timestamptz,
               m.shared, m.holders, m.token, m.purpose, m.reserved_at, m.state, a.place
        from asked a left join answered d on d.place = a.place left join met m on m.place = a.place
        order by a.place
        """;

    // $1 nodes  $2 row wait. The rows of nodes that are reserved for the first time. The foreign key asks for a lock of
    // each entity, and one who deletes several in another order would meet this in a deadlock: so those locks are taken
    // here first, as far as they are in nobody's hand. Two of these meet in the order of the ids.
    private const string MakeRowsTemplate =
        """
        with settings as materialized (select set_config('lock_timeout', $2, true) as row_wait),
        there as materialized (
          select e.[entity_id] as id from settings cross join [entity] e
          where e.[entity_id] = any ($1) and settings.row_wait is not null
          order by e.[entity_id]
          for key share of e skip locked)
        insert into [nodes] ([id]) select t.id from there t order by t.id
        on conflict do nothing
        """;

    private const string MakeRowsOfNamesTemplate =
        """
        with settings as materialized (select set_config('lock_timeout', $2, true) as row_wait)
        insert into [nodes] ([id])
        select a.id from settings cross join unnest($1) as a(id) where settings.row_wait is not null
        order by a.id
        on conflict do nothing
        """;

    // $1 nodes  $2 tokens and stamps  $3 which of them are stamps of shared entries  $4 holder  $5 whether to tell.
    // Each as the release of one does it, exactly by what is named.
    private const string ReleaseTemplate =
        """
        with settings as materialized (select [forgettable]),
        locked as materialized (
          select n.[id] as id, h.token as token, h.shared as shared,
                 case when h.shared then array_remove(n.[shared], $4 || ' ' || h.token) else n.[shared] end as entries
          from settings cross join [nodes] n
          join unnest($1, $2, $3) as h(id, token, shared) on n.[id] = h.id
          where settings.forgettable is not null
            and case when h.shared then $4 || ' ' || h.token = any (n.[shared])
                     else n.[reservation] = $4 and n.[token] = h.token end
          order by n.[id]
          for no key update of n skip locked)
        update [nodes] n
        set [reservation] = case when l.shared then n.[reservation] end, [shared] = l.entries,
            [purpose] = case when l.entries <> '{}' then n.[purpose] end,
            [reserved_at] = case when l.entries <> '{}' then n.[reserved_at] end
        from locked l
        where n.[id] = l.id
        returning l.id, l.token, l.shared, case when $5 and cardinality(l.entries) <= 1 and [wanted] then [tell] end
        """;

    // The same parameters but the last. By primary key, so that it stays quick however many nodes there are. An
    // exclusive reservation of the same holder is what became of an entry whose upgrade was not heard to succeed.
    private const string FindLostTemplate =
        """
        select h.id, h.token, h.shared from unnest($1, $2, $3) as h(id, token, shared)
        left join [nodes] n on n.[id] = h.id
          and case when h.shared then coalesce(n.[reservation] = $4, false) or $4 || ' ' || h.token = any (n.[shared])
                   else n.[reservation] = $4 and n.[token] = h.token end
        where n.[id] is null
        """;

    // $1 holder  $2 nodes  $3 the tokens of their scopes  $4 those with which they were drawn  $5 purposes
    //
    // After a crash that forgot hand-overs: a row with a token of the same drawing has had nobody else since, for a
    // token of that drawing is given to nobody else, and whoever got the node would have left a greater one. Answered
    // are all that stand so, also where the row is in somebody's hand, and will be restored at the next look.
    private const string RestoreTemplate =
        """
        with settings as materialized (select [durable]),
        asked as materialized (
          select h.id, h.token, h.drawn_with, h.purpose
          from settings cross join unnest($2, $3, $4, $5) as h(id, token, drawn_with, purpose)),
        locked as materialized (
          select n.[id] as id, a.token as token, a.purpose as purpose
          from [nodes] n join asked a on n.[id] = a.id
          where n.[reservation] = $1 and n.[token] >= a.drawn_with and n.[token] < a.token
          order by n.[id]
          for no key update of n skip locked),
        restored as (
          update [nodes] n set [token] = l.token, [purpose] = l.purpose
          from locked l
          where n.[id] = l.id)
        select n.[id], a.token, false
        from asked a join [nodes] n on n.[id] = a.id
        where n.[reservation] = $1 and n.[token] >= a.drawn_with and n.[token] <= a.token
        """;

    // $1 holder. In one look at the table, whatever the holder has of a node.
    private const string FindReservedByTemplate =
        """
        select n.[id], h.token, h.shared
        from [nodes] n cross join lateral (
          select n.[token] as token, false as shared where n.[reservation] = $1
          union all
          select split_part(e, ' ', 2)::bigint, true from unnest(n.[shared]) as e where split_part(e, ' ', 1) = $1) as h
        where n.[reservation] = $1 or n.[shared] <> '{}'
        """;

    public string ReserveFree { get; } = sql.Render(ReserveFreeTemplate);
    public string Reserve { get; } = sql.Render(ReserveTemplate);
    public string MakeRows { get; } = sql.Render(nodesAreRows ? MakeRowsTemplate : MakeRowsOfNamesTemplate);
    public string Release { get; } = sql.Render(ReleaseTemplate);
    public string FindLost { get; } = sql.Render(FindLostTemplate);
    public string Restore { get; } = sql.Render(RestoreTemplate);
    public string FindReservedBy { get; } = sql.Render(FindReservedByTemplate);

    /// <summary>The parameters of <see cref="FindLost"/>, and all but the last of <see cref="Release"/>.</summary>
    public static object[] Named(NodeKey key, string holder, IReadOnlyList<HeldNode> held) =>
    [
        key.Parse([.. held.Select(h => h.NodeId)]),
        held.Select(h => h.FencingToken).ToArray(),
        held.Select(h => h.Mode == ReservationMode.Shared).ToArray(),
        holder,
    ];
}
