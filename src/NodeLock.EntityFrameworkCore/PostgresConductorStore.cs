using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// A conductor's own connection: not from the pool, which may be exhausted, and used synchronously on the conductor's
/// thread, so that a starved thread pool cannot stop a renewal either.
/// </summary>
internal sealed class PostgresConductorStore : IConductorStore
{
    private readonly NpgsqlConnection connection;
    private readonly ReservationModel model;
    private readonly KindSql sql;
    private readonly TimeSpan timeLimit;

    public PostgresConductorStore(
        NpgsqlConnection connection, ReservationModel model, KindSql sql, TimeSpan timeLimit)
    {
        this.connection = connection;
        this.model = model;
        this.sql = sql;
        this.timeLimit = timeLimit;
    }

    /// <summary>A connection like that of the context.</summary>
    public static NpgsqlConnection Open(NpgsqlConnection like, TimeSpan timeLimit)
    {
        NpgsqlConnection clone = like.CloneWith(
            OwnConnection.Settings(like.ConnectionString, "NodeLock heartbeat", timeLimit).ToString());
        clone.Open();
        return clone;
    }

    public bool Register(ConductorEntry conductor) => Query(sql.Conductors.Register, static _ => true,
        conductor.Holder, model.Kind, conductor.Name, conductor.Host, conductor.ProcessId, conductor.Lease,
        conductor.RequiresFence).Count > 0;

    public DateTimeOffset? Renew(string holder, TimeSpan lease) =>
        Query(sql.Conductors.Renew, static row => row.GetFieldValue<DateTimeOffset>(0), holder, lease) is [var clock]
            ? clock
            : null;

    public IReadOnlyList<HeldNode> FindLost(string holder, IReadOnlyList<HeldNode> held) =>
        Query(sql.Many.FindLost, ReadHeld, ManySql.Named(model.Key, holder, held));

    public IReadOnlyList<HeldNode> Restore(string holder, IReadOnlyList<HandedOverNode> handedOver) =>
        Query(sql.Many.Restore, ReadHeld, holder, model.Key.Parse([.. handedOver.Select(h => h.Held.NodeId)]),
            handedOver.Select(h => h.Held.FencingToken).ToArray(), handedOver.Select(h => h.DrawnWith).ToArray(),
            handedOver.Select(h => h.Purpose).ToArray());

    public IReadOnlyList<HeldNode> FindReservedBy(string holder) => Query(sql.Many.FindReservedBy, ReadHeld, holder);

    public int Release(string holder, IReadOnlyList<HeldNode> held) =>
        OwnTransaction.Query(connection, new Statement<HeldNode>(
            sql.Many.Release, ManySql.Named(model.Key, holder, held), timeLimit, ReadHeld).Telling()).Rows.Count;

    public IReadOnlyList<string> DeclareDead(string holder, DateTimeOffset notAfter) =>
        Query(sql.Conductors.DeclareDead, ReadHolder, model.Kind, holder, notAfter.ToUniversalTime());

    public IReadOnlyList<string> ClaimForFence(string fencer) =>
        Query(sql.Fence.Claim, ReadHolder, model.Kind, fencer);

    public int Sweep(int batchSize) => OwnTransaction.Query(connection,
        new Statement<bool>(sql.Conductors.Sweep, [batchSize], timeLimit, static _ => true).Telling()).Changed;

    public IReadOnlyList<string> FindStrangers() => Query(sql.Conductors.FindStrangers, ReadHolder);

    public void Bury(string stranger, bool requiresFence) =>
        Change(sql.Conductors.Bury, stranger, model.Kind, requiresFence);

    public int Forget(TimeSpan endedFor) => Change(sql.Conductors.Forget, model.Kind, endedFor);

    public void TellNothing() => OwnTransaction.Query(connection,
        new Statement<bool>(sql.Conductors.TellNothing, [], timeLimit, static _ => true).Telling());

    public bool Leave(string holder) => Query(sql.Conductors.Leave, static _ => true, holder).Count > 0;

    public void Dispose() => connection.Dispose();

    private static string ReadHolder(NpgsqlDataReader row) => row.GetString(0);

    private HeldNode ReadHeld(NpgsqlDataReader row) => ReserveReply.ReadHeld(row, model.Key.Spell);

    private List<T> Query<T>(string statement, Func<NpgsqlDataReader, T> read, params object[] parameters) =>
        OwnTransaction.Query(connection, new Statement<T>(statement, parameters, timeLimit, read)).Rows;

    private int Change(string statement, params object[] parameters) =>
        OwnTransaction.Query(
            connection, new Statement<bool>(statement, parameters, timeLimit, static _ => true)).Changed;
}
