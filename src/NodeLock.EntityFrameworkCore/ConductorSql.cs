namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Every statement about conductors. They run on the conductor's own connection, and none of them waits for a row but
/// <see cref="Renew"/> and <see cref="Leave"/>, for the conductor's own entry, which only a person has reason to lock.
/// States go from alive to fenced or left, to fenced by way of dead where a fence is required, and never back; all
/// reasoning about take-over rests on that.
/// </summary>
internal sealed class ConductorSql(SqlTemplate sql)
{
    // $1 holder  $2 kind  $3 name  $4 host  $5 process  $6 lease  $7 whether it requires a fence. No row: the name is
    // taken.
    private const string RegisterTemplate =
        """
        with settings as materialized (select [durable])
        insert into [conductors]
          ([holder], [kind], [name], [host], [process_id], [state], [started_at], [heartbeat_at], [expires_at],
           [requires_fence])
        select $1, $2, $3, $4, $5, 'alive', clock_timestamp(), clock_timestamp(), clock_timestamp() + $6, $7
        from settings
        on conflict do nothing
        returning true
        """;

    // $1 holder  $2 lease. No row: declared dead. Looks at nothing but this table, so that nothing holds it up.
    private const string RenewTemplate =
        """
        with settings as materialized (select [durable])
        update [conductors] c set [heartbeat_at] = clock_timestamp(), [expires_at] = clock_timestamp() + $2
        from settings
        where c.[holder] = $1 and c.[state] = 'alive'
        returning c.[heartbeat_at]
        """;

    // $1 kind  $2 me  $3 what the clock shows only if it jumped. A renewal that has the row in hand is alive: it is
    // skipped, not waited for. The lease is looked at again in the update, since the lock may have given a newer
    // version of the row than the one that was found.
    private const string DeclareDeadTemplate =
        """
        with settings as materialized (select [durable]),
        due as materialized (
          select c.[holder] as holder from settings cross join [conductors] c
          where c.[kind] = $1 and c.[state] = 'alive' and c.[holder] <> $2 and c.[expires_at] < clock_timestamp()
            and clock_timestamp() < $3
          order by c.[holder]
          for no key update of c skip locked)
        update [conductors] c set [state] = case when c.[requires_fence] then 'dead' else 'fenced' end
        from due
        where c.[holder] = due.holder and c.[state] = 'alive' and c.[expires_at] < clock_timestamp()
          and clock_timestamp() < $3
        returning c.[holder]
        """;

    // $1 how many at most  $2 whether to tell. The new token is the revocation: whatever the old one still guards is
    // refused from here on.
    private const string SweepTemplate =
        """
        with settings as materialized (select [durable]),
        gone as materialized (
          select n.[id] as id, n.[reservation] as reservation, n.[shared] as shared
          from settings cross join [nodes] n
          where exists (select from [conductors] c
                        where c.[holder] = n.[reservation] and c.[state] in ('fenced', 'left'))
             or (n.[shared] <> '{}' and exists (select from unnest(n.[shared]) as e where [entry_ended]))
          order by n.[id] limit $1
          for no key update of n skip locked),
        judged as materialized (
          select g.id,
            exists (select from [conductors] c
                    where c.[holder] = g.reservation and c.[state] in ('fenced', 'left')) as ended,
            array(select u.e from unnest(g.shared) with ordinality as u(e, place)
                  where not [entry_ended] order by u.place) as entries
          from gone g)
        update [nodes] n
        set [reservation] = case when j.ended then null else n.[reservation] end,
            [token] = case when j.ended then greatest([next_token], n.[token] + 1) else n.[token] end,
            [purpose] = case when j.entries <> '{}' or (n.[reservation] is not null and not j.ended)
                             then n.[purpose] end,
            [reserved_at] = case when j.entries <> '{}' or (n.[reservation] is not null and not j.ended)
                                 then n.[reserved_at] end,
            [shared] = j.entries
        from judged j
        where n.[id] = j.id
        returning case when $2 and cardinality(j.entries) <= 1 and [wanted] then [tell] end
        """;

    private const string FindStrangersTemplate =
        """
        select distinct h.holder
        from [nodes] n cross join lateral (
          select n.[reservation] as holder where n.[reservation] is not null
          union all
          select split_part(e, ' ', 1) from unnest(n.[shared]) as e) as h
        where (n.[reservation] is not null or n.[shared] <> '{}')
          and not exists (select from [conductors] c where c.[holder] = h.holder)
        """;

    // $1 stranger  $2 kind  $3 whether its nodes must be fenced
    private const string BuryTemplate =
        """
        with settings as materialized (select [durable])
        insert into [conductors] ([holder], [kind], [name], [state], [started_at], [heartbeat_at], [expires_at],
                                  [requires_fence])
        select $1, $2, split_part($1, '/', 1), case when $3 then 'dead' else 'fenced' end,
               clock_timestamp(), clock_timestamp(), clock_timestamp(), $3
        from settings
        on conflict do nothing
        """;

    // $1 kind  $2 for how long the lease has been over
    private const string ForgetTemplate =
        """
        with old as materialized (
          select c.[holder] as holder from [conductors] c
          where c.[kind] = $1 and c.[state] in ('fenced', 'left') and c.[expires_at] < clock_timestamp() - $2
            and not exists (select from [nodes] n
                            where n.[reservation] = c.[holder]
                               or (n.[shared] <> '{}' and exists (select from unnest(n.[shared]) as e
                                                                  where split_part(e, ' ', 1) = c.[holder])))
          for update of c skip locked)
        delete from [conductors] c using old where c.[holder] = old.holder
        """;

    // $1 holder. Only one who holds nothing may leave: "left" gives its nodes away. Nor one with a claim on a dead one:
    // a fence that it began may still be running, and another may begin when its lease is over, not at once.
    private const string LeaveTemplate =
        """
        with settings as materialized (select [durable])
        update [conductors] c set [state] = 'left'
        from settings
        where c.[holder] = $1 and c.[state] = 'alive'
          and not exists (select from [nodes] n
                          where n.[reservation] = $1
                             or (n.[shared] <> '{}' and exists (select from unnest(n.[shared]) as e
                                                                where split_part(e, ' ', 1) = $1)))
          and not exists (select from [conductors] d where d.[fenced_by] = $1 and d.[state] = 'dead')
        returning true
        """;

    // $1 whether to tell. On the conductor's own connection, which is never the one that listens: a session hears what
    // it tells itself, also behind a pooler that passes on nothing else.
    private const string TellNothingTemplate = "select pg_notify([channel], '') where $1";

    public string Register { get; } = sql.Render(RegisterTemplate);
    public string Renew { get; } = sql.Render(RenewTemplate);
    public string DeclareDead { get; } = sql.Render(DeclareDeadTemplate);
    public string Sweep { get; } = sql.Render(SweepTemplate);
    public string FindStrangers { get; } = sql.Render(FindStrangersTemplate);
    public string Bury { get; } = sql.Render(BuryTemplate);
    public string Forget { get; } = sql.Render(ForgetTemplate);
    public string Leave { get; } = sql.Render(LeaveTemplate);
    public string TellNothing { get; } = sql.Render(TellNothingTemplate);
}
