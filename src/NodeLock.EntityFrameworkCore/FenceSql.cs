namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// What stands between the death of a conductor that requires a fence and the next reserve of its nodes: one living
/// conductor claims it, revokes each of its reservations, runs the fence, releases, and at last says that it is fenced.
/// </summary>
internal sealed class FenceSql(SqlTemplate sql)
{
    // $1 kind  $2 me. A claim lasts as long as the claimer lives.
    //
    // That a claimer has ended, or has no row at all, is asked in the snapshot that shows its claim, and counts only if
    // the locked row has that same claim. For a newer one, the snapshot might be older than the claimer's own row.
    private const string ClaimTemplate =
        """
        with settings as materialized (select [durable]),
        unclaimed as materialized (
          select c.[holder] as holder, c.[fenced_by] as fenced_by
          from settings cross join [conductors] c
          where c.[kind] = $1 and c.[state] = 'dead' and c.[fenced_by] is distinct from $2
            and not exists (select from [conductors] f where f.[holder] = c.[fenced_by] and f.[state] = 'alive')),
        due as materialized (
          select c.[holder] as holder
          from [conductors] c join unclaimed u on u.holder = c.[holder]
          where c.[state] = 'dead' and c.[fenced_by] is not distinct from u.fenced_by
          order by c.[holder]
          for no key update of c skip locked),
        claimed as (
          update [conductors] c set [fenced_by] = $2
          from due
          where c.[holder] = due.holder
            and exists (select from [conductors] m
                        where m.[holder] = $2 and m.[state] = 'alive' and m.[expires_at] > clock_timestamp())
          returning c.[holder] as holder)
        select holder from claimed
        union
        select c.[holder] from [conductors] c
        where c.[kind] = $1 and c.[state] = 'dead' and c.[fenced_by] = $2
          and exists (select from [conductors] m
                      where m.[holder] = $2 and m.[state] = 'alive' and m.[expires_at] > clock_timestamp())
        order by 1
        """;

    // $1 dead holder. What it shares needs no fence: readers change nothing.
    private const string FindReservedByTemplate =
        "select n.[id] from [nodes] n where n.[reservation] = $1 order by n.[id]";

    // $1 node  $2 dead holder  $3 me  $4 row wait
    //
    // Waits for the row, so that a guarded write under way ends before the fence begins; the next one meets the new
    // token. That the claim is still mine is true after the lock, though asked in an older snapshot: nobody else can
    // have claimed while I was alive, and a lease that is not over by the clock after the lock never ended.
    private const string RevokeTemplate =
        """
        with settings as materialized (
          select set_config('lock_timeout', $4, true) as row_wait, [durable]),
        locked as materialized (
          select n.[id] as id
          from settings cross join [nodes] n
          where n.[id] = $1 and n.[reservation] = $2 and settings.row_wait is not null
          for no key update of n),
        decided as materialized (
          select l.id,
            exists (select from [conductors] c
                    where c.[holder] = $2 and c.[state] = 'dead' and c.[fenced_by] = $3)
            and exists (select from [conductors] c
                        where c.[holder] = $3 and c.[state] = 'alive'
                          and c.[expires_at] > clock_timestamp()) as trusted
          from locked l)
        update [nodes] n set [token] = greatest([next_token], n.[token] + 1)
        from decided d
        where n.[id] = $1 and n.[reservation] = $2 and d.trusted
        returning n.[id], false, array[n.[reservation]], n.[token], n.[purpose], n.[reserved_at], 'dead'
        """;

    // $1 dead holder  $2 me. Its row in somebody's hand counts as not yet.
    private const string FinishTemplate =
        """
        with settings as materialized (select [durable]),
        due as materialized (
          select c.[holder] as holder from settings cross join [conductors] c
          where c.[holder] = $1 and c.[state] = 'dead' and c.[fenced_by] = $2
          for no key update of c skip locked)
        update [conductors] c set [state] = 'fenced'
        from due
        where c.[holder] = due.holder and not exists (select from [nodes] n where n.[reservation] = $1)
        returning true
        """;

    public string Claim { get; } = sql.Render(ClaimTemplate);
    public string FindReservedBy { get; } = sql.Render(FindReservedByTemplate);
    public string Revoke { get; } = sql.Render(RevokeTemplate);
    public string Finish { get; } = sql.Render(FinishTemplate);
}
