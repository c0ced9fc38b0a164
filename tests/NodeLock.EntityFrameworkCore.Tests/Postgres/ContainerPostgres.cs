#if TESTCONTAINERS
using Testcontainers.PostgreSql;

namespace NodeLock.Tests.Postgres;

/// <summary>A server in a container; the container's own reaper removes it when this process is killed.</summary>
public sealed class ContainerPostgres : PostgresServer
{
    // The builder starts its servers with fsync, full_page_writes and synchronous_commit off, and the tests are about
    // what a commit promises. Of two settings on a server's command line the later one counts.
    private readonly PostgreSqlContainer container = new PostgreSqlBuilder("postgres:17")
        .WithCommand("-c", "fsync=on", "-c", "full_page_writes=on", "-c", "synchronous_commit=on")
        .WithCommand("-c", "max_connections=300")
        .Build();

    private ContainerPostgres()
    {
    }

    public static async Task<ContainerPostgres> StartNewAsync()
    {
        var server = new ContainerPostgres();
        try
        {
            await server.container.StartAsync();
            await server.AttachAsync(server.container.GetConnectionString());
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }

        return server;
    }

    protected override async ValueTask EndAsync()
    {
        ForgetDatabases();
        await container.DisposeAsync();
    }
}
#endif
