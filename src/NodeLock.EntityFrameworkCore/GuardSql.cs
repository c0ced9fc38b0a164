namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Every statement of a guarded write. They run in the transaction of the write, under whatever isolation level it has,
/// so what they find and what is written after them stand or fall together.
/// </summary>
internal sealed class GuardSql(SqlTemplate sql)
{
    // Why a stale holder cannot write: the row is locked by its id alone, and stays locked until the transaction ends.
    // Whoever takes the node over has to update that row, so it has done so before the lock was given, or will after
    // the write is committed. Holder and token are compared after the lock, on the version that the lock gave: in the
    // where clause of an update they would also be judged on the version it gives, but a row that does not match would
    // not be locked, nor say why.
    //
    // Read committed: a lock that had to wait reads the newest version (the manual, 13.2.1). Repeatable read and
    // serializable: where the row was changed after the transaction's snapshot, the lock fails (40001, 13.2.2), so an
    // old snapshot with the old token never passes. A row that is younger than the snapshot is not seen at all; that
    // is why the reply says which level it was.
    //
    // "known" is asked only where the row is not ours: a database that has never heard of the conductor is another one.
    // Nothing is said there about who holds the node.
    //
    // A process that is paused after the lock keeps the row from whoever takes the node over. So the transaction may
    // idle for $4 ms at most, and less where the user's own setting is lower; 0 is no limit.
    private const string IdleLimit =
        """
        set_config('idle_in_transaction_session_timeout',
            least($4, nullif(extract(epoch from current_setting('idle_in_transaction_session_timeout')::interval)
              * 1000, 0)::bigint)::text, true) as idle_limit
        """;

    private const string Locked =
        """
        locked as materialized (
          select n.[reservation] as reservation, n.[token] as token
          from settings cross join [nodes] n
          where n.[id] = $1 and settings.idle_limit is not null
          for no key update of n)
        """;

    // One run of a server, from a start or a crash to the next, without a privilege: a crash of one of its processes
    // leaves the postmaster as it is, but its recovery ends further on in the log; where there was none, this is null.
    private const string Run =
        """
        extract(epoch from pg_postmaster_start_time())::text || ' ' || coalesce(pg_last_wal_replay_lsn()::text, '')
        """;

    private const string Reply =
        $"""
        select coalesce(l.reservation = $2 and l.token = $3, false), l.reservation, l.token,
          case when l.reservation = $2 and l.token = $3 then true
               else exists (select from [conductors] c where c.[holder] = $2) end,
          current_setting('transaction_isolation') <> 'read committed', pg_current_xact_id()::text, {Run}
        """;

    private const string OfLocked = "from (select) as one left join locked l on true";

    // $1 node  $2 holder  $3 token  $4 idle limit
    private const string GuardTemplate =
        $"""
        with settings as materialized (select {IdleLimit}),
        {Locked}
        {Reply}, false
        {OfLocked}
        """;

    // The same, and with it a release of exactly this reservation: what is saved last, and that the work is over, are
    // one fact. Unlike a release alone it is durable: one that a crash forgets does no harm, but what is saved is meant
    // to stay. It tells nobody, only whether there is somebody to tell: a notification that fails would take with it
    // what is saved.
    private const string ReleaseTemplate =
        $"""
        with settings as materialized (select {IdleLimit}, [durable]),
        {Locked},
        released as (
          update [nodes] n set [reservation] = null, [purpose] = null, [reserved_at] = null
          from locked l
          where n.[id] = $1 and l.reservation = $2 and l.token = $3
          returning [wanted] as wanted)
        {Reply}, coalesce((select r.wanted from released r), false)
        {OfLocked}
        """;

    // $1 node, as it is spelled. After the commit of a release that found somebody waiting.
    private const string TellTemplate = "select pg_notify([channel], $1)";

    // $1 node  $2 holder  $3 token. For a transaction whose snapshot may be older than the row.
    private const string IsHeldTemplate =
        "select true from [nodes] n where n.[id] = $1 and n.[reservation] = $2 and n.[token] = $3";

    // $1 node  $2 holder  $3 token  $4 the one with which it was drawn. Whether a transaction that was to release this
    // reservation has: only that leaves the row free with the same token. Null where the row has moved on since.
    private const string IsReleasedTemplate =
        """
        select case when n.[reservation] is null and n.[token] = $3 then true
                    when n.[reservation] = $2 and n.[token] between $4 and $3 then false end
        from [nodes] n where n.[id] = $1
        """;

    public string IsReleased { get; } = sql.Render(IsReleasedTemplate);
    public string Guard { get; } = sql.Render(GuardTemplate);
    public string Release { get; } = sql.Render(ReleaseTemplate);
    public string IsHeld { get; } = sql.Render(IsHeldTemplate);
    public string Tell { get; } = sql.Render(TellTemplate);

    /// <summary>The transaction this runs in, if it has an id: one that was ended meanwhile shows as null or
    /// another.</summary>
    public const string Transaction = "select pg_current_xact_id_if_assigned()::text";

    /// <summary>
    /// $1 transaction  $2 the run of the server that it was of. What became of it: committed, aborted or in progress.
    /// The server remembers as long as it keeps the commit log, for hundreds of millions of transactions; older is
    /// null. A server that crashed forgets the ids of transactions of which it had written nothing down, and gives them
    /// to others: in another run, "committed" may be another's.
    /// </summary>
    public const string Outcome =
        $"""
        select case when s.status <> 'committed' or {Run} = $2 then s.status end
        from (select pg_xact_status($1::text::xid8) as status) as s
        """;
}
