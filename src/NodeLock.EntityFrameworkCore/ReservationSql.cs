namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Every statement about reservations. Each runs in a transaction of its own (<see cref="OwnTransaction"/>), so each is
/// all that happens between its first look at a row and its last change of it.
/// </summary>
internal sealed class ReservationSql(SqlTemplate sql, bool nodesAreRows)
{
    // $1 node  $2 me  $3 the token this process names as its own, 0 for none  $4 purpose  $5 row wait
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
    // The lock may take no longer than $5. The setting is made by joining it, before the first row is looked at.
    //
    // What is decided is one row, that of $1, so the update finds its own by $1 too: joined by id, a table of few pages
    // would be read whole and hashed.
    private const string ReserveTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $5, true) as row_wait, [durable]),
        locked as materialized (
          select n.[id] as id, n.[reservation] as reservation, n.[token] as token, n.[purpose] as purpose,
                 n.[reserved_at] as reserved_at
          from settings cross join [nodes] n
          where n.[id] = $1 and settings.row_wait is not null
          for no key update of n),
        decided as materialized (
          select l.*,
            exists (select from [conductors] c
                    where c.[holder] = $2 and c.[state] = 'alive' and c.[expires_at] > clock_timestamp()) as trusted,
            l.reservation is null
              or (l.reservation = $2 and l.token = $3)
              or exists (select from [conductors] c
                         where c.[holder] = l.reservation and c.[state] in ('fenced', 'left')) as free
          from locked l),
        reserved as (
          update [nodes] n
          set [reservation] = $2, [token] = greatest([next_token], n.[token] + 1), [purpose] = $4,
              [reserved_at] = clock_timestamp()
          from decided d
          where n.[id] = $1 and d.free and d.trusted
          returning n.[id] as id, n.[token] as token, n.[reserved_at] as reserved_at)
        select d.id, d.trusted, r.token, r.reserved_at, d.reservation, d.token, d.purpose, d.reserved_at,
               (select c.[state] from [conductors] c where c.[holder] = d.reservation)
        from decided d left join reserved r on r.id = d.id
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

    // $1 node  $2 holder  $3 token  $4 row wait. Exactly one reservation: a release that comes late, or a second time,
    // meets another token and changes nothing. The token stays, so that it never starts again.
    private const string ReleaseTemplate =
        """
        with settings as materialized (select set_config('lock_timeout', $4, true) as row_wait)
        update [nodes] n set [reservation] = null, [purpose] = null, [reserved_at] = null
        from settings
        where n.[id] = $1 and n.[reservation] = $2 and n.[token] = $3 and settings.row_wait is not null
        """;

    // $1 nodes  $2 tokens  $3 holder. The same for many, none of which it waits for.
    private const string ReleaseManyTemplate =
        """
        with locked as materialized (
          select n.[id] as id
          from [nodes] n join unnest($1, $2) as h(id, token) on n.[id] = h.id
          where n.[reservation] = $3 and n.[token] = h.token
          order by n.[id]
          for no key update of n skip locked)
        update [nodes] n set [reservation] = null, [purpose] = null, [reserved_at] = null
        from locked l
        where n.[id] = l.id and n.[reservation] = $3
        """;

    // $1 nodes  $2 tokens  $3 holder. By primary key, so that it stays quick however many nodes there are.
    private const string FindLostTemplate =
        """
        select h.id, h.token from unnest($1, $2) as h(id, token)
        left join [nodes] n on n.[id] = h.id and n.[reservation] = $3 and n.[token] = h.token
        where n.[id] is null
        """;

    // $1 holder
    private const string FindReservedByTemplate =
        "select n.[id], n.[token] from [nodes] n where n.[reservation] = $1";

    private const string ListTemplate =
        """
        select n.[id], n.[reservation], n.[token], n.[purpose], n.[reserved_at], c.[state]
        from [nodes] n left join [conductors] c on c.[holder] = n.[reservation]
        where n.[reservation] is not null
        order by n.[id]
        """;

    // $1 node. A row of nulls where the node exists and is free.
    private const string FindTemplate =
        """
        select n.[id], n.[reservation], n.[token], n.[purpose], n.[reserved_at], c.[state]
        from [entity] e
        left join [nodes] n on n.[id] = e.[entity_id] and n.[reservation] is not null
        left join [conductors] c on c.[holder] = n.[reservation]
        where e.[entity_id] = $1
        """;

    private const string FindNameTemplate =
        """
        select n.[id], n.[reservation], n.[token], n.[purpose], n.[reserved_at], c.[state]
        from (select) as one
        left join [nodes] n on n.[id] = $1 and n.[reservation] is not null
        left join [conductors] c on c.[holder] = n.[reservation]
        """;

    public string Reserve { get; } = sql.Render(ReserveTemplate);
    public string MakeRow { get; } = sql.Render(nodesAreRows ? MakeRowTemplate : MakeRowOfNameTemplate);
    public string Release { get; } = sql.Render(ReleaseTemplate);
    public string ReleaseMany { get; } = sql.Render(ReleaseManyTemplate);
    public string FindLost { get; } = sql.Render(FindLostTemplate);
    public string FindReservedBy { get; } = sql.Render(FindReservedByTemplate);
    public string Find { get; } = sql.Render(nodesAreRows ? FindTemplate : FindNameTemplate);
    public string List { get; } = sql.Render(ListTemplate);
}
