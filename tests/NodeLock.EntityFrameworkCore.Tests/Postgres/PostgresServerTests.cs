using Npgsql;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class PostgresServerTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_database_has_the_settings_it_was_made_with()
    {
        string connectionString = await postgres.Server.CreateDatabaseAsync(
            "settings", ("default_transaction_isolation", "serializable"), ("synchronous_commit", "off"));

        Assert.Equal("serializable", await ScalarAsync(connectionString, "SHOW transaction_isolation"));
        Assert.Equal("off", await ScalarAsync(connectionString, "SHOW synchronous_commit"));
        await postgres.Server.DropDatabaseAsync("settings");
    }

    [Fact]
    public async Task A_database_made_again_is_empty()
    {
        string connectionString = await postgres.Server.CreateDatabaseAsync("again");
        await ScalarAsync(connectionString, "CREATE TABLE left_over ()");

        connectionString = await postgres.Server.CreateDatabaseAsync("again");

        Assert.Equal(DBNull.Value, await ScalarAsync(connectionString, "SELECT to_regclass('left_over')::text"));
        await postgres.Server.DropDatabaseAsync("again");
    }

    [Fact]
    public async Task A_dropped_database_is_gone_even_while_somebody_is_connected()
    {
        string connectionString = await postgres.Server.CreateDatabaseAsync("gone");
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();

        await postgres.Server.DropDatabaseAsync("gone");

        await using var other = new NpgsqlConnection(connectionString);
        var missing = await Assert.ThrowsAsync<PostgresException>(() => other.OpenAsync());
        Assert.Equal(PostgresErrorCodes.InvalidCatalogName, missing.SqlState);
    }

    [Fact]
    public async Task A_server_that_exists_already_is_left_as_it_was_found()
    {
        string connectionString;
        await using (ExistingServer server = await ExistingServer.UseAsync(postgres.Server.ConnectionString))
        {
            Assert.Equal(postgres.Server.Version, server.Version);
            connectionString = await server.CreateDatabaseAsync("existing");
            await ScalarAsync(connectionString, "SELECT 1");
        }

        await Assert.ThrowsAsync<PostgresException>(() => ScalarAsync(connectionString, "SELECT 1"));
        Assert.Equal(1, await ScalarAsync(postgres.Server.ConnectionString, "SELECT 1"));
    }

    private static async Task<object?> ScalarAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }
}
