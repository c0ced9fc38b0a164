namespace NodeLock.Tests.Postgres;

/// <summary>Counts something that happens in the background, and lets a test wait until it has happened.</summary>
public sealed class Tally(string what)
{
    private readonly Lock sync = new();
    private readonly List<(int Count, TaskCompletionSource Reached)> waiters = [];
    private int count;

    public int Count
    {
        get
        {
            lock (sync)
                return count;
        }
    }

    public void Add()
    {
        lock (sync)
        {
            count++;
            foreach ((_, TaskCompletionSource reached) in waiters.Where(waiter => waiter.Count <= count))
                reached.TrySetResult();
            waiters.RemoveAll(waiter => waiter.Count <= count);
        }
    }

    /// <exception cref="TimeoutException">It did not happen that often within the limit.</exception>
    public async Task ReachAsync(int wanted, TimeSpan limit)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (sync)
        {
            if (count >= wanted)
                return;
            waiters.Add((wanted, reached));
        }

        try
        {
            await reached.Task.WaitAsync(limit);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"Within {limit}, {what}: {Count} of {wanted}.", e);
        }
    }
}
