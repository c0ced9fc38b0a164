using Npgsql;

namespace NodeLock.EntityFrameworkCore.Tests;

/// <summary>A database of its own for one test, dropped afterwards.</summary>
internal sealed class TestDatabase : IDisposable
{
    private readonly string name = $"nodelock_test_{Guid.NewGuid():N}";

    public TestDatabase()
    {
        Run($"create database {this.name}");
        this.Connection = new NpgsqlConnection(this.ConnectionString);
        this.Connection.Open();
    }

    public string ConnectionString =>
        new NpgsqlConnectionStringBuilder(Server()) { Database = this.name, Pooling = false }.ConnectionString;

    public NpgsqlConnection Connection { get; }

    public void Execute(string sql)
    {
        using NpgsqlCommand command = new(sql, this.Connection);
        command.ExecuteNonQuery();
    }

    public string? Scalar(string sql)
    {
        using NpgsqlCommand command = new(sql, this.Connection);
        return command.ExecuteScalar()?.ToString();
    }

    public void Dispose()
    {
        this.Connection.Dispose();
        Run($"drop database {this.name} with (force)");
    }

    private static string Server() => Environment.GetEnvironmentVariable("NODELOCK_TEST_POSTGRES")
        ?? throw new InvalidOperationException("NODELOCK_TEST_POSTGRES names no server: Host=…;Username=…");

    private static void Run(string sql)
    {
        using NpgsqlConnection connection = new(Server());
        connection.Open();
        using NpgsqlCommand command = new(sql, connection);
        command.ExecuteNonQuery();
    }
}
