using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>A database with as many nodes as are asked for, and task managers on it.</summary>
internal sealed class BenchmarkDatabase : IAsyncDisposable
{
    private readonly string connectionString;
    private readonly NpgsqlDataSource administration;
    private readonly List<ServiceProvider> providers = [];

    private BenchmarkDatabase(string connectionString, int nodes)
    {
        this.connectionString = connectionString;
        administration = NpgsqlDataSource.Create(connectionString);
        Nodes = [.. Enumerable.Range(1, nodes).Select(n => (NodeId)n)];
    }

    public IReadOnlyList<NodeId> Nodes { get; }

    public static async Task<BenchmarkDatabase> CreateAsync(PostgresServer server, string name, int nodes)
    {
        string plain = await server.CreateDatabaseAsync(name);
        string prepared = new NpgsqlConnectionStringBuilder(plain) { MaxAutoPrepare = 20 }.ConnectionString;
        var database = new BenchmarkDatabase(prepared, nodes);
        var options = new DbContextOptionsBuilder<BenchmarkContext>();
        database.Configure(options);
        await using (var context = new BenchmarkContext(options.Options)) await context.Database.EnsureCreatedAsync();
        await database.ExecuteAsync(
            $"insert into {BenchmarkContext.Table} (id) select generate_series(1, {nodes})");
        return database;
    }

    /// <summary>A task manager on contexts from a pool.</summary>
    public TaskManager OnPooledContexts() =>
        TaskManager(services => services.AddPooledDbContextFactory<BenchmarkContext>(Configure));

    /// <summary>A task manager on contexts that are each made in a fresh scope.</summary>
    public TaskManager OnScopedContexts() =>
        TaskManager(services => services.AddDbContext<BenchmarkContext>(Configure));

    /// <summary>A pool of connections with the same settings.</summary>
    public NpgsqlDataSource DataSource() => NpgsqlDataSource.Create(connectionString);

    public async Task ExecuteAsync(string sql)
    {
        await using NpgsqlCommand command = administration.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    public async Task<T> ScalarAsync<T>(string sql)
    {
        await using NpgsqlCommand command = administration.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync() ?? throw new InvalidOperationException($"No row: {sql}"));
    }

    /// <summary>Ends the task managers and their sessions.</summary>
    public async Task EndTaskManagersAsync()
    {
        foreach (ServiceProvider provider in providers) await provider.DisposeAsync();
        providers.Clear();
        var options = new DbContextOptionsBuilder<BenchmarkContext>();
        Configure(options);
        await using var context = new BenchmarkContext(options.Options);
        NpgsqlConnection.ClearPool((NpgsqlConnection)context.Database.GetDbConnection());
    }

    public async ValueTask DisposeAsync()
    {
        await EndTaskManagersAsync();
        await administration.DisposeAsync();
    }

    private void Configure(DbContextOptionsBuilder options) => options.UseNpgsql(connectionString);

    private TaskManager TaskManager(Action<IServiceCollection> addContexts)
    {
        var services = new ServiceCollection();
        addContexts(services);
        services.AddNodeLock().UseEntityFrameworkCore<BenchmarkContext>();
        ServiceProvider provider = services.BuildServiceProvider();
        providers.Add(provider);
        return provider.GetRequiredService<TaskManager>();
    }
}

internal sealed class BenchmarkContext(DbContextOptions<BenchmarkContext> options) : DbContext(options)
{
    public const string Table = "nodelock_nodes";
    public const string TokenSequence = "nodelock_fencing_token";

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddNodeLock();
}
