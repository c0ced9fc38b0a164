using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Service;

/// <summary>Two instances of the service on one database.</summary>
internal sealed class ServicePair(PostgresServer server, string database, ServiceProcess[] both) : IAsyncDisposable
{
    // A lease of three seconds leaves a machine under load the time for its heartbeats.
    public static readonly string[] ShortLease =
        ["NodeLock__LeaseDuration=00:00:03", "NodeLock__HeartbeatInterval=00:00:00.500"];

    public static readonly string[] Patient =
        ["NodeLock__NodeLockedRetryAttempts=200", "NodeLock__NodeLockedRetryInterval=00:00:00.100"];

    public IReadOnlyList<ServiceProcess> Both => both;

    public ServiceProcess Alpha => both[0];

    public ServiceProcess Beta => both[1];

    public static async Task<ServicePair> StartAsync(PostgresFixture postgres, string database,
        params string[] settings)
    {
        string connectionString = await postgres.Server.CreateDatabaseAsync(database);
        return new ServicePair(postgres.Server, database, await Task.WhenAll(
            ServiceProcess.StartAsync("alpha", connectionString, settings),
            ServiceProcess.StartAsync("beta", connectionString, settings)));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ServiceProcess service in both) await service.DisposeAsync();
        await server.DropDatabaseAsync(database);
    }
}
