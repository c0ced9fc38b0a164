using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace NodeLock.Tests.Postgres;

/// <summary>Where the servers that the tests start are found on this machine.</summary>
public static class Executables
{
    public const string BinVariable = "NODELOCK_TEST_POSTGRES_BIN";

    /// <summary>The file that would run for this name; null when there is none.</summary>
    public static string? Find(string name)
    {
        // Debian keeps servers in sbin, which is not on everybody's path.
        string path = $"{Environment.GetEnvironmentVariable("PATH")}{Path.PathSeparator}/usr/sbin";
        return path.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(directory => Path.Combine(directory, name))
            .FirstOrDefault(File.Exists);
    }

    /// <summary>The directory that has initdb, postgres and pg_ctl.</summary>
    /// <exception cref="InvalidOperationException">None has; the message says what to do.</exception>
    public static string PostgresBin()
    {
        string? wanted = Environment.GetEnvironmentVariable(BinVariable);
        if (!string.IsNullOrEmpty(wanted))
        {
            return IsPostgresBin(wanted)
                ? wanted
                : throw new InvalidOperationException(
                    $"{BinVariable} is '{wanted}', which has no initdb, postgres and pg_ctl.");
        }

        IEnumerable<string?> candidates = [Path.GetDirectoryName(Find("initdb")), PgConfigBin(), .. PackagedBins()];
        return candidates.FirstOrDefault(IsPostgresBin) ?? throw new InvalidOperationException(
            "The tests need PostgreSQL 14 or later. Install it (apt-get install postgresql), or set "
            + $"{BinVariable} to a directory with initdb, postgres and pg_ctl, or set "
            + $"{PostgresServer.ServerVariable} to the connection string of a server on which databases may be made.");
    }

    /// <summary>A TCP port of the loopback address that nobody listens on at this moment.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static bool IsPostgresBin(string? directory)
        => directory is not null
            && Array.TrueForAll(["initdb", "postgres", "pg_ctl"], name => File.Exists(Path.Combine(directory, name)));

    private static string? PgConfigBin()
    {
        if (Find("pg_config") is not { } pgConfig)
            return null;
        using Process? process = Process.Start(
            new ProcessStartInfo(pgConfig, "--bindir") { RedirectStandardOutput = true, UseShellExecute = false });
        return process?.StandardOutput.ReadToEnd().Trim();
    }

    private static IEnumerable<string> PackagedBins()
    {
        const string Root = "/usr/lib/postgresql";
        return !Directory.Exists(Root)
            ? []
            : Directory.GetDirectories(Root)
                .OrderByDescending(directory => int.TryParse(Path.GetFileName(directory), out int major) ? major : 0)
                .Select(directory => Path.Combine(directory, "bin"));
    }
}
