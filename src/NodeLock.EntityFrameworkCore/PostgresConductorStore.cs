using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// A conductor's own connection: not from the pool, which may be exhausted, and used synchronously on the conductor's
/// thread, so that a starved thread pool cannot stop a renewal either.
/// </summary>
internal sealed class PostgresConductorStore : IConductorStore
{
    private const int LongestConnect = 1024; // seconds; Npgsql takes no more

    private readonly NpgsqlConnection connection;
    private readonly ReservationModel model;
    private readonly ReservationSql sql;
    private readonly ConductorSql conductorSql;
    private readonly TimeSpan timeLimit;

    public PostgresConductorStore(NpgsqlConnection connection, ReservationModel model, ReservationSql sql,
        ConductorSql conductorSql, TimeSpan timeLimit)
    {
        this.connection = connection;
        this.model = model;
        this.sql = sql;
        this.conductorSql = conductorSql;
        this.timeLimit = timeLimit;
    }

    /// <summary>A connection like that of the context. It is cloned, since a connection string read back lacks the
    /// password.</summary>
    public static NpgsqlConnection Open(NpgsqlConnection like, TimeSpan timeLimit)
    {
        int seconds = (int)Math.Ceiling(timeLimit.TotalSeconds);
        NpgsqlConnectionStringBuilder settings = new(like.ConnectionString)
        {
            Pooling = false,
            Enlist = false,
            Multiplexing = false,
            MaxAutoPrepare = 0,
            ApplicationName = "NodeLock heartbeat",
            // At the limit the outcome is unknown and the connection dropped. The driver first connects once more to
            // cancel the statement, for which it must not take long, and does not wait for what comes of it.
            CommandTimeout = seconds,
            CancellationTimeout = -1,
            Timeout = Math.Clamp(seconds / 3, 1, LongestConnect),
        };
        if (!settings.ContainsKey("GSS Encryption Mode")) settings.GssEncryptionMode = GssEncryptionMode.Disable;
        // Of several hosts, the one that can be written to; a data source that looks for it does not say so here.
        if (settings.Host?.Contains(',') == true) settings.TargetSessionAttributes ??= "primary";
        NpgsqlConnection clone = like.CloneWith(settings.ToString());
        clone.Open();
        return clone;
    }

    public bool Register(ConductorEntry conductor) => Query(conductorSql.Register, static _ => true, conductor.Holder,
        model.Kind, conductor.Name, conductor.Host, conductor.ProcessId, conductor.Lease).Count > 0;

    public DateTimeOffset? Renew(string holder, TimeSpan lease) =>
        Query(conductorSql.Renew, static row => row.GetFieldValue<DateTimeOffset>(0), holder, lease) is [var clock]
            ? clock
            : null;

    public IReadOnlyList<HeldNode> FindLost(string holder, IReadOnlyList<HeldNode> held) =>
        Query(sql.FindLost, ReadNode, Ids(held), Tokens(held), holder);

    public IReadOnlyList<HeldNode> FindReservedBy(string holder) => Query(sql.FindReservedBy, ReadNode, holder);

    public int Release(string holder, IReadOnlyList<HeldNode> held) =>
        Change(sql.ReleaseMany, Ids(held), Tokens(held), holder);

    public IReadOnlyList<string> DeclareDead(string holder, DateTimeOffset notAfter) =>
        Query(conductorSql.DeclareDead, static row => row.GetString(0), model.Kind, holder, notAfter.ToUniversalTime());

    public int Sweep(int batchSize) => Change(conductorSql.Sweep, batchSize);

    public IReadOnlyList<string> FindStrangers() => Query(conductorSql.FindStrangers, static row => row.GetString(0));

    public IReadOnlyList<string> ClaimForFence(string fencer) => throw new NotSupportedException();

    public void Bury(string stranger, bool requiresFence) => Change(conductorSql.Bury, stranger, model.Kind);

    public int Forget(TimeSpan endedFor) => Change(conductorSql.Forget, model.Kind, endedFor);

    public bool Leave(string holder) => Query(conductorSql.Leave, static _ => true, holder).Count > 0;

    public void Dispose() => connection.Dispose();

    private static long[] Tokens(IReadOnlyList<HeldNode> held) => [.. held.Select(h => h.FencingToken)];

    /// <summary>An array of the key's own type, which the database has for it too.</summary>
    private Array Ids(IReadOnlyList<HeldNode> held)
    {
        Array ids = Array.CreateInstance(model.Key.Type, held.Count);
        for (int i = 0; i < held.Count; i++) ids.SetValue(model.Key.Parse(held[i].NodeId.ToString()), i);
        return ids;
    }

    private HeldNode ReadNode(NpgsqlDataReader row) =>
        new(new NodeId(model.Key.Format(row.GetValue(0))), row.GetInt64(1));

    private List<T> Query<T>(string statement, Func<NpgsqlDataReader, T> read, params object[] parameters) =>
        OwnTransaction.Query(connection, new Statement<T>(statement, parameters, timeLimit, read)).Rows;

    private int Change(string statement, params object[] parameters) =>
        OwnTransaction.Query(
            connection, new Statement<bool>(statement, parameters, timeLimit, static _ => true)).Changed;
}
