using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.Extensions.DependencyInjection;
using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>A database with as many nodes as are asked for, and task managers on it.</summary>
internal sealed class BenchmarkDatabase : IAsyncDisposable
{
    private readonly PostgresServer server;
    private readonly string name;
    private readonly NpgsqlDataSource administration;
    private readonly List<ServiceProvider> providers = [];
    private readonly HashSet<string> pools = [];

    private BenchmarkDatabase(PostgresServer server, string name, string connectionString, int nodes)
    {
        (this.server, this.name) = (server, name);
        ConnectionString = connectionString;
        administration = DataSource("administration", mostConnections: 5);
        Nodes = [.. Enumerable.Range(1, nodes).Select(n => (NodeId)n)];
    }

    public string ConnectionString { get; }

    public string Name => new NpgsqlConnectionStringBuilder(ConnectionString).Database!;

    public IReadOnlyList<NodeId> Nodes { get; }

    // Connections that do not outlive what they are for, nor the database.
    private DbContextOptions<BenchmarkContext> Unpooled => new DbContextOptionsBuilder<BenchmarkContext>()
        .UseNpgsql(new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false }.ConnectionString).Options;

    public static async Task<BenchmarkDatabase> CreateAsync(PostgresServer server, string name, int nodes)
    {
        string plain = await server.CreateDatabaseAsync(name);
        string prepared = new NpgsqlConnectionStringBuilder(plain) { MaxAutoPrepare = 20 }.ConnectionString;
        var database = new BenchmarkDatabase(server, name, prepared, nodes);
        await using (BenchmarkContext context = database.Context()) await context.Database.EnsureCreatedAsync();
        await database.ExecuteAsync($"insert into {BenchmarkContext.Table} (id) select generate_series(1, {nodes})");
        return database;
    }

    /// <summary>For its model, and to make the tables.</summary>
    public BenchmarkContext Context() => new(Unpooled);

    /// <summary>A repository of which no task manager knows.</summary>
    public INodeLockRepository Repository() => EntityFrameworkCoreNodeLockRepository.For(
        new PooledDbContextFactory<BenchmarkContext>(Unpooled));

    /// <summary>A task manager on contexts from a pool; for the server, another process.</summary>
    public TaskManager TaskManager(
        Action<NodeLockOptions>? configure = null, Action<NpgsqlConnectionStringBuilder>? configurePool = null)
    {
        string pool = Pool(configurePool);
        return TaskManager(services => services.AddPooledDbContextFactory<BenchmarkContext>(
            options => options.UseNpgsql(pool)), configure);
    }

    /// <summary>A task manager on contexts that are each made in a fresh scope.</summary>
    public TaskManager TaskManagerOnScopes()
    {
        string pool = Pool(configure: null);
        return TaskManager(services => services.AddDbContext<BenchmarkContext>(
            options => options.UseNpgsql(pool)), configure: null);
    }

    /// <summary>A pool of connections with the same settings.</summary>
    public NpgsqlDataSource DataSource(string application = "raw", int mostConnections = 100) =>
        NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(ConnectionString)
        {
            ApplicationName = application,
            MaxPoolSize = mostConnections,
        });

    public async Task ExecuteAsync(string sql)
    {
        await using NpgsqlCommand command = administration.CreateCommand(sql);
        command.CommandTimeout = 300; // a million rows
        await command.ExecuteNonQueryAsync();
    }

    public async Task<T> ScalarAsync<T>(string sql)
    {
        await using NpgsqlCommand command = administration.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync() ?? throw new InvalidOperationException($"No row: {sql}"));
    }

    /// <summary>Ends the pooled sessions of the task managers that nobody has in hand.</summary>
    public void ClearPools()
    {
        foreach (string pool in pools)
        {
            using var connection = new NpgsqlConnection(pool);
            NpgsqlConnection.ClearPool(connection);
        }
    }

    /// <summary>Ends the task managers and their sessions.</summary>
    public async Task EndTaskManagersAsync()
    {
        foreach (ServiceProvider provider in providers) await provider.DisposeAsync();
        providers.Clear();
        ClearPools();
    }

    public async ValueTask DisposeAsync()
    {
        await EndTaskManagersAsync();
        await administration.DisposeAsync();
        await server.DropDatabaseAsync(name);
    }

    private TaskManager TaskManager(Action<IServiceCollection> addContexts, Action<NodeLockOptions>? configure)
    {
        var services = new ServiceCollection();
        addContexts(services);
        services.AddNodeLock(configure ?? (_ => { })).UseEntityFrameworkCore<BenchmarkContext>();
        ServiceProvider provider = services.BuildServiceProvider();
        providers.Add(provider);
        return provider.GetRequiredService<TaskManager>();
    }

    private string Pool(Action<NpgsqlConnectionStringBuilder>? configure)
    {
        NpgsqlConnectionStringBuilder settings = new(ConnectionString) { ApplicationName = "NodeLock pool" };
        configure?.Invoke(settings);
        pools.Add(settings.ConnectionString);
        return settings.ConnectionString;
    }
}

internal sealed class BenchmarkContext(DbContextOptions<BenchmarkContext> options) : DbContext(options)
{
    public const string Table = "nodelock_nodes";
    public const string TokenSequence = "nodelock_fencing_token";

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddNodeLock();
}
