using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Microsoft.EntityFrameworkCore.Metadata.Conventions;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;

namespace NodeLock.Tests;

/// <summary>How a service may be set up, and what it is told where that is wrong.</summary>
public sealed class SetupTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("set up");

    [Fact]
    public async Task A_missing_migration_is_one_error_in_the_log_and_each_acquire_says_what_to_run()
    {
        await Fleet.ExecuteAsync("alter table nodelock_nodes rename to elsewhere");
        TestConductor a = Fleet.Create(new ConductorSetup { Options = ConductorSetup.Hurried });

        for (int i = 0; i < 3; i++)
        {
            InvalidOperationException refusal =
                await Assert.ThrowsAsync<InvalidOperationException>(() => a.AcquireOnceAsync(Node));
            Assert.Contains("table nodelock_nodes is missing", refusal.Message, StringComparison.Ordinal);
            Assert.Contains("dotnet ef database update", refusal.Message, StringComparison.Ordinal);
        }

        LogLine error = Assert.Single(a.Log.All, l => l.Level >= LogLevel.Error);
        Assert.Contains("table nodelock_nodes is missing", error.Message, StringComparison.Ordinal);

        await Fleet.ExecuteAsync("alter table elsewhere rename to nodelock_nodes");
        await a.LoggedAsync(31); // by itself
        await using TaskScope task = await a.AcquireOnceAsync(Node);
    }

    [Theory]
    [InlineData("alter table nodelock_nodes rename to elsewhere", "nodelock_nodes")]
    [InlineData("alter table nodelock_nodes rename reserved_at to since", "reserved_at")]
    public async Task A_migration_that_is_undone_later_is_named_as_well(string undo, string named)
    {
        TestConductor a = await Fleet.StartAsync();
        await Fleet.ExecuteAsync(undo);

        InvalidOperationException refusal =
            await Assert.ThrowsAsync<InvalidOperationException>(() => a.AcquireOnceAsync(Node));

        Assert.Contains(named, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("dotnet ef database update", refusal.Message, StringComparison.Ordinal);
        Assert.IsType<PostgresException>(refusal.InnerException);
    }

    [Fact]
    public async Task Another_provider_is_refused_at_start_by_name()
    {
        InvalidOperationException refusal = await RefusalAtStartAsync(
            services => services.AddDbContext<FleetContext>(
                o => o.UseNpgsql("Host=127.0.0.1").ReplaceService<IDatabaseProvider, AnotherProvider>()));

        Assert.Contains("FleetContext uses Another.Provider; NodeLock needs Npgsql.EntityFrameworkCore.PostgreSQL",
            refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_context_without_a_provider_is_refused_at_start()
    {
        InvalidOperationException refusal =
            await RefusalAtStartAsync(services => services.AddDbContext<FleetContext>());

        Assert.Contains("provider", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Text_that_is_not_of_the_keys_type_is_refused_and_names_both()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { NodesAreMachines = true });

        ArgumentException refusal =
            await Assert.ThrowsAsync<ArgumentException>(() => a.AcquireOnceAsync(new NodeId("machine one")));

        Assert.Contains("'machine one'", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("an integer of 32 bits", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("nodelock_machine", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(1L, await Fleet.ScalarAsync("select count(*) from nodelock_machine"));
    }

    [Theory]
    [InlineData("a pooled factory")]
    [InlineData("a factory")]
    [InlineData("a scoped factory")]
    [InlineData("a scope")]
    [InlineData("a pooled scope")]
    [InlineData("a data source")]
    public async Task Contexts_come_from(string source)
    {
        await using NpgsqlDataSource data = NpgsqlDataSource.Create(Fleet.ConnectionString);
        Action<DbContextOptionsBuilder> npgsql = o => o.UseNpgsql(Fleet.ConnectionString);
        await WorksAsync(services => _ = source switch
        {
            "a pooled factory" => services.AddPooledDbContextFactory<FleetContext>(npgsql),
            "a factory" => services.AddDbContextFactory<FleetContext>(npgsql),
            "a scoped factory" => services.AddDbContextFactory<FleetContext>(npgsql, ServiceLifetime.Scoped),
            "a scope" => services.AddDbContext<FleetContext>(npgsql),
            "a pooled scope" => services.AddDbContextPool<FleetContext>(npgsql),
            _ => services.AddDbContext<FleetContext>(o => o.UseNpgsql(data)),
        }, builder => builder.UseEntityFrameworkCore<FleetContext>());
    }

    [Fact]
    public async Task Tables_may_be_in_a_schema_of_their_own_and_be_renamed_by_a_convention()
    {
        await using (ShoutingContext context =
            new(new DbContextOptionsBuilder<ShoutingContext>().UseNpgsql(Fleet.ConnectionString).Options))
        {
            await Fleet.ExecuteAsync(context.Database.GenerateCreateScript());
        }

        await WorksAsync(
            services => services.AddDbContextFactory<ShoutingContext>(o => o.UseNpgsql(Fleet.ConnectionString)),
            builder => builder.UseEntityFrameworkCore<ShoutingContext>());

        Assert.Equal("left", await Fleet.ScalarAsync("""select "STATE" from "Elsewhere"."NODELOCK_CONDUCTORS" """));
        Assert.Equal(0L, await Fleet.ScalarAsync("select count(*) from nodelock_conductors"));
    }

    [Fact]
    public async Task A_second_kind_has_its_own_table_and_its_own_conductors()
    {
        LogLines log = new();
        ServiceCollection services = new();
        services.AddSingleton<ILoggerFactory>(log);
        services.AddDbContextFactory<FleetContext>(o => o.UseNpgsql(Fleet.ConnectionString));
        services.AddNodeLock().UseEntityFrameworkCore<FleetContext>();
        services.AddKeyedNodeLock("machines").UseEntityFrameworkCore<FleetContext, Machine>();
        await using ServiceProvider provider = services.BuildServiceProvider();
        int machine = await Fleet.AddMachineAsync();

        await using TaskScope name =
            await provider.GetRequiredService<TaskManager>().AcquireAsync(machine, "as a name").WithinLimit();
        await using TaskScope task = await provider.GetRequiredKeyedService<TaskManager>("machines")
            .AcquireAsync(machine, "as a machine").WithinLimit();

        Assert.NotEqual(name.FencingToken, task.FencingToken);
        Assert.Equal("nodelock_machine, nodelock_nodes",
            await Fleet.ScalarAsync("select string_agg(kind, ', ' order by kind) from nodelock_conductors"));
    }

    /// <summary>The password gets to the heartbeat's own connection, and into no log.</summary>
    [Theory]
    [InlineData("a connection string")]
    [InlineData("a data source")]
    [InlineData("a password provider")]
    public async Task A_password_comes_from(string source)
    {
        await using PrivateCluster cluster = await PrivateCluster.StartNewAsync();
        await using TestFleet fleet = await TestFleet.CreateAsync(await cluster.CreateDatabaseAsync("password"));
        await fleet.ExecuteAsync("""
            create role keeper login superuser password 'verysecret';
            create table hba (line text);
            insert into hba values ('host all keeper 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust');
            do $$ begin
              execute format('copy hba to %L', current_setting('hba_file'));
              perform pg_reload_conf();
            end $$;
            """);
        NpgsqlConnectionStringBuilder keeper = new(fleet.ConnectionString) { Username = "keeper", Pooling = false };
        await fleet.UntilAsync("select count(*) = 2 from pg_hba_file_rules");
        await using (NpgsqlConnection wrong = new($"{keeper};Password=wrong"))
        {
            Assert.Equal(PostgresErrorCodes.InvalidPassword,
                (await Assert.ThrowsAsync<PostgresException>(() => wrong.OpenAsync())).SqlState);
        }

        NpgsqlDataSourceBuilder builder = new(keeper.ConnectionString);
        if (source == "a data source") builder.ConnectionStringBuilder.Password = "verysecret";
        if (source == "a password provider")
            builder.UsePasswordProvider(_ => "verysecret", (_, _) => ValueTask.FromResult("verysecret"));
        await using NpgsqlDataSource data = builder.Build();

        LogLines log = await WorksAsync(services => services.AddDbContextFactory<FleetContext>(o => _ =
            source == "a connection string" ? o.UseNpgsql($"{keeper};Password=verysecret") : o.UseNpgsql(data)),
            b => b.UseEntityFrameworkCore<FleetContext>());

        Assert.DoesNotContain(log.All,
            l => $"{l.Message} {l.Exception}".Contains("verysecret", StringComparison.Ordinal));
    }

    /// <summary>Registers on the heartbeat's own connection, acquires, looks, releases and leaves.</summary>
    private static async Task<LogLines> WorksAsync(Action<IServiceCollection> addContexts,
        Func<NodeLockBuilder, NodeLockBuilder> use)
    {
        LogLines log = new();
        HostApplicationBuilder host = Host.CreateEmptyApplicationBuilder(null);
        host.Services.AddSingleton<ILoggerFactory>(log);
        addContexts(host.Services);
        use(host.Services.AddNodeLock(o => o.HeartbeatInterval = TimeSpan.FromMilliseconds(500)));
        using IHost running = host.Build();
        await running.StartAsync();
        TaskManager manager = running.Services.GetRequiredService<TaskManager>();

        await using (TaskScope task = await manager.AcquireAsync(Node, "test").WithinLimit())
        {
            Assert.Equal(task.FencingToken, (await manager.GetReservationAsync(Node))?.FencingToken);
            Assert.Equal(Node, Assert.Single(await manager.ListReservationsAsync()).NodeId);
            task.EnsureHeld();
        }

        Assert.Null(await manager.GetReservationAsync(Node));
        await running.StopAsync();
        Assert.DoesNotContain(log.All, l => l.Level >= LogLevel.Warning);
        return log;
    }

    private static async Task<InvalidOperationException> RefusalAtStartAsync(Action<IServiceCollection> addContexts)
    {
        HostApplicationBuilder host = Host.CreateEmptyApplicationBuilder(null);
        addContexts(host.Services);
        host.Services.AddNodeLock().UseEntityFrameworkCore<FleetContext>();
        using IHost running = host.Build();
        return await Assert.ThrowsAsync<InvalidOperationException>(() => running.StartAsync());
    }

    /// <summary>A model in a schema of its own, whose convention renames every table and column.</summary>
    private sealed class ShoutingContext(DbContextOptions<ShoutingContext> options) : DbContext(options)
    {
        protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder) =>
            configurationBuilder.Conventions.Add(_ => new Shouting());

        protected override void OnModelCreating(ModelBuilder modelBuilder) =>
            modelBuilder.HasDefaultSchema("Elsewhere").AddNodeLock();
    }

    private sealed class Shouting : IModelFinalizingConvention
    {
        public void ProcessModelFinalizing(IConventionModelBuilder modelBuilder,
            IConventionContext<IConventionModelBuilder> context)
        {
            foreach (IConventionEntityType type in modelBuilder.Metadata.GetEntityTypes())
            {
                IMutableEntityType table = (IMutableEntityType)type;
                table.SetTableName(table.GetTableName()!.ToUpperInvariant());
                foreach (string constraint in table.GetCheckConstraints().Select(c => c.ModelName).ToArray())
                    table.RemoveCheckConstraint(constraint);
                foreach (IMutableProperty column in table.GetProperties())
                    column.SetColumnName(column.GetColumnName().ToUpperInvariant());
            }
        }
    }

    /// <summary>A provider of which there is nothing but the name.</summary>
    private sealed class AnotherProvider : IDatabaseProvider
    {
        public string Name => "Another.Provider";

        public string Version => "1";

        public bool IsConfigured(IDbContextOptions options) => true;
    }
}
