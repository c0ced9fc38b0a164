namespace NodeLock;

/// <summary>What somebody who waits at a gate is woken by. A wake-up that comes before the wait ends it at
/// once.</summary>
internal sealed class WakeUp(Lock sync)
{
    private TaskCompletionSource? signal;
    private bool woken;

    /// <summary>Waits until woken or the time is over; ends early, without an exception, when cancelled.</summary>
    /// <returns>Whether it was woken.</returns>
    public async ValueTask<bool> WaitAsync(TimeSpan time, TimeProvider timeProvider, CancellationToken cancellation)
    {
        Task wake;
        lock (sync)
        {
            if (!woken) signal = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            wake = woken ? Task.CompletedTask : signal!.Task;
        }

        await wake.WaitAsync(time, timeProvider, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (sync)
        {
            bool result = woken;
            woken = false;
            signal = null;
            return result;
        }
    }

    public void Wake_NeedsLock()
    {
        woken = true;
        signal?.TrySetResult();
    }
}
