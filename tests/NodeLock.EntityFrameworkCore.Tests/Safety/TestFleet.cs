using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>A database with its reservations' history, a proxy in front of it, and the conductors of a test.</summary>
internal sealed class TestFleet : IAsyncDisposable
{
    private readonly List<TestConductor> conductors = [];
    private readonly NpgsqlDataSource direct;

    private TestFleet(string connectionString, ReservationHistory history)
    {
        ConnectionString = connectionString;
        History = history;
        Proxy = new FaultProxy(connectionString);
        direct = NpgsqlDataSource.Create(connectionString);
    }

    /// <summary>Leads to the database without the proxy.</summary>
    public string ConnectionString { get; }

    public FaultProxy Proxy { get; }

    public ReservationHistory History { get; }

    public static async Task<TestFleet> CreateAsync(string connectionString)
    {
        DbContextOptions<FleetContext> options =
            new DbContextOptionsBuilder<FleetContext>().UseNpgsql(connectionString).Options;
        await using (FleetContext context = new(options)) await context.Database.EnsureCreatedAsync();
        return new TestFleet(connectionString, await ReservationHistory.InstallAsync(connectionString));
    }

    /// <summary>A conductor that has not begun.</summary>
    public TestConductor Create(ConductorSetup setup)
    {
        TestConductor conductor = TestConductor.Create(setup.ConnectionString ?? ConnectionString, setup);
        conductors.Add(conductor);
        return conductor;
    }

    /// <summary>A conductor that is registered and trusts itself.</summary>
    public async Task<TestConductor> StartAsync(ConductorSetup? setup = null)
    {
        TestConductor conductor = Create(setup ?? new ConductorSetup());
        await using TaskScope first = await conductor.AcquireOnceAsync(setup?.NodesAreMachines == true
            ? await AddMachineAsync()
            : new NodeId($"first node of {setup?.Name}"));
        return conductor;
    }

    /// <summary>A conductor that is registered and trusts itself, and reaches the database through the proxy.</summary>
    public Task<TestConductor> StartBehindProxyAsync(ConductorSetup? setup = null) =>
        StartAsync((setup ?? new ConductorSetup()) with { ConnectionString = Proxy.ConnectionString });

    public async Task<int> AddMachineAsync() =>
        (int)(await ScalarAsync("insert into machines select coalesce(max(id), 0) + 1 from machines returning id"))!;

    /// <summary>Makes a node's row, which the first reserve of a node makes otherwise.</summary>
    public Task AddNodeAsync(NodeId node) =>
        ExecuteAsync("insert into nodelock_nodes (id) values ($1)", node.ToString());

    public Task<NpgsqlConnection> OpenAsync() => direct.OpenConnectionAsync().AsTask();

    public async Task ExecuteAsync(string sql, params object[] parameters)
    {
        await using NpgsqlCommand command = Command(sql, parameters);
        await command.ExecuteNonQueryAsync();
    }

    public async Task<object?> ScalarAsync(string sql, params object[] parameters)
    {
        await using NpgsqlCommand command = Command(sql, parameters);
        return await command.ExecuteScalarAsync() is var value and not DBNull ? value : null;
    }

    /// <summary>Waits until a query answers true.</summary>
    public async Task UntilAsync(string query, params object[] parameters)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (await ScalarAsync(query, parameters) is not true)
        {
            if (TimeProvider.System.GetElapsedTime(began) > Tests.Eventually.Limit)
                Assert.Fail($"Not in {Tests.Eventually.Limit.TotalSeconds} s: {query}.");
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }
    }

    /// <summary>Who has a node by its row; null when it is free.</summary>
    public async Task<string?> HolderOfAsync(NodeId node) =>
        (string?)await ScalarAsync("select reservation from nodelock_nodes where id = $1", node.ToString());

    public async Task<long> TokenOfAsync(NodeId node) =>
        (long)(await ScalarAsync("select reservation_token from nodelock_nodes where id = $1", node.ToString()) ?? 0L);

    /// <summary>The entries of those that share a node.</summary>
    public async Task<string[]> SharersOfAsync(NodeId node) => (string[])(await ScalarAsync(
        "select reservation_shared from nodelock_nodes where id = $1", node.ToString()) ?? Array.Empty<string>());

    /// <summary>Waits until a node's row names nobody, neither exclusively nor as one of several.</summary>
    public Task FreeAsync(NodeId node) => UntilAsync(
        "select reservation is null and reservation_shared = '{}' from nodelock_nodes where id = $1", node.ToString());

    /// <summary>What happened to a node, in order.</summary>
    public async Task<IReadOnlyList<ReservationChange>> ChangesOfAsync(NodeId node) =>
        [.. (await History.ReadAsync()).Where(c => c.Node == node.ToString() && !c.IsInsert)];

    /// <summary>Declares a conductor dead as another one would.</summary>
    public Task DeclareDeadAsync(string holder) =>
        ExecuteAsync("update nodelock_conductors set state = 'fenced' where holder = $1", holder);

    public async ValueTask DisposeAsync()
    {
        Proxy.Swallow = false;
        foreach (TestConductor conductor in conductors) await conductor.DisposeAsync();
        await Proxy.DisposeAsync();
        await direct.DisposeAsync();
        foreach (string pool in new[] { Proxy.ConnectionString, ConnectionString })
        {
            await using NpgsqlConnection connection = new(pool);
            NpgsqlConnection.ClearPool(connection);
        }
    }

    private NpgsqlCommand Command(string sql, object[] parameters)
    {
        NpgsqlCommand command = direct.CreateCommand(sql);
        foreach (object parameter in parameters) command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        return command;
    }
}
