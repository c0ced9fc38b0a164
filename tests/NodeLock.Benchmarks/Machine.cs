using System.Globalization;
using System.Runtime.InteropServices;
using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>What a reader must know of where the figures come from.</summary>
internal static class Machine
{
    private static readonly string[] Settings =
        ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers"];

    public static async Task<IReadOnlyList<string>> FactsAsync(PostgresServer server) =>
    [
        $"{Environment.ProcessorCount} processors{Model()}, {Memory()} of memory, {RuntimeInformation.OSDescription}",
        $".NET {Environment.Version}, Npgsql {VersionOf(typeof(NpgsqlConnection))}, "
            + $"EF Core {VersionOf(typeof(Microsoft.EntityFrameworkCore.DbContext))}",
        $"PostgreSQL {server.Version} on the same machine: {await SettingsAsync(server)}",
    ];

    private static string Model()
    {
        const string Information = "/proc/cpuinfo";
        string? line = File.Exists(Information)
            ? File.ReadLines(Information).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))
            : null;
        return line is null ? "" : $" ({line[(line.IndexOf(':') + 1)..].Trim()})";
    }

    private static string Memory() => string.Create(CultureInfo.InvariantCulture,
        $"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30):0} GiB");

    private static string VersionOf(Type type) => type.Assembly.GetName().Version?.ToString(3) ?? "";

    private static async Task<string> SettingsAsync(PostgresServer server)
    {
        await using var connection = new NpgsqlConnection(
            new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        List<string> settings = [];
        foreach (string setting in Settings)
        {
            await using var command = new NpgsqlCommand($"show {setting}", connection);
            settings.Add($"`{setting} = {await command.ExecuteScalarAsync()}`");
        }

        return string.Join(", ", settings);
    }
}
