using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace NodeLock.ConductorService;

/// <summary>Keeps machines and reservations in PostgreSQL if there is a connection string, else in memory; with
/// <c>Fleet:Fence</c>, the machines of an instance that died are switched off before they are free.</summary>
internal static class FleetRegistration
{
    public static void AddFleet(this WebApplicationBuilder builder)
    {
        IServiceCollection services = builder.Services;
        IConfigurationSection settings = builder.Configuration.GetSection("NodeLock");
        NodeLockBuilder nodeLock;
        if (builder.Configuration.GetConnectionString("NodeLock") is { Length: > 0 } database)
        {
            // What fails is told of by its exception. EF Core would log it as an error first, even where nothing is
            // wrong: the first migration of a database looks for the history of migrations, and there is none yet.
            services.AddPooledDbContextFactory<FleetContext>(options => options.UseNpgsql(database)
                .ConfigureWarnings(events => events.Log((RelationalEventId.CommandError, LogLevel.Debug),
                    (RelationalEventId.ConnectionError, LogLevel.Debug),
                    (CoreEventId.QueryIterationFailed, LogLevel.Debug))));
            services.AddSingleton<IFleet, DatabaseFleet>();
            services.AddHostedService<SchemaMigration>(); // before NodeLock, whose conductor starts on these tables
            nodeLock = services.AddNodeLock(settings).UseEntityFrameworkCore<FleetContext, Node>();
        }
        else
        {
            services.AddSingleton<IFleet, MemoryFleet>();
            nodeLock = services.AddNodeLock(settings)
                .UseInMemory(Node.Simulated.Select(node => new NodeId(node.Id)));
        }

        if (builder.Configuration.GetValue<bool>("Fleet:Fence")) nodeLock.AddFence<SimulatedFence>();
    }
}
