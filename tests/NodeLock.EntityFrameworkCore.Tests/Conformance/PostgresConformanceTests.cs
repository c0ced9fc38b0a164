using Microsoft.EntityFrameworkCore;
using NodeLock.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Conformance;

/// <summary>PostgreSQL through EF Core, once for each type of key.</summary>
public abstract class PostgresConformance<TContext>(ConformanceDatabase database)
    : NodeLockRepositoryConformance, IClassFixture<ConformanceDatabase>
    where TContext : DbContext
{
    private Contexts? contexts;

    protected override async Task<INodeLockRepository> CreateAsync() => Open(contexts = new Contexts(
        new DbContextOptionsBuilder<TContext>().UseNpgsql(await database.EmptyAsync(MakeAsync)).Options));

    protected override INodeLockRepository OpenOther() =>
        new EntityFrameworkCoreNodeLockRepository(ContextSource.Of(contexts!), KindName.OfNames("others"));

    protected override Task EraseConductorAsync(string holder) =>
        database.ExecuteAsync("delete from nodelock_conductors where holder = $1", holder);

    private protected abstract INodeLockRepository Open(IDbContextFactory<TContext> contexts);

    private protected virtual Task AddNodesAsync(TContext context) => Task.CompletedTask;

    private async Task MakeAsync(string connectionString)
    {
        await using TContext context =
            new Contexts(new DbContextOptionsBuilder<TContext>().UseNpgsql(connectionString).Options).CreateDbContext();
        await context.Database.EnsureCreatedAsync();
        await AddNodesAsync(context);
    }

    private sealed class Contexts(DbContextOptions<TContext> options) : IDbContextFactory<TContext>
    {
        public TContext CreateDbContext() => (TContext)Activator.CreateInstance(typeof(TContext), options)!;
    }
}

/// <summary>One database for a class, emptied for each of its tests.</summary>
public sealed class ConformanceDatabase(PostgresFixture postgres) : IAsyncDisposable
{
    private readonly string name = $"conformance_{Guid.NewGuid():N}";
    private string? connectionString;

    public async Task<string> EmptyAsync(Func<string, Task> make)
    {
        if (connectionString is null) await make(connectionString = await postgres.Server.CreateDatabaseAsync(name));
        await ExecuteAsync("""
            do $$ declare name text; begin
              for name in select tablename from pg_tables where tablename like 'nodelock\_%' loop
                execute format('delete from %I', name);
              end loop;
            end $$
            """);
        return connectionString;
    }

    public async Task ExecuteAsync(string sql, params object[] parameters)
    {
        await using NpgsqlConnection connection = new(connectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(sql, connection);
        foreach (object parameter in parameters) command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        await command.ExecuteNonQueryAsync();
    }

    public async ValueTask DisposeAsync() => await postgres.Server.DropDatabaseAsync(name);
}

public sealed class NamesConformanceTests(ConformanceDatabase database) : PostgresConformance<NamesContext>(database)
{
    protected override IReadOnlyList<NodeId> Nodes { get; } = [new("a"), new("b"), new("c")];

    protected override NodeId? Missing => null;

    private protected override INodeLockRepository Open(IDbContextFactory<NamesContext> contexts) =>
        EntityFrameworkCoreNodeLockRepository.For(contexts);
}

public sealed class TextKeyConformanceTests(ConformanceDatabase database)
    : EntityConformance<TextThing, string>(database, "a", "b", "c")
{
    protected override NodeId? Missing => new("missing");

    protected override NodeId IdOf(string key) => new(key);
}

public sealed class GuidKeyConformanceTests(ConformanceDatabase database) : EntityConformance<GuidThing, Guid>(
    database, Guid.Parse("11111111-aaaa-4bbb-8ccc-000000000000"), Guid.Parse("22222222-aaaa-4bbb-8ccc-000000000000"),
    Guid.Parse("33333333-aaaa-4bbb-8ccc-000000000000"))
{
    protected override NodeId? Missing => Guid.Empty;

    protected override NodeId IdOf(Guid key) => key;
}

public sealed class IntKeyConformanceTests(ConformanceDatabase database)
    : EntityConformance<IntThing, int>(database, -1, 2, 10)
{
    protected override NodeId? Missing => 4711;

    protected override NodeId IdOf(int key) => key;
}

public sealed class LongKeyConformanceTests(ConformanceDatabase database)
    : EntityConformance<LongThing, long>(database, -1, 2, long.MaxValue)
{
    protected override NodeId? Missing => 4711;

    protected override NodeId IdOf(long key) => key;
}

/// <summary>Nodes that are the rows of an entity.</summary>
public abstract class EntityConformance<TThing, TKey>(ConformanceDatabase database, params TKey[] keys)
    : PostgresConformance<ThingsContext<TThing>>(database)
    where TThing : Thing<TKey>, new()
{
    protected override IReadOnlyList<NodeId> Nodes => [.. keys.Select(IdOf)];

    protected abstract NodeId IdOf(TKey key);

    private protected override INodeLockRepository Open(IDbContextFactory<ThingsContext<TThing>> contexts) =>
        EntityFrameworkCoreNodeLockRepository.For<ThingsContext<TThing>, TThing>(contexts);

    private protected override async Task AddNodesAsync(ThingsContext<TThing> context)
    {
        context.AddRange(keys.Select(key => new TThing { Id = key }));
        await context.SaveChangesAsync();
    }
}

public sealed class NamesContext(DbContextOptions<NamesContext> options) : DbContext(options)
{
    protected override void OnModelCreating(ModelBuilder modelBuilder) =>
        modelBuilder.AddNodeLock().AddNodeLock("others");
}

public sealed class ThingsContext<TThing>(DbContextOptions<ThingsContext<TThing>> options) : DbContext(options)
    where TThing : class
{
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<TThing>().Property("Id").ValueGeneratedNever();
        modelBuilder.AddNodeLock<TThing>().AddNodeLock("others");
    }
}

public abstract class Thing<TKey>
{
    public TKey Id { get; set; } = default!;
}

public sealed class TextThing : Thing<string>;

public sealed class GuidThing : Thing<Guid>;

public sealed class IntThing : Thing<int>;

public sealed class LongThing : Thing<long>;
