using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// Fences the nodes of dead conductors that this one has claimed: for each, its reservation is revoked, then the fence
/// runs, then the node is freed; when none is left, the dead one counts as fenced. See "The fence" on the protocol
/// page.
/// </summary>
#pragma warning disable CA1001 // A semaphore whose wait handle nobody asked for has nothing to free.
internal sealed class Fencing(INodeLockRepository repository, INodeFence fence, NodeLockOptions options,
    BackgroundWork background, TimeProvider timeProvider, ILogger log)
#pragma warning restore CA1001
{
    private const int AtOnce = 16;
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, Task> running = [];
    private readonly SemaphoreSlim slots = new(AtOnce);

    /// <summary>Goes on with what is claimed, where it is not under way. Called by the heartbeat; does not
    /// wait.</summary>
    public void Fence(Registration registration, IReadOnlyList<string> claimed)
    {
        foreach (string dead in claimed)
        {
            if (running.ContainsKey(dead)) continue;
            CancellationToken trust = registration.Trust;
            // A fence that ignores its token may go on after the trust has ended: until it is over, no second one here.
            Task task = Task.Run(() => FenceAllAsync(dead, registration.Holder, trust), CancellationToken.None);
            running[dead] = task;
            background.Own(EndAsync(dead, task), $"fencing the nodes of {dead}");
        }
    }

    private async Task EndAsync(string dead, Task task)
    {
        try
        {
            await task.ConfigureAwait(false);
        }
        finally
        {
            running.TryRemove(dead, out _);
        }
    }

    private async Task FenceAllAsync(string dead, string fencer, CancellationToken trust)
    {
        try
        {
            IReadOnlyList<NodeId> nodes = await repository.FindReservedByAsync(dead, options.HeartbeatInterval)
                .ConfigureAwait(false);
            await Task.WhenAll(nodes.Select(node => FenceAsync(node, dead, fencer, trust))).ConfigureAwait(false);
            bool finished = await repository.FinishFenceAsync(dead, fencer, options.HeartbeatInterval)
                .ConfigureAwait(false);
            if (finished) log.FencedAll(dead);
        }
        catch (OperationCanceledException) when (trust.IsCancellationRequested)
        {
            // Another conductor claims the dead one, or this one does again.
        }
        // The next heartbeat claims it again.
        catch (Exception e)
        {
            log.FenceAllFailed(e, dead);
        }
    }

    /// <summary>Until it succeeds, the node is no longer the dead one's, or the trust ends.</summary>
    private async Task FenceAsync(NodeId nodeId, string dead, string fencer, CancellationToken trust)
    {
        for (TimeSpan pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            await slots.WaitAsync(trust).ConfigureAwait(false);
            try
            {
                if (await TryFenceAsync(nodeId, dead, fencer, trust).ConfigureAwait(false)) return;
            }
            finally
            {
                slots.Release();
            }

            await Task.Delay(pause, timeProvider, trust).ConfigureAwait(false);
        }
    }

    private async Task<bool> TryFenceAsync(NodeId nodeId, string dead, string fencer, CancellationToken trust)
    {
        try
        {
            // A fresh token each time: whoever fenced before and comes back late frees nothing.
            if (await repository.RevokeAsync(nodeId, dead, fencer, options.HeartbeatInterval).ConfigureAwait(false)
                is not { } revoked)
                return true;

            log.Fencing(nodeId, revoked.Purpose, revoked.FencingToken, dead);
            await RunAsync(new NodeToFence(nodeId, dead, revoked.Purpose, revoked.ReservedAt, revoked.FencingToken),
                trust).ConfigureAwait(false);
            trust.ThrowIfCancellationRequested();
            await repository.ReleaseAsync(dead, new HeldNode(nodeId, revoked.FencingToken), options.HeartbeatInterval)
                .ConfigureAwait(false);
            log.Fenced(nodeId, revoked.Purpose, revoked.FencingToken, dead);
            return true;
        }
        // The fence is the user's, the store may be away: tried again, and said so each time.
        catch (Exception e) when (!trust.IsCancellationRequested)
        {
            log.FenceFailed(e, nodeId, dead);
            return false;
        }
    }

    private async Task RunAsync(NodeToFence node, CancellationToken trust)
    {
        long began = timeProvider.GetTimestamp();
        Task run = fence.FenceAsync(node, trust);
        while (!run.IsCompleted)
        {
            await run.WaitAsync(options.LongHoldThreshold, timeProvider, CancellationToken.None)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!run.IsCompleted)
                log.SlowFence(node.NodeId, node.DeadHolder, timeProvider.GetElapsedTime(began).TotalSeconds);
        }

        await run.ConfigureAwait(false);
    }
}
