using Npgsql;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class PrivateClusterTests
{
    [Theory]
    [InlineData(ClusterStop.Fast)]
    [InlineData(ClusterStop.Immediate)]
    [InlineData(ClusterStop.Kill)]
    public async Task What_was_committed_is_there_after_the_server_was_stopped(ClusterStop stop)
    {
        await using PrivateCluster cluster = await PrivateCluster.StartNewAsync();
        string connectionString = await cluster.CreateDatabaseAsync("outage");
        await ExecuteAsync(connectionString, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");

        await cluster.StopAsync(stop);
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => ExecuteAsync(connectionString, "SELECT 1"));
        await cluster.StartAsync();

        Assert.Equal(1, await ExecuteAsync(connectionString, "SELECT n FROM kept"));
    }

    [Fact]
    public async Task Commits_are_durable()
    {
        await using PrivateCluster cluster = await PrivateCluster.StartNewAsync();

        Assert.Equal("on", await ExecuteAsync(cluster.ConnectionString, "SHOW fsync"));
        Assert.Equal("on", await ExecuteAsync(cluster.ConnectionString, "SHOW synchronous_commit"));
        Assert.True(cluster.Version.Major >= 14);
    }

    [Fact]
    public async Task Nothing_is_left_of_a_disposed_cluster()
    {
        PrivateCluster cluster = await PrivateCluster.StartNewAsync(("autovacuum", "off"));
        var directory = (string?)await ExecuteAsync(cluster.ConnectionString, "SHOW data_directory");
        Assert.Equal("off", await ExecuteAsync(cluster.ConnectionString, "SHOW autovacuum"));
        Assert.True(Directory.Exists(directory));

        await cluster.DisposeAsync();

        Assert.False(Directory.Exists(directory));
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => ExecuteAsync(cluster.ConnectionString, "SELECT 1"));
    }

    private static async Task<object?> ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }
}
