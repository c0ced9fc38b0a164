using System.Diagnostics;
using System.Globalization;
using Npgsql;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// A PgBouncer with transaction pooling in front of a server: every transaction may run in another session, so nothing
/// of a session (advisory locks, LISTEN, SET) survives a commit.
/// </summary>
public sealed class PgBouncer : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan StartInterval = TimeSpan.FromMilliseconds(20);
    private static readonly Version PreparedSince = new(1, 21);

    private readonly Warden warden;
    private readonly string serverConnectionString;
    private readonly int port;

    private PgBouncer(Warden warden, string serverConnectionString, Version version, int port)
    {
        this.warden = warden;
        this.serverConnectionString = serverConnectionString;
        this.port = port;
        Version = version;
    }

    public Version Version { get; }

    /// <summary>Whether it keeps track of prepared statements; else its clients must prepare none.</summary>
    public bool KeepsPreparedStatements => Version >= PreparedSince;

    /// <summary>Leads through this bouncer to the database of the connection string that it was started with.</summary>
    public string ConnectionString => ConnectionStringTo(serverConnectionString);

    /// <param name="serverConnectionString">Leads to the server; every database of it can be reached.</param>
    /// <param name="poolSize">Sessions on the server for each database.</param>
    public static async Task<PgBouncer> StartNewAsync(string serverConnectionString, int poolSize = 20)
    {
        string executable = Executables.Find("pgbouncer") ?? throw new InvalidOperationException(
            "The tests need PgBouncer on the path. Install it: apt-get install pgbouncer");
        Version version = await ReadVersionAsync(executable);
        Warden home = await Warden.StartAsync("kill -9 $bouncer; wait", Warden.ServerAccount());
        try
        {
            int freePort = Executables.FreePort();
            string[] settings = Settings(serverConnectionString, version, freePort, poolSize);
            await home.RunAsync($"printf '%s\\n' {string.Join(' ', settings.Select(Warden.Quote))} > pgbouncer.ini");
            await home.RunAsync($"{Warden.Quote(executable)} pgbouncer.ini > log 2>&1 & bouncer=$!");
            var bouncer = new PgBouncer(home, serverConnectionString, version, freePort);
            await bouncer.WaitUntilUpAsync();
            return bouncer;
        }
        catch
        {
            await home.DisposeAsync();
            throw;
        }
    }

    /// <summary>The same connection string, through this bouncer.</summary>
    public string ConnectionStringTo(string direct)
    {
        var builder = new NpgsqlConnectionStringBuilder(direct)
        {
            Host = "127.0.0.1",
            Port = port,
            SslMode = SslMode.Disable,
            NoResetOnClose = true, // there is no session to reset: the next transaction may get another one
        };
        return builder.ConnectionString;
    }

    public async ValueTask DisposeAsync()
    {
        await using (var connection = new NpgsqlConnection(ConnectionString))
            NpgsqlConnection.ClearPool(connection);
        await warden.DisposeAsync();
    }

    private static string[] Settings(string connectionString, Version version, int port, int poolSize)
    {
        var server = new NpgsqlConnectionStringBuilder(connectionString);
        string password = string.IsNullOrEmpty(server.Password) ? "" : $" password='{server.Password}'";
        List<string> settings =
        [
            "[databases]",
            $"* = host={server.Host} port={server.Port} user={server.Username}{password}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            $"listen_port = {port}",
            "unix_socket_dir =",
            "auth_type = any",
            "pool_mode = transaction",
            string.Create(CultureInfo.InvariantCulture, $"default_pool_size = {poolSize}"),
            "max_client_conn = 1000",
            "ignore_startup_parameters = extra_float_digits",
        ];
        if (version >= PreparedSince)
            settings.Add("max_prepared_statements = 200");
        return [.. settings];
    }

    private static async Task<Version> ReadVersionAsync(string executable)
    {
        var start = new ProcessStartInfo(executable, "--version")
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        using Process process = Process.Start(start)
            ?? throw new InvalidOperationException($"{executable} did not start.");
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        string[] words = output.Split([' ', '\n'], 3); // PgBouncer 1.18.0
        return Version.Parse(words[1]);
    }

    private async Task WaitUntilUpAsync()
    {
        using var limit = new CancellationTokenSource(StartLimit);
        var builder = new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false };
        while (true)
        {
            try
            {
                await using var connection = new NpgsqlConnection(builder.ConnectionString);
                await connection.OpenAsync(limit.Token);
                return;
            }
            catch (NpgsqlException) when (!limit.IsCancellationRequested)
            {
                await Task.Delay(StartInterval);
            }
            catch (Exception e) when (e is NpgsqlException or OperationCanceledException)
            {
                string log = await File.ReadAllTextAsync(Path.Combine(warden.Home, "log"));
                throw new InvalidOperationException($"PgBouncer did not start: {log}", e);
            }
        }
    }
}
