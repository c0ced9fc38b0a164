using System.Diagnostics;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class ChildProcessTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_child_is_spoken_to_in_lines()
    {
        await using ChildProcess child = await ChildProcess.StartAsync(
            "sh", "-c", "echo noise; echo ready $$; read -r word; echo heard $word; echo bad >&2; exit 3");

        Assert.Equal($"ready {child.Id}", await child.ReadLineAsync("ready", Limit));
        await child.WriteLineAsync("hello");
        Assert.Equal("heard hello", await child.ReadLineAsync("heard", Limit));
        Assert.Equal(3, await child.WaitForExitAsync(Limit));
        Assert.Contains("bad", child.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_child_hears_of_its_parents_end()
    {
        await using ChildProcess child = await ChildProcess.StartAsync("cat");
        child.CloseInput();

        Assert.Equal(0, await child.WaitForExitAsync(Limit));
    }

    [Fact]
    public async Task A_stopped_child_goes_on_when_it_is_continued()
    {
        await using ChildProcess child = await ChildProcess.StartAsync("cat");
        child.Signal(ChildSignal.Stop);
        await child.WriteLineAsync("hello");
        await Assert.ThrowsAsync<TimeoutException>(() => child.ReadLineAsync("hello", TimeSpan.FromMilliseconds(100)));

        child.Signal(ChildSignal.Continue);

        Assert.Equal("hello", await child.ReadLineAsync("hello", Limit));
    }

    [Fact]
    public async Task A_killed_child_says_no_more()
    {
        await using ChildProcess child = await ChildProcess.StartAsync("cat");
        child.Signal(ChildSignal.Kill);

        Assert.Equal(128 + 9, await child.WaitForExitAsync(Limit));
        await Assert.ThrowsAsync<InvalidOperationException>(() => child.ReadLineAsync("hello", Limit));
        Assert.Throws<InvalidOperationException>(() => child.Signal(ChildSignal.Stop));
    }

    [Fact]
    public async Task A_disposed_child_is_gone_even_when_it_was_stopped()
    {
        ChildProcess child = await ChildProcess.StartAsync("cat");
        int id = child.Id;
        child.Signal(ChildSignal.Stop);

        await child.DisposeAsync();

        Assert.Throws<ArgumentException>(() => Process.GetProcessById(id));
    }
}
