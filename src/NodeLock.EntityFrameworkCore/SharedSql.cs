namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Every statement about nodes that several share. An entry of those that share one is a holder and the stamp under
/// which it came, and a conductor has one entry, however many of its scopes share the node. All that
/// <see cref="ReservationSql"/> says of its reserve is true of these, too: lock, decide on the locked version, update.
/// </summary>
internal sealed class SharedSql(SqlTemplate sql)
{
    // $1 node  $2 me  $3 the token or stamp this process names as its own, 0 for none  $4 purpose  $5 row wait
    // $6 until the next attempt, 0 when there will be none  $7 whether this is an upgrade  $8 the wish it left before
    //
    // Exclusively, of a node that others may share. Why there is never a writer beside a reader: the grant needs that
    // no entry is left but the one named here and those of ended conductors, and it removes them all; a share needs
    // that there is no exclusive reservation; both decide under the lock of one row. An entry is named with its stamp,
    // so a late copy does not take the place of an entry that came later.
    //
    // An upgrade keeps its entry while it is refused, so two that wait for one another would wait for ever: the second
    // sees the wish of the first and is refused without one of its own ("outbid"). A reserve that is refused drops
    // the entry that it names, since that one is in nobody's use.
    private const string ReserveTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $5, true) as row_wait, [durable]),
        locked as materialized (
          select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                 n.[reserved_at] as reserved_at, n.[shared] as shared,
                 array_remove(n.[shared], $2 || ' ' || $3) as others, n.[writer_until] as writer_until,
                 n.[wanted_until] as wanted_until
          from settings cross join [nodes] n
          where n.[id] = $1 and settings.row_wait is not null
          for no key update of n),
        decided as materialized (
          select l.*, case when $7 then l.shared else l.others end as entries,
            exists (select from [conductors] c
                    where c.[holder] = $2 and c.[state] = 'alive' and c.[expires_at] > clock_timestamp()) as trusted,
            not $7 or (l.reservation = $2 and l.token = $3) is true or l.others <> l.shared as stands,
            (l.reservation is null
              or (l.reservation = $2 and l.token = $3)
              or exists (select from [conductors] c
                         where c.[holder] = l.reservation and c.[state] in ('fenced', 'left')))
            and not exists (select from unnest(l.others) as e where not [entry_ended]) as free,
            $7 and coalesce(l.writer_until > clock_timestamp(), false)
              and l.writer_until is distinct from $8::timestamptz as outbid,
            $6 > interval '0' and coalesce(l.writer_until < clock_timestamp() + $6, true) as wishes
          from locked l),
        reserved as (
          update [nodes] n
          set [reservation] = $2, [token] = greatest([next_token], n.[token] + 1), [purpose] = $4,
              [reserved_at] = clock_timestamp(), [shared] = '{}', [writer_until] = null
          from decided d
          where n.[id] = $1 and d.free and d.stands and d.trusted
          returning n.[id] as id, n.[token] as token, n.[reserved_at] as reserved_at),
        refused as (
          update [nodes] n
          set [writer_until] = case when d.wishes then greatest(n.[writer_until], clock_timestamp() + $6 * 2)
                                    else n.[writer_until] end,
              [wanted_until] = case when d.wishes then greatest(n.[wanted_until], clock_timestamp() + $6 * 2)
                                    else n.[wanted_until] end,
              [shared] = d.entries
          from decided d
          where n.[id] = $1 and d.trusted and d.stands and not d.free and not d.outbid
            and (d.wishes or d.entries <> d.shared)
          returning n.[id] as id, n.[writer_until] as writer_until),
        answered as materialized (
          select d.*, r.id is not null as granted, r.token as new_token, r.reserved_at as granted_at,
            coalesce(f.writer_until, d.writer_until) as wish,
            case when d.reservation = $2 and d.token <> $3 then d.token
                 else (select split_part(e, ' ', 2)::bigint from unnest(d.others) as e
                       where split_part(e, ' ', 1) = $2 limit 1) end as mine
          from decided d left join reserved r on r.id = d.id left join refused f on f.id = d.id)
        select d.id,
               case when not d.trusted then 'not alive'
                    when d.granted then 'granted'
                    when d.mine is not null then 'unnamed'
                    when not d.stands then 'not held'
                    else 'taken' end,
               coalesce(d.new_token, d.mine), d.granted_at,
               case when d.granted then d.wanted_until - clock_timestamp()
                    when d.outbid then d.writer_until - clock_timestamp() end,
               case when $7 and not d.outbid and d.wish > clock_timestamp() then d.wish end, [standing]
        from answered d
        [join_standing]
        """;

    // $1 node  $2 me  $3 the token or stamp this process names as its own, 0 for none  $4 purpose  $5 row wait
    // $6 whether this is a downgrade, which is about what it names and nothing else  $7 until the next attempt, 0 when
    // there will be none  $8 whether to tell
    //
    // While a writer waits, new sharers hold back where others share the node already; else a writer might never find
    // it free. A downgrade adds no sharer. An exclusive reservation that ends here gets a new token, so that whatever
    // the old one guards is refused from here on, and others may share the node: they are told.
    //
    // Who is refused waits to be told, and holds nobody back: its wish is not a writer's.
    private const string ShareTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $5, true) as row_wait, [durable]),
        locked as materialized (
          select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                 n.[reserved_at] as reserved_at, n.[shared] as shared,
                 array_remove(n.[shared], $2 || ' ' || $3) as others, n.[writer_until] as writer_until,
                 n.[wanted_until] as wanted_until
          from settings cross join [nodes] n
          where n.[id] = $1 and settings.row_wait is not null
          for no key update of n),
        decided as materialized (
          select l.*, case when $6 then l.shared else l.others end as entries,
            exists (select from [conductors] c
                    where c.[holder] = $2 and c.[state] = 'alive' and c.[expires_at] > clock_timestamp()) as trusted,
            not $6 or (l.reservation = $2 and l.token = $3) is true or l.others <> l.shared as stands,
            (l.reservation is null
              or (l.reservation = $2 and l.token = $3)
              or exists (select from [conductors] c
                         where c.[holder] = l.reservation and c.[state] in ('fenced', 'left')))
            and not exists (select from unnest(l.others) as e where split_part(e, ' ', 1) = $2)
            and ($6 or coalesce(l.writer_until <= clock_timestamp(), true)
              or not exists (select from unnest(l.others) as e where not [entry_ended])) as free,
            $7 > interval '0' and coalesce(l.wanted_until < clock_timestamp() + $7, true) as wishes
          from locked l),
        drawn as materialized (
          select greatest([next_token], d.token + 1) as stamp from decided d where d.free and d.stands and d.trusted),
        joined as (
          update [nodes] n
          set [reservation] = null, [purpose] = $4, [reserved_at] = clock_timestamp(),
              [token] = case when d.reservation is null then n.[token] else drawn.stamp end,
              [shared] = array(select u.e from unnest(d.others) with ordinality as u(e, place)
                               where not [entry_ended] order by u.place) || ($2 || ' ' || drawn.stamp)
          from decided d cross join drawn
          where n.[id] = $1
          returning n.[id] as id, drawn.stamp as stamp, n.[reserved_at] as reserved_at,
                    case when $8 and d.reservation is not null and [wanted] then [tell] end),
        refused as (
          update [nodes] n
          set [wanted_until] = case when d.wishes then greatest(n.[wanted_until], clock_timestamp() + $7 * 2)
                                    else n.[wanted_until] end,
              [shared] = d.entries
          from decided d
          where n.[id] = $1 and d.trusted and not d.free and (d.wishes or d.entries <> d.shared)),
        answered as materialized (
          select d.*, j.stamp as stamp, j.reserved_at as granted_at,
            case when d.reservation = $2 and d.token <> $3 then d.token
                 else (select split_part(e, ' ', 2)::bigint from unnest(d.others) as e
                       where split_part(e, ' ', 1) = $2 limit 1) end as mine
          from decided d left join joined j on j.id = d.id)
        select d.id,
               case when not d.trusted then 'not alive'
                    when d.stamp is not null then 'granted'
                    when d.mine is not null then 'unnamed'
                    when not d.stands then 'not held'
                    else 'taken' end,
               coalesce(d.stamp, d.mine), d.granted_at, d.writer_until - clock_timestamp(), null::timestamptz,
               [standing]
        from answered d
        [join_standing]
        """;

    // $1 node  $2 me  $3 the stamp of my entry. One more scope of this process shares the entry, which is counted there
    // and not here. A plain look suffices: while the entry stands nobody can be granted the node exclusively, and what
    // removes it (a release of this process, under the same gate, or the conductor's death) ends all its scopes.
    private const string JoinTemplate =
        """
        select d.id,
               case when not d.trusted then 'not alive'
                    when d.stands and d.waits then 'taken'
                    when d.stands then 'granted'
                    when d.mine is not null then 'unnamed'
                    else 'not held' end,
               case when d.stands then $3 else d.mine end, clock_timestamp(),
               d.writer_until - clock_timestamp(), null::timestamptz, [standing]
        from (select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                     n.[reserved_at] as reserved_at, n.[shared] as entries, n.[writer_until] as writer_until,
                     exists (select from [conductors] c
                             where c.[holder] = $2 and c.[state] = 'alive'
                               and c.[expires_at] > clock_timestamp()) as trusted,
                     $2 || ' ' || $3 = any (n.[shared]) as stands,
                     coalesce(n.[writer_until] > clock_timestamp(), false) as waits,
                     case when n.[reservation] = $2 then n.[token]
                          else (select split_part(e, ' ', 2)::bigint from unnest(n.[shared]) as e
                                where split_part(e, ' ', 1) = $2 limit 1) end as mine
              from [nodes] n
              where n.[id] = $1) as d
        [join_standing]
        """;

    // $1 node  $2 holder  $3 stamp  $4 row wait  $5 whether to tell. Exactly one entry, and never by holder alone:
    // late, that would remove an entry which came later, and a writer would be let in beside its reader. The last one
    // leaves the row clean. While two are left nobody else gets the node; of one, the upgrade may be waiting.
    private const string ReleaseTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $4, true) as row_wait, [forgettable])
        update [nodes] n
        set [shared] = array_remove(n.[shared], $2 || ' ' || $3),
            [purpose] = case when array_remove(n.[shared], $2 || ' ' || $3) <> '{}' then n.[purpose] end,
            [reserved_at] = case when array_remove(n.[shared], $2 || ' ' || $3) <> '{}' then n.[reserved_at] end
        from settings
        where n.[id] = $1 and $2 || ' ' || $3 = any (n.[shared]) and settings.row_wait is not null
        returning case when $5 and cardinality(n.[shared]) <= 1 and [wanted] then [tell] end
        """;

    // $1 node  $2 holder  $3 row wait  $4 whether to tell. An operator's word, so by holder: whatever entry it has.
    private const string BreakTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $3, true) as row_wait, [durable]),
        locked as materialized (
          select n.[id] as id, n.[shared] as shared,
                 array(select u.e from unnest(n.[shared]) with ordinality as u(e, place)
                       where split_part(u.e, ' ', 1) <> $2 order by u.place) as others
          from settings cross join [nodes] n
          where n.[id] = $1 and settings.row_wait is not null
          for no key update of n)
        update [nodes] n
        set [shared] = l.others, [purpose] = case when l.others <> '{}' then n.[purpose] end,
            [reserved_at] = case when l.others <> '{}' then n.[reserved_at] end
        from locked l
        where n.[id] = $1 and l.others <> l.shared
        returning case when $4 and cardinality(n.[shared]) <= 1 and [wanted] then [tell] end
        """;

    public string Reserve { get; } = sql.Render(ReserveTemplate);
    public string Share { get; } = sql.Render(ShareTemplate);
    public string Join { get; } = sql.Render(JoinTemplate);
    public string Release { get; } = sql.Render(ReleaseTemplate);
    public string Break { get; } = sql.Render(BreakTemplate);
}
