using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading.Channels;

namespace NodeLock.Tests.Postgres;

/// <summary>A signal that a process cannot refuse.</summary>
public enum ChildSignal
{
    /// <summary>Ends the process at once.</summary>
    Kill,

    /// <summary>Stops it until it is continued.</summary>
    Stop,

    /// <summary>Continues it.</summary>
    Continue,
}

/// <summary>
/// A child process that is spoken to in lines. It should end when its standard input ends, since its parent is gone
/// then; one that is stopped at that moment, or does not listen, is killed all the same.
/// </summary>
public sealed class ChildProcess : IAsyncDisposable
{
    private readonly Process process;
    private readonly Warden warden;
    private readonly Channel<string> lines = Channel.CreateUnbounded<string>();
    private readonly Lock sync = new();
    private readonly StringBuilder log = new();
    private readonly Task reading;
    private int disposed;

    private ChildProcess(Process process, Warden warden)
    {
        this.process = process;
        this.warden = warden;
        reading = Task.WhenAll(ReadOutputAsync(), ReadErrorsAsync());
    }

    public int Id => process.Id;

    public bool HasExited => process.HasExited;

    /// <summary>Everything it has written so far, to output and to error.</summary>
    public string Log
    {
        get
        {
            lock (sync)
                return log.ToString();
        }
    }

    /// <summary>Starts an executable file, or with this runtime a <c>.dll</c>.</summary>
    public static async Task<ChildProcess> StartAsync(string file, params string[] arguments)
    {
        bool managed = file.EndsWith(".dll", StringComparison.OrdinalIgnoreCase);
        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        var start = new ProcessStartInfo(managed ? host : file)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (string argument in managed ? [file, .. arguments] : arguments)
            start.ArgumentList.Add(argument);

        Warden guard = await Warden.StartAsync("kill -9 $child");
        try
        {
            Process started = Process.Start(start) ?? throw new InvalidOperationException($"{file} did not start.");
            await guard.RunAsync($"child={started.Id}");
            return new ChildProcess(started, guard);
        }
        catch
        {
            await guard.DisposeAsync();
            throw;
        }
    }

    /// <summary>Reads lines until one begins so, and returns it whole; the ones before it are passed over.</summary>
    /// <exception cref="TimeoutException">There was none within the limit.</exception>
    /// <exception cref="InvalidOperationException">The process closed its output without one.</exception>
    public async Task<string> ReadLineAsync(string prefix, TimeSpan limit)
    {
        using var timeout = new CancellationTokenSource(limit);
        try
        {
            await foreach (string line in lines.Reader.ReadAllAsync(timeout.Token))
            {
                if (line.StartsWith(prefix, StringComparison.Ordinal))
                    return line;
            }
        }
        catch (OperationCanceledException e)
        {
            throw new TimeoutException($"No line '{prefix}…' within {limit}. So far:\n{Log}", e);
        }

        throw new InvalidOperationException($"The process ended without a line '{prefix}…'. It wrote:\n{Log}");
    }

    /// <summary>The lines it has written and nobody has read, without waiting.</summary>
    public IReadOnlyList<string> ReadWaitingLines()
    {
        List<string> waiting = [];
        while (lines.Reader.TryRead(out string? line))
            waiting.Add(line);
        return waiting;
    }

    public async Task WriteLineAsync(string line)
    {
        await process.StandardInput.WriteLineAsync(line);
        await process.StandardInput.FlushAsync();
    }

    /// <summary>Closes its standard input, as the death of its parent would.</summary>
    public void CloseInput() => process.StandardInput.Close();

    /// <exception cref="InvalidOperationException">The process has ended.</exception>
    public void Signal(ChildSignal signal)
    {
        bool linux = !OperatingSystem.IsMacOS();
        int number = signal switch
        {
            ChildSignal.Kill => 9,
            ChildSignal.Stop => linux ? 19 : 17,
            _ => linux ? 18 : 19,
        };
        if (process.HasExited || SendSignal(process.Id, number) != 0)
            throw new InvalidOperationException($"Process {process.Id} has ended.");
    }

    /// <summary>Waits until it has ended and all it wrote is read; returns its exit code.</summary>
    public async Task<int> WaitForExitAsync(TimeSpan limit)
    {
        await process.WaitForExitAsync().WaitAsync(limit);
        await reading.WaitAsync(limit);
        return process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
            return;
        process.Kill(entireProcessTree: true);
        await process.WaitForExitAsync();

        // Its number may be somebody else's from here on.
        await warden.RunAsync("child=");
        await warden.DisposeAsync();
        await reading;
        process.Dispose();
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SendSignal(int processId, int signal);

    private async Task ReadOutputAsync()
    {
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            Note(line);
            lines.Writer.TryWrite(line);
        }

        lines.Writer.TryComplete();
    }

    private async Task ReadErrorsAsync()
    {
        while (await process.StandardError.ReadLineAsync() is { } line)
            Note(line);
    }

    private void Note(string line)
    {
        lock (sync)
            log.AppendLine(line);
    }
}
