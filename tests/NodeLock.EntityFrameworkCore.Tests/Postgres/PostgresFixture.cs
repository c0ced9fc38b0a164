using NodeLock.Tests.Postgres;
using Xunit;

[assembly: AssemblyFixture(typeof(PostgresFixture))]

namespace NodeLock.Tests.Postgres;

/// <summary>One server for the whole test run; each test class makes databases of its own on it.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    private PostgresServer? server;

    public PostgresServer Server => server ?? throw new InvalidOperationException("The server has not started.");

    public async ValueTask InitializeAsync()
    {
        server = await PostgresServer.ObtainAsync();
        string version = $"PostgreSQL {server.VersionText}";
        Console.WriteLine(version);
        TestContext.Current.SendDiagnosticMessage(version);
    }

    public async ValueTask DisposeAsync()
    {
        if (server is not null)
            await server.DisposeAsync();
    }
}
