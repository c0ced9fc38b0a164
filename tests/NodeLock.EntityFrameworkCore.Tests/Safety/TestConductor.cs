using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>
/// A conductor in this process, registered as a service registers it, with its log. Leases are long and heartbeats rare
/// unless its setup says otherwise.
/// </summary>
internal sealed class TestConductor : IAsyncDisposable
{
    private readonly ServiceProvider services;

    private TestConductor(ServiceProvider services, LogLines log)
    {
        this.services = services;
        Log = log;
        Manager = services.GetRequiredService<TaskManager>();
        Repository = services.GetRequiredService<INodeLockRepository>();
    }

    public TaskManager Manager { get; }

    public LogLines Log { get; }

    /// <summary>What the task manager speaks to, decoration included.</summary>
    public INodeLockRepository Repository { get; }

    public string Holder => Manager.Holder;

    public static TestConductor Create(string connectionString, ConductorSetup setup)
    {
        LogLines log = new();
        ServiceCollection registrations = new();
        registrations.AddSingleton<ILoggerFactory>(log);
        registrations.AddSingleton(setup.TimeProvider);
        registrations.AddPooledDbContextFactory<FleetContext>(o => o.UseNpgsql(connectionString, setup.Npgsql));
        NodeLockBuilder builder = registrations.AddNodeLock(o =>
        {
            o.ConductorName = setup.Name;
            o.LeaseDuration = TimeSpan.FromMinutes(5);
            o.HeartbeatInterval = TimeSpan.FromSeconds(20);
            o.ReleaseTimeout = TimeSpan.FromSeconds(20);
            setup.Options(o);
        }).UseRepository(provider =>
        {
            var contexts = provider.GetRequiredService<IDbContextFactory<FleetContext>>();
            return setup.Decorate(setup.NodesAreMachines
                ? EntityFrameworkCoreNodeLockRepository.For<FleetContext, Machine>(contexts)
                : EntityFrameworkCoreNodeLockRepository.For(contexts));
        });
        if (setup.Fence is { } fence)
        {
            registrations.AddSingleton(fence);
            builder.AddFence<GivenFence>();
        }

        return new TestConductor(registrations.BuildServiceProvider(), log);
    }

    /// <summary>An acquire that asks once.</summary>
    public async Task<TaskScope> AcquireOnceAsync(NodeId node, string purpose = "test") =>
        await Manager.AcquireAsync(node, new AcquireOptions { Purpose = purpose, Retry = LockRetry.None })
            .WithinLimit();

    /// <summary>An acquire that asks until it has the node.</summary>
    public async Task<TaskScope> AcquirePatientlyAsync(NodeId node, string purpose = "test") =>
        await Manager.AcquireAsync(node, new AcquireOptions { Purpose = purpose, Retry = Patient }).WithinLimit();

    /// <summary>An acquire in either mode that asks until it has the node.</summary>
    public async Task<TaskScope> AcquirePatientlyAsync(NodeId node, ReservationMode mode) =>
        await Manager.AcquireAsync(node, new AcquireOptions { Purpose = "test", Mode = mode, Retry = Patient })
            .WithinLimit();

    /// <summary>An acquire that is called again while the database is away.</summary>
    public async Task<TaskScope> AcquireWhenBackAsync(NodeId node, string purpose = "test")
    {
        for (long began = TimeProvider.System.GetTimestamp(); ;)
        {
            try
            {
                return await AcquirePatientlyAsync(node, purpose);
            }
            catch (NpgsqlException) when (TimeProvider.System.GetElapsedTime(began) < Tests.Eventually.Limit)
            {
            }
        }
    }

    /// <summary>One that shares the node, and asks until it may.</summary>
    public async Task<TaskScope> SharePatientlyAsync(NodeId node, string purpose = "read") =>
        await Manager.AcquireAsync(node, new AcquireOptions
        {
            Purpose = purpose,
            Mode = ReservationMode.Shared,
            Retry = Patient,
        }).WithinLimit();

    /// <summary>One that shares the node, and asks once.</summary>
    public async Task<TaskScope> ShareOnceAsync(NodeId node, string purpose = "read") =>
        await Manager.AcquireAsync(node, new AcquireOptions
        {
            Purpose = purpose,
            Mode = ReservationMode.Shared,
            Retry = LockRetry.None,
        }).WithinLimit();

    public static LockRetry Patient { get; } = new(int.MaxValue, TimeSpan.FromMilliseconds(50));

    /// <summary>Waits for a log entry with this id.</summary>
    public Task LoggedAsync(int id, int times = 1) =>
        Tests.Eventually.TrueAsync(() => Log.With(id).Count >= times, $"{times} log entries with id {id}");

    public ValueTask DisposeAsync() => services.DisposeAsync();

    private sealed class GivenFence(Func<NodeToFence, CancellationToken, Task> fence) : INodeFence
    {
        public Task FenceAsync(NodeToFence node, CancellationToken cancellationToken) => fence(node, cancellationToken);
    }
}
