using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// Hears from the store which nodes became free, and wakes who waits for them here. It can only cost time not to hear:
/// whoever waits asks again by itself. See "Waking" on the protocol page.
/// </summary>
#pragma warning disable CA1001 // A source without a timer has nothing to free.
internal sealed class Listening(INodeLockRepository repository, NodeLockOptions options, Gates gates,
    TimeProvider timeProvider, ILogger log)
#pragma warning restore CA1001
{
    // Every conductor that is alive tells nothing at each of its heartbeats, this one among them.
    private const int MostSilentHeartbeats = 3;

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource stop = new();
    private Task running = Task.CompletedTask;
    private long heardAt = timeProvider.GetTimestamp();
    private bool failed;

    /// <summary>Whether it is time for this conductor to tell nothing: no other has for a while.</summary>
    public bool IsSilent => options.ListenForReleases
        && timeProvider.GetElapsedTime(Volatile.Read(ref heardAt)) > options.HeartbeatInterval / 2;

    public void Start()
    {
        if (!options.ListenForReleases) return;
        // What flows with the first caller (a transaction, an activity) is none of this.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
            running = Task.Run(RunAsync);
    }

    public async Task StopAsync()
    {
        await stop.CancelAsync().ConfigureAwait(false);
        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task RunAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            TimeSpan pause = failed || options.HeartbeatInterval < FirstPause ? options.HeartbeatInterval : FirstPause;
            try
            {
                IReleaseListener listener = await repository.ListenAsync(options.ListenConnectionString,
                    options.HeartbeatInterval, stop.Token).ConfigureAwait(false);
                await using (listener.ConfigureAwait(false)) await HearAsync(listener).ConfigureAwait(false);
            }
            // Whatever it is, those who wait go on without, and it is tried again.
            catch (Exception e) when (!stop.IsCancellationRequested)
            {
                if (!failed) log.NotListening(e, repository.Location);
                failed = true;
            }

            await Task.Delay(pause, timeProvider, stop.Token)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Until nothing is heard for so long that the connection must be deaf.</summary>
    private async Task HearAsync(IReleaseListener listener)
    {
        TimeSpan longestSilence = MostSilentHeartbeats * options.HeartbeatInterval;
        using CancellationTokenSource silent = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        ITimer timer = timeProvider.CreateTimer(_ => silent.Cancel(), null, longestSilence, Timeout.InfiniteTimeSpan);
        try
        {
            // Its disposal waits for a callback that is under way, which needs what it cancels.
            await using (timer.ConfigureAwait(false))
                await HearAsync(listener, timer, longestSilence, silent.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (silent.IsCancellationRequested && !stop.IsCancellationRequested)
        {
            throw new TimeoutException($"Nothing was heard for {longestSilence}: the connection is cut, or leads "
                + "through a pooler that passes no notifications on. For one of these, "
                + $"{nameof(NodeLockOptions.ListenConnectionString)} takes a way around it.", e);
        }
    }

    private async Task HearAsync(
        IReleaseListener listener, ITimer timer, TimeSpan longestSilence, CancellationToken silent)
    {
        while (true)
        {
            NodeId? freed = await listener.HearAsync(silent).ConfigureAwait(false);
            Volatile.Write(ref heardAt, timeProvider.GetTimestamp());
            timer.Change(longestSilence, Timeout.InfiniteTimeSpan);
            if (failed) log.ListensAgain(repository.Location);
            failed = false;
            if (freed is { } node) gates.Freed(node);
        }
    }
}
