using System.Diagnostics;
using System.Globalization;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// A shell that runs commands for this process in a temporary home, and cleans up after it. It lives outside this
/// process and reads its commands from a pipe: when this process ends, however it ends, the pipe closes, and the shell
/// runs its last command, removes its home and exits. Commands run one by one, so that a server being started while
/// this process is killed is first up, and then stopped.
/// </summary>
public sealed class Warden : IAsyncDisposable
{
    // A reply to a process that is gone must not kill the shell before its last command: hence PIPE.
    private const string Script =
        """
        trap '' HUP INT TERM PIPE
        home=$(mktemp -d "${TMPDIR:-/tmp}/nodelock-test.XXXXXX") || exit 1
        cd "$home" || exit 1
        echo "$home"
        while read -r command; do
          eval "$command" >output 2>&1 </dev/null
          echo "$?"
        done
        eval "$1" >/dev/null 2>&1 </dev/null
        cd /
        rm -rf "$home"
        """;

    private static readonly TimeSpan ReplyLimit = TimeSpan.FromMinutes(2);

    private readonly Process shell;
    private readonly SemaphoreSlim turn = new(1, 1);
    private int closed;

    private Warden(Process shell)
    {
        this.shell = shell;
        AppDomain.CurrentDomain.ProcessExit += OnProcessExit;
    }

    /// <summary>The temporary directory in which the commands run; it goes when the warden goes.</summary>
    public string Home { get; private set; } = "";

    /// <param name="lastCommand">What the shell runs when this process is gone or has disposed the warden.</param>
    /// <param name="account">The account to run as; null is this process's own.</param>
    public static async Task<Warden> StartAsync(string lastCommand, string? account = null)
    {
        // A session of its own keeps the shell out of a signal meant for the whole process group of a test run.
        string[] drop = account is null ? [] : ["setpriv", $"--reuid={account}", $"--regid={account}", "--init-groups"];
        string[] session = Executables.Find("setsid") is null ? [] : ["setsid"];
        string[] command = [.. drop, .. session, "sh", "-c", Script, "warden", lastCommand];
        var start = new ProcessStartInfo(command[0])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            WorkingDirectory = Path.GetPathRoot(Path.GetTempPath()),
        };
        foreach (string argument in command[1..])
            start.ArgumentList.Add(argument);

        Process started = Process.Start(start) ?? throw new InvalidOperationException("The shell did not start.");
        var warden = new Warden(started);
        string? home = await started.StandardOutput.ReadLineAsync().WaitAsync(ReplyLimit);
        if (home is null)
        {
            string error = await started.StandardError.ReadToEndAsync();
            await warden.DisposeAsync();
            throw new InvalidOperationException($"No temporary home for a test server: {error}");
        }

        warden.Home = home;
        return warden;
    }

    /// <summary>The account a server is to run as: a database server refuses to run as root.</summary>
    public static string? ServerAccount()
    {
        if (!Environment.IsPrivilegedProcess || OperatingSystem.IsWindows())
            return null;
        bool known = File.ReadLines("/etc/passwd").Any(line => line.StartsWith("postgres:", StringComparison.Ordinal));
        return known ? "postgres" : "nobody";
    }

    /// <summary>Runs one line of shell; throws with what the command wrote when it fails.</summary>
    public async Task RunAsync(string command)
    {
        (int exitCode, string output) = await TryRunAsync(command);
        if (exitCode != 0)
            throw new InvalidOperationException($"'{command}' ended with {exitCode}: {output}");
    }

    /// <summary>Runs one line of shell; returns how it ended and what it wrote.</summary>
    public async Task<(int ExitCode, string Output)> TryRunAsync(string command)
    {
        await turn.WaitAsync();
        try
        {
            await shell.StandardInput.WriteLineAsync(command);
            await shell.StandardInput.FlushAsync();
            string? reply = await shell.StandardOutput.ReadLineAsync().WaitAsync(ReplyLimit);
            if (reply is null)
                throw new InvalidOperationException($"The warden ended before '{command}' was done.");
            string output = await File.ReadAllTextAsync(Path.Combine(Home, "output"));
            return (int.Parse(reply, CultureInfo.InvariantCulture), output);
        }
        finally
        {
            turn.Release();
        }
    }

    /// <summary>A word of shell that means this text and nothing else.</summary>
    public static string Quote(string text) => $"'{text.Replace("'", @"'\''", StringComparison.Ordinal)}'";

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref closed, 1) != 0)
            return;
        AppDomain.CurrentDomain.ProcessExit -= OnProcessExit;
        shell.StandardInput.Close();
        await shell.WaitForExitAsync().WaitAsync(ReplyLimit);
        shell.Dispose();
        turn.Dispose();
    }

    // The pipe would close without this as well; waiting means that nothing is left once the test run has ended.
    private void OnProcessExit(object? sender, EventArgs e)
    {
        if (Interlocked.Exchange(ref closed, 1) != 0)
            return;
        shell.StandardInput.Close();
        shell.WaitForExit(TimeSpan.FromSeconds(30));
    }
}
