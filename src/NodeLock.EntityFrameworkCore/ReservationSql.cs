namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Every statement about one node that nobody shares. Each runs in a transaction of its own (<see
/// cref="OwnTransaction"/>), so each is all that happens between its first look at a row and its last change of it.
/// </summary>
internal sealed class ReservationSql(SqlTemplate sql, bool nodesAreRows)
{
    // $1 node  $2 me  $3 the token this process names as its own, 0 for none  $4 purpose  $5 row wait
    // $6 until the next attempt, 0 when there will be none  $7 how many tokens more, for hand-overs
    //
    // Why two conductors cannot both win: the row is locked first, and everything is decided on the version that the
    // lock gave (a FOR UPDATE that waited re-reads its row, but subqueries keep the statement's older snapshot: the
    // manual, 13.2.1). So what is asked of other tables must be true in any snapshot once it is true in one: a
    // conductor that is fenced or has left never comes back, while a missing entry proves nothing.
    //
    // Why it is safe to repeat, and why a late copy does no harm: "mine" is the holder and the token that the request
    // names, and the grant draws a new token. A copy that arrives later names a token that is no longer in the row.
    //
    // "trusted" is judged after the lock: an asker whose lease ran out while it waited for the row gets nothing.
    //
    // A row that somebody shares is left as it is and answered with "shared": SharedSql.Reserve is for that. Here it
    // would cost every reserve a fifth more, most of it planning.
    //
    // The lock may take no longer than $5. The setting is made by joining it, before the first row is looked at.
    //
    // The wish of a writer is also one to be told, written together and so never the shorter of the two: to spare
    // writes it is enough to look at the one. A grant ends the writer's; that somebody is to be told stays, since
    // others may be waiting still.
    //
    // What is decided is one row, that of $1, so the update finds its own by $1 too: joined by id, a table of few pages
    // would be read whole and hashed.
    private const string ReserveTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $5, true) as row_wait, [durable]),
        locked as materialized (
          select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                 n.[reserved_at] as reserved_at, n.[shared] as shared, n.[writer_until] as writer_until,
                 n.[wanted_until] as wanted_until
          from settings cross join [nodes] n
          where n.[id] = $1 and settings.row_wait is not null
          for no key update of n),
        decided as materialized (
          select l.*,
            exists (select from [conductors] c
                    where c.[holder] = $2 and c.[state] = 'alive' and c.[expires_at] > clock_timestamp()) as trusted,
            l.shared = '{}' and (
              l.reservation is null
              or (l.reservation = $2 and l.token = $3)
              or exists (select from [conductors] c
                         where c.[holder] = l.reservation and c.[state] in ('fenced', 'left'))) as free
          from locked l),
        reserved as (
          update [nodes] n
          set [reservation] = $2, [token] = greatest([next_token], n.[token] + 1), [purpose] = $4,
              [reserved_at] = clock_timestamp(), [writer_until] = null
          from decided d
          where n.[id] = $1 and d.free and d.trusted
          returning n.[id] as id, n.[token] as token, n.[reserved_at] as reserved_at),
        refused as (
          update [nodes] n
          set [writer_until] = greatest(n.[writer_until], clock_timestamp() + $6 * 2),
              [wanted_until] = greatest(n.[wanted_until], clock_timestamp() + $6 * 2)
          from decided d
          where n.[id] = $1 and d.trusted and not d.free and d.shared = '{}'
            and $6 > interval '0' and coalesce(d.writer_until < clock_timestamp() + $6, true))
        select d.id,
               case when not d.trusted then 'not alive'
                    when r.id is not null then 'granted'
                    when d.shared <> '{}' then 'shared'
                    when d.reservation = $2 then 'unnamed'
                    else 'taken' end,
               coalesce(r.token, d.token), r.reserved_at,
               case when r.id is not null then d.wanted_until - clock_timestamp() end, null::timestamptz,
               false, case when d.reservation is not null then array[d.reservation] end, d.token, d.purpose,
               d.reserved_at, (select c.[state] from [conductors] c where c.[holder] = d.reservation),
               case when $7 > 0 and r.id is not null then array(select [next_token] from generate_series(1, $7)) end
        from decided d left join reserved r on r.id = d.id
        """;

    // $1 node  $2 me  $3 the token that my reservation has  $4 purpose  $5 row wait  $6 the token that it gets
    //
    // The next in line of this process gets what the one before it had. It does not wait for the disk, so it costs a
    // fraction of a reserve. That is safe because nothing of what a crash can forget was promised by it alone: the row
    // names this conductor before and after, and the token was drawn, with others, by a reserve that was durable, so
    // nobody else ever gets it. What a crash has forgotten the heartbeat makes good (ManySql.Restore).
    //
    // No copy does harm: the token that it names is the row's only once, since each next one is greater. A crash that
    // forgets this makes it the row's again; so it is never asked of a token that a statement has named whose answer
    // is unknown, and which may be on its way still. "alive" is judged before the lock and not after it: the row has
    // been this conductor's all the time, or it does not match, and whether the grant may be believed is judged by the
    // trust window.
    private const string HandOverTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $5, true) as row_wait, [forgettable])
        update [nodes] n set [token] = $6, [purpose] = $4, [reserved_at] = clock_timestamp()
        from settings
        where n.[id] = $1 and n.[reservation] = $2 and n.[token] = $3 and $6 > n.[token]
          and settings.row_wait is not null
          and exists (select from [conductors] c
                      where c.[holder] = $2 and c.[state] = 'alive' and c.[expires_at] > clock_timestamp())
        returning n.[id], 'granted', n.[token], n.[reserved_at], n.[wanted_until] - clock_timestamp(),
                  null::timestamptz, false, null::text[]
        """;

    // $1 node  $2 row wait. The row of a node that is reserved for the first time; nothing where there is no such node.
    // The foreign key makes the insert wait for one who is deleting the entity, so this wait is bounded too.
    private const string MakeRowTemplate =
        """
        with settings as materialized (select set_config('lock_timeout', $2, true) as row_wait)
        insert into [nodes] ([id])
        select e.[entity_id] from settings cross join [entity] e
        where e.[entity_id] = $1 and settings.row_wait is not null
        on conflict do nothing
        """;

    private const string MakeRowOfNameTemplate =
        """
        with settings as materialized (select set_config('lock_timeout', $2, true) as row_wait)
        insert into [nodes] ([id]) select $1 from settings where settings.row_wait is not null
        on conflict do nothing
        """;

    // $1 node  $2 holder  $3 token  $4 row wait  $5 whether to tell. Exactly one reservation: a release that comes
    // late, or a second time, meets another token and changes nothing. The token stays, so that it never starts again.
    private const string ReleaseTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $4, true) as row_wait, [forgettable])
        update [nodes] n set [reservation] = null, [purpose] = null, [reserved_at] = null
        from settings
        where n.[id] = $1 and n.[reservation] = $2 and n.[token] = $3 and settings.row_wait is not null
        returning case when $5 and [wanted] then [tell] end
        """;

    private const string ListTemplate =
        """
        select d.id, [standing]
        from (select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                     n.[reserved_at] as reserved_at, n.[shared] as entries
              from [nodes] n
              where n.[reservation] is not null or n.[shared] <> '{}') as d
        [join_standing]
        order by d.id
        """;

    // $1 node. A row of nulls where the node exists and is free.
    private const string FindTemplate =
        """
        select d.id, [standing]
        from [entity] e
        left join (select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                          n.[reserved_at] as reserved_at, n.[shared] as entries
                   from [nodes] n) as d on d.id = e.[entity_id]
        [join_standing]
        where e.[entity_id] = $1
        """;

    private const string FindNameTemplate =
        """
        select d.id, [standing]
        from (select) as one
        left join (select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                          n.[reserved_at] as reserved_at, n.[shared] as entries
                   from [nodes] n) as d on d.id = $1
        [join_standing]
        """;

    // $1 node  $2 token  $3 row wait  $4 whether to tell. An operator's word against the holder's: the new token is the
    // revocation, as in a take-over. The holder learns of it at its next look, so this alone does not keep it from
    // acting.
    private const string BreakTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $3, true) as row_wait, [durable])
        update [nodes] n
        set [reservation] = null, [purpose] = null, [reserved_at] = null,
            [token] = greatest([next_token], n.[token] + 1)
        from settings
        where n.[id] = $1 and n.[token] = $2 and n.[reservation] is not null and settings.row_wait is not null
        returning case when $4 and [wanted] then [tell] end
        """;

    public string Reserve { get; } = sql.Render(ReserveTemplate);
    public string HandOver { get; } = sql.Render(HandOverTemplate);
    public string MakeRow { get; } = sql.Render(nodesAreRows ? MakeRowTemplate : MakeRowOfNameTemplate);
    public string Release { get; } = sql.Render(ReleaseTemplate);
    public string Find { get; } = sql.Render(nodesAreRows ? FindTemplate : FindNameTemplate);
    public string List { get; } = sql.Render(ListTemplate);
    public string Break { get; } = sql.Render(BreakTemplate);
}
