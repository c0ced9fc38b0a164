using Npgsql;

namespace NodeLock.EntityFrameworkCore.Tests;

/// <summary>A database of its own for one test, dropped afterwards.</summary>
internal sealed class TestDatabase : IDisposable
{
    private readonly string name = $"nodelock_test_{Guid.NewGuid():N}";

    private readonly string server;

    public TestDatabase(string server)
    {
        this.server = server;
        Run($"create database {name}");
        Connection = new NpgsqlConnection(ConnectionString);
        Connection.Open();
    }

    public string ConnectionString =>
        new NpgsqlConnectionStringBuilder(server) { Database = name, Pooling = false }.ConnectionString;

    public NpgsqlConnection Connection { get; }

    public void Execute(string sql)
    {
        using NpgsqlCommand command = new(sql, Connection);
        command.ExecuteNonQuery();
    }

    public string? Scalar(string sql)
    {
        using NpgsqlCommand command = new(sql, Connection);
        return command.ExecuteScalar()?.ToString();
    }

    public void Dispose()
    {
        Connection.Dispose();
        Run($"drop database {name} with (force)");
    }

    private void Run(string sql)
    {
        using NpgsqlConnection connection = new(server);
        connection.Open();
        using NpgsqlCommand command = new(sql, connection);
        command.ExecuteNonQuery();
    }
}
