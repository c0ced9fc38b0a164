namespace NodeLock.Tests.Postgres;

/// <summary>A server that somebody else runs; only the databases made on it are removed.</summary>
public sealed class ExistingServer : PostgresServer
{
    private ExistingServer()
    {
    }

    public static async Task<ExistingServer> UseAsync(string connectionString)
    {
        var server = new ExistingServer();
        await server.AttachAsync(connectionString);
        return server;
    }

    protected override async ValueTask EndAsync() => await DropDatabasesAsync();
}
