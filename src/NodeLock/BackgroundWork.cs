using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>The owner of every task that outlives the call that began it: it awaits them and logs what fails.</summary>
internal sealed class BackgroundWork(ILogger log)
{
    private readonly ConcurrentDictionary<long, Task> tasks = [];
    private long count;

    public void Own(Task task, string what)
    {
        if (task.IsCompletedSuccessfully) return;
        long id = Interlocked.Increment(ref count);
        tasks[id] = task;
        _ = WatchAsync(id, task, what);
    }

    /// <summary>Waits for what is under way, at most for this long.</summary>
    public Task FinishAsync(TimeSpan limit, TimeProvider timeProvider) =>
        Task.WhenAll(tasks.Values.Select(EndedAsync)).WaitAsync(limit, timeProvider);

    private static async Task EndedAsync(Task task) =>
        await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task WatchAsync(long id, Task task, string what)
    {
        try
        {
            await task.ConfigureAwait(false);
        }
        // The boundary where a failure that no caller is left to see becomes a log entry.
        catch (Exception e)
        {
            log.BackgroundWorkFailed(e, what);
        }
        finally
        {
            tasks.TryRemove(id, out _);
        }
    }
}
