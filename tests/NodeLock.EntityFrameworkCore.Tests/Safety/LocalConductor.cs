using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace NodeLock.Tests.Safety;

/// <summary>A conductor in this process, made by the container as in a service.</summary>
internal sealed class LocalConductor : IAsyncDisposable
{
    private readonly ServiceProvider services;

    private LocalConductor(ConductorSettings settings, TextWriter? echo)
    {
        Settings = settings;
        Log = new ConductorLog(echo);
        ServiceCollection collection = new();
        collection.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Warning).AddProvider(Log))
            .AddPooledDbContextFactory<YardContext>(context => context.UseNpgsql(settings.ConnectionString));
        NodeLockBuilder builder = collection.AddNodeLock(options =>
        {
            options.ConductorName = settings.Name;
            options.LeaseDuration = settings.Lease;
            options.HeartbeatInterval = settings.Heartbeat;
            options.ReleaseTimeout = settings.ReleaseTimeout;
            options.ListenForReleases = settings.Listens;
            options.ListenConnectionString = settings.ListenConnectionString;
            options.GroupsStatements = settings.Groups;
        });
        _ = (settings.Fault, settings.Kind) switch
        {
            (RepositoryFault.CheckThenAct, _) => builder.UseRepository(provider =>
                new CheckThenActRepository(RightOne(provider), settings.ConnectionString)),
            (RepositoryFault.TokenResetOnRelease, _) => builder.UseRepository(provider =>
                new TokenResetRepository(RightOne(provider), settings.ConnectionString)),
            (RepositoryFault.ReleaseOfEntryByHolder, _) => builder.UseRepository(provider =>
                new ReleaseOfEntryByHolderRepository(RightOne(provider), settings.ConnectionString)),
            (RepositoryFault.BlindAnswer, _) => builder.UseRepository(provider =>
                new BlindAnswerRepository(RightOne(provider))),
            (_, NodeKind.Machines) => builder.UseEntityFrameworkCore<YardContext, YardContext.Machine>(),
            (_, NodeKind.Racks) => builder.UseEntityFrameworkCore<YardContext, YardContext.Rack>(),
            _ => builder.UseEntityFrameworkCore<YardContext>(),
        };
        if (settings.HasFence) builder.AddFence<YardFence>();
        services = collection.BuildServiceProvider(new ServiceProviderOptions { ValidateScopes = true });
        Manager = services.GetRequiredService<TaskManager>();
    }

    public ConductorSettings Settings { get; }

    public ConductorLog Log { get; }

    public TaskManager Manager { get; }

    /// <summary>Starts it as the host would; it registers in the background.</summary>
    public static async Task<LocalConductor> StartAsync(ConductorSettings settings, TextWriter? echo = null)
    {
        LocalConductor conductor = new(settings, echo);
        foreach (IHostedLifecycleService service in conductor.services.GetServices<IHostedService>()
            .OfType<IHostedLifecycleService>())
            await service.StartingAsync(CancellationToken.None);
        return conductor;
    }

    public ValueTask DisposeAsync() => services.DisposeAsync();

    private static EntityFrameworkCoreNodeLockRepository RightOne(IServiceProvider provider) =>
        EntityFrameworkCoreNodeLockRepository.For(provider.GetRequiredService<IDbContextFactory<YardContext>>());
}
