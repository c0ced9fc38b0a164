namespace NodeLock.Tests.Postgres;

/// <summary>How a private cluster is stopped.</summary>
public enum ClusterStop
{
    /// <summary>Sessions are ended, transactions rolled back, and a checkpoint made.</summary>
    Fast,

    /// <summary>Every server process quits at once; the next start recovers from the log.</summary>
    Immediate,

    /// <summary>Every server process is killed (SIGKILL).</summary>
    Kill,
}

/// <summary>
/// A PostgreSQL cluster of its own in a temporary directory, on a loopback port. Its durable settings are the default
/// ones (fsync and synchronous_commit on), since what the tests are about is what a commit promises. A test that stops
/// its server starts one for itself, so that nobody else is disturbed.
/// </summary>
public sealed class PrivateCluster : PostgresServer
{
    private const int PortAttempts = 5;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StartInterval = TimeSpan.FromMilliseconds(50);

    private readonly Warden warden;
    private readonly string control;
    private readonly string settings;
    private int port;

    private PrivateCluster(Warden warden, string bin, IEnumerable<(string Setting, string Value)> settings)
    {
        this.warden = warden;
        control = $"{Warden.Quote(Path.Combine(bin, "pg_ctl"))} -D data -w -t 60";
        (string, string)[] all =
        [
            ("listen_addresses", "127.0.0.1"), ("unix_socket_directories", warden.Home), ("max_connections", "300"),
            ("log_min_messages", "fatal"), .. settings,
        ];
        this.settings = string.Join(' ', all.Select(((string Name, string Value) s) => $"-c {s.Name}={s.Value}"));
    }

    /// <summary>The server's log so far.</summary>
    public string Log
    {
        get
        {
            string path = Path.Combine(warden.Home, "log");
            return File.Exists(path) ? File.ReadAllText(path) : "";
        }
    }

    /// <param name="settings">Server settings beyond the usual ones; values without blanks.</param>
    public static async Task<PrivateCluster> StartNewAsync(params (string Setting, string Value)[] settings)
    {
        string bin = Executables.PostgresBin();
        string stop = $"{Warden.Quote(Path.Combine(bin, "pg_ctl"))} -D data -w -t 60 -m immediate stop";
        Warden home = await Warden.StartAsync(stop, Warden.ServerAccount());
        try
        {
            var cluster = new PrivateCluster(home, bin, settings);
            await home.RunAsync(
                $"{Warden.Quote(Path.Combine(bin, "initdb"))} -D data -U postgres --auth=trust --encoding=UTF8 "
                + "--no-locale --no-sync");
            await cluster.StartOnFreePortAsync();
            await cluster.AttachAsync(
                $"Host=127.0.0.1;Port={cluster.port};Username=postgres;Database=postgres;Include Error Detail=true");
            return cluster;
        }
        catch
        {
            await home.DisposeAsync();
            throw;
        }
    }

    public async Task StopAsync(ClusterStop stop)
    {
        await warden.RunAsync(stop switch
        {
            ClusterStop.Fast => $"{control} -m fast stop",
            ClusterStop.Immediate => $"{control} -m immediate stop",
            _ => "server=$(head -n 1 data/postmaster.pid); kill -9 $server $(pgrep -P $server) || true",
        });
    }

    /// <summary>Starts the stopped server again, on its old port and with its data.</summary>
    public async Task StartAsync()
    {
        using var limit = new CancellationTokenSource(StartLimit);

        // After a kill the old processes keep their shared memory for a moment, and a new postmaster refuses to start.
        while (await TryStartAsync() is { } failure)
        {
            if (limit.IsCancellationRequested)
                throw new TimeoutException($"The server did not start again: {failure}");
            await Task.Delay(StartInterval);
        }
    }

    protected override async ValueTask EndAsync()
    {
        ForgetDatabases();
        await warden.DisposeAsync();
    }

    private async Task StartOnFreePortAsync()
    {
        string? failure = null;
        for (int attempt = 0; attempt < PortAttempts; attempt++)
        {
            port = Executables.FreePort();
            failure = await TryStartAsync();
            if (failure is null)
                return;
        }

        throw new InvalidOperationException($"The server did not start: {failure}");
    }

    private async Task<string?> TryStartAsync()
    {
        string options = Warden.Quote($"-p {port} {settings}");
        (int exitCode, string output) = await warden.TryRunAsync($"{control} -l log -o {options} start");
        return exitCode == 0 ? null : output + Log;
    }
}
