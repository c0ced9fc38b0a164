using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>A database for one test: NodeLock's tables, and triggers that note what happens to them.</summary>
internal sealed class Yard : IAsyncDisposable
{
    private readonly PostgresServer server;
    private readonly string database;
    private readonly Dictionary<NodeKind, ReservationHistory> histories = [];
    private readonly Dictionary<NodeKind, EntryHistory> entries = [];

    private Yard(PostgresServer server, string database, string connectionString)
    {
        this.server = server;
        this.database = database;
        ConnectionString = connectionString;

        // Its own sessions are not to be mistaken for a conductor's, nor to suffer what is done to those.
        Own = new NpgsqlConnectionStringBuilder(connectionString)
        {
            ApplicationName = "yard",
            Pooling = false,
            Options = @"-c default_transaction_isolation=read\ committed",
        }.ConnectionString;
        Conductors = new ConductorHistory(Own);
    }

    /// <summary>For conductors.</summary>
    public string ConnectionString { get; }

    /// <summary>For the test's own look at the database.</summary>
    public string Own { get; }

    public ConductorHistory Conductors { get; }

    public static async Task<Yard> CreateAsync(
        PostgresServer server, string name, params (string Setting, string Value)[] settings)
    {
        Yard yard = new(server, name, await server.CreateDatabaseAsync(name, settings));
        DbContextOptions<YardContext> options = new DbContextOptionsBuilder<YardContext>().UseNpgsql(yard.Own).Options;
        await using (YardContext context = new(options))
            await context.Database.EnsureCreatedAsync();
        foreach (NodeKind kind in Enum.GetValues<NodeKind>())
        {
            yard.histories[kind] = await ReservationHistory.InstallAsync(yard.Own, Table(kind));
            yard.entries[kind] = new EntryHistory(yard.Own, Table(kind));
            await yard.entries[kind].InstallAsync();
        }

        await yard.Conductors.InstallAsync();
        return yard;
    }

    public static string Table(NodeKind kind) => kind switch
    {
        NodeKind.Machines => "nodelock_machine",
        NodeKind.Racks => "nodelock_rack",
        _ => "nodelock_nodes",
    };

    public async Task<T?> ScalarAsync<T>(string sql, params object[] parameters)
    {
        await using NpgsqlConnection connection = await OpenAsync();
        await using NpgsqlCommand command = new(sql, connection);
        foreach (object value in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        object? result = await command.ExecuteScalarAsync();
        return result is null or DBNull ? default : (T)result;
    }

    public Task ExecuteAsync(string sql, params object[] parameters) => ScalarAsync<object>(sql, parameters);

    /// <summary>Waits until a query that returns a boolean returns true.</summary>
    public Task UntilAsync(string what, string sql, params object[] parameters) =>
        Patience.UntilAsync(what, () => ScalarAsync<bool>(sql, parameters));

    /// <summary>Waits until a conductor has renewed its lease that often.</summary>
    public Task UntilRenewedAsync(string holder, int times = 1) => UntilAsync(
        $"{holder} renewed its lease {times} times",
        "select count(*) >= $2 from yard_conductors where holder = $1 and kind_of_change = 'renewed'", holder, times);

    /// <summary>A user's transaction that has a node's row in hand until it is disposed.</summary>
    public async Task<NpgsqlConnection> TakeRowInHandAsync(string node)
    {
        NpgsqlConnection connection = await OpenAsync();
        await using NpgsqlCommand command = new("begin", connection);
        await command.ExecuteNonQueryAsync();
        await using NpgsqlCommand take = new("select from nodelock_nodes where id = $1 for update", connection)
        {
            Parameters = { new() { Value = node } },
        };
        await take.ExecuteNonQueryAsync();
        return connection;
    }

    /// <summary>What a conductor leaves whose process was killed long ago: its entry, and reservations.</summary>
    public async Task LeaveBehindAsync(string holder, params string[] nodes)
    {
        await EnterAsync(holder, "alive", TimeSpan.FromMinutes(1));
        await NameAsync(holder, nodes);
    }

    /// <summary>A conductor's entry, whose lease was over this long ago.</summary>
    public Task EnterAsync(string holder, string state, TimeSpan over) => ExecuteAsync(
        """
        insert into nodelock_conductors (holder, kind, name, state, started_at, heartbeat_at, expires_at)
        select $1, 'nodelock_nodes', $1, $2, t, t, t from (values (clock_timestamp() - $3)) as v(t)
        """,
        holder, state, over);

    /// <summary>Reservations that carry a holder's name.</summary>
    public Task NameAsync(string holder, params string[] nodes) => ExecuteAsync(
        """
        insert into nodelock_nodes (id, reservation, reservation_token, reservation_purpose, reserved_at)
        select node, $1, nextval('nodelock_fencing_token'), 'left behind', clock_timestamp() from unnest($2) as node
        """,
        holder, nodes);

    public Task<string?> HolderOfAsync(string node) =>
        ScalarAsync<string>("select reservation from nodelock_nodes where id = $1", node);

    public Task<IReadOnlyList<ReservationChange>> HistoryAsync(NodeKind kind = NodeKind.Names) =>
        histories[kind].ReadAsync();

    public Task<IReadOnlyList<EntryChange>> EntriesAsync(NodeKind kind = NodeKind.Names) => entries[kind].ReadAsync();

    /// <summary>What is wrong with all that happened to reservations and conductors; empty when all is well.</summary>
    public async Task<IReadOnlyList<string>> ViolationsAsync(NodeKind kind = NodeKind.Names)
    {
        IReadOnlyList<ReservationChange> changes = await HistoryAsync(kind);
        IReadOnlyList<ConductorChange> conductors = await Conductors.ReadAsync();
        return
        [
            .. ReservationHistory.Check(changes, holder => conductors.Any(c => c.IsDeath && c.Holder == holder)),
            .. ConductorHistory.Check(conductors, changes),
            .. EntryHistory.Check(await EntriesAsync(kind), conductors),
        ];
    }

    public async ValueTask DisposeAsync() => await server.DropDatabaseAsync(database);

    private async Task<NpgsqlConnection> OpenAsync()
    {
        NpgsqlConnection connection = new(Own);
        await connection.OpenAsync();
        return connection;
    }
}
