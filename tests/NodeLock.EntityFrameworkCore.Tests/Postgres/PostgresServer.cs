using System.Collections.Concurrent;
using Npgsql;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// A PostgreSQL server for tests: the one <see cref="ServerVariable"/> names, else a container where compiled in, else
/// a private cluster from the binaries of this machine. What was started is gone after <see cref="DisposeAsync"/>, as
/// are the databases that were made.
/// </summary>
public abstract class PostgresServer : IAsyncDisposable
{
    /// <summary>The environment variable with the connection string of a server to use as it is.</summary>
    public const string ServerVariable = "NODELOCK_TEST_POSTGRES";

    // Nothing of somebody's own server is ever dropped: only names that begin so are.
    private const string Prefix = "nodelock_test_";

    private readonly ConcurrentDictionary<string, string> databases = new(StringComparer.Ordinal);
    private NpgsqlConnectionStringBuilder? administration;

    public string Host => Administration.Host ?? "";

    public int Port => Administration.Port;

    public Version Version { get; private set; } = new();

    /// <summary>The version as the server words it.</summary>
    public string VersionText { get; private set; } = "";

    /// <summary>Leads to the server's maintenance database.</summary>
    public string ConnectionString => Administration.ConnectionString;

    private NpgsqlConnectionStringBuilder Administration
        => administration ?? throw new InvalidOperationException("The server has not started.");

    public static async Task<PostgresServer> ObtainAsync()
    {
        string? existing = Environment.GetEnvironmentVariable(ServerVariable);
        if (!string.IsNullOrEmpty(existing))
            return await ExistingServer.UseAsync(existing);
#if TESTCONTAINERS
        return await ContainerPostgres.StartNewAsync();
#else
        return await PrivateCluster.StartNewAsync();
#endif
    }

    /// <summary>Leads to a database of this server by its full name.</summary>
    public string ConnectionStringTo(string database)
        => new NpgsqlConnectionStringBuilder(ConnectionString) { Database = database }.ConnectionString;

    /// <summary>
    /// Makes an empty database, in place of one with the same name, and returns a connection string that leads to it.
    /// </summary>
    /// <param name="name">A short name; the server's name for it is <c>nodelock_test_{name}</c>.</param>
    /// <param name="settings">
    /// Defaults for every session of this database, as <c>ALTER DATABASE … SET</c> takes them: for one
    /// <c>("default_transaction_isolation", "serializable")</c>.
    /// </param>
    public async Task<string> CreateDatabaseAsync(string name, params (string Setting, string Value)[] settings)
    {
        string database = Prefix + name;
        string quoted = Quote(database);
        await DropDatabaseAsync(name);

        // template0, because template1 cannot be copied while anybody is connected to it.
        List<string> statements = [$"CREATE DATABASE {quoted} TEMPLATE template0"];
        foreach ((string setting, string value) in settings)
        {
            string literal = value.Replace("'", "''", StringComparison.Ordinal);
            statements.Add($"ALTER DATABASE {quoted} SET {Quote(setting)} = '{literal}'");
        }

        await ExecuteAsync([.. statements]);
        string connectionString = ConnectionStringTo(database);
        databases[name] = connectionString;
        return connectionString;
    }

    /// <summary>Drops a database made here, and ends the sessions it has; nothing happens when there is none.</summary>
    public async Task DropDatabaseAsync(string name)
    {
        if (databases.TryRemove(name, out string? connectionString))
        {
            await using var connection = new NpgsqlConnection(connectionString);
            NpgsqlConnection.ClearPool(connection);
        }

        await ExecuteAsync($"DROP DATABASE IF EXISTS {Quote(Prefix + name)} WITH (FORCE)");
    }

    public async ValueTask DisposeAsync()
    {
        await EndAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Takes note of where the server is, and asks it for its version.</summary>
    protected async Task AttachAsync(string connectionString)
    {
        administration = new NpgsqlConnectionStringBuilder(connectionString);
        administration.Database ??= "postgres";
        await using NpgsqlConnection connection = await OpenAdministrationAsync();
        Version = connection.PostgreSqlVersion;
        VersionText = connection.ServerVersion;
    }

    /// <summary>Removes what was started.</summary>
    protected abstract ValueTask EndAsync();

    /// <summary>Drops what was made on a server that stays.</summary>
    protected async Task DropDatabasesAsync()
    {
        foreach (string name in databases.Keys)
            await DropDatabaseAsync(name);
    }

    /// <summary>Closes the pooled sessions of the databases made here: their server is gone.</summary>
    protected void ForgetDatabases()
    {
        foreach (string connectionString in databases.Values)
        {
            using var connection = new NpgsqlConnection(connectionString);
            NpgsqlConnection.ClearPool(connection);
        }

        databases.Clear();
    }

    private static string Quote(string identifier)
    {
        using var builder = new NpgsqlCommandBuilder();
        return builder.QuoteIdentifier(identifier);
    }

    private async Task ExecuteAsync(params string[] statements)
    {
        await using NpgsqlConnection connection = await OpenAdministrationAsync();
        foreach (string statement in statements)
        {
            await using var command = new NpgsqlCommand(statement, connection);
            await command.ExecuteNonQueryAsync();
        }
    }

    private async Task<NpgsqlConnection> OpenAdministrationAsync()
    {
        var builder = new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false };
        var connection = new NpgsqlConnection(builder.ConnectionString);
        await connection.OpenAsync();
        return connection;
    }
}
