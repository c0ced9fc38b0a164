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

    // A fence that ignores its token may go on after the trust has ended: until it is over, no second one here.
    private readonly ConcurrentDictionary<(string Dead, NodeId NodeId), byte> running = [];
    private readonly ConcurrentDictionary<string, byte> rounds = [];
    private readonly SemaphoreSlim slots = new(AtOnce);

    /// <summary>Goes on with what is claimed, where it is not under way. Called by each heartbeat; does not
    /// wait.</summary>
    public void Fence(Registration registration, IReadOnlyList<string> claimed)
    {
        foreach (string dead in claimed)
        {
            if (!rounds.TryAdd(dead, 0)) continue;
            CancellationToken trust = registration.Trust;
            background.Own(Task.Run(() => FenceAllAsync(dead, registration.Holder, trust), CancellationToken.None),
                $"fencing the nodes of {dead}");
        }
    }

    /// <summary>Begins the fence of every node that has none under way: one that hangs keeps later rounds from a second
    /// one of it, but not from the others.</summary>
    private async Task FenceAllAsync(string dead, string fencer, CancellationToken trust)
    {
        try
        {
            IReadOnlyList<NodeId> nodes = await repository.FindReservedByAsync(dead, options.HeartbeatInterval)
                .ConfigureAwait(false);
            Task[] fences = [.. nodes.Where(node => running.TryAdd((dead, node), 0))
                .Select(node => FenceUntilOverAsync(node, dead, fencer, trust))];
            if (fences.Length > 0 || nodes.Count == 0)
                background.Own(FinishAsync(fences, dead, fencer), $"fencing the nodes of {dead}");
        }
        // The next heartbeat claims it again.
        catch (Exception e)
        {
            log.FenceAllFailed(e, dead);
        }
        finally
        {
            rounds.TryRemove(dead, out _);
        }
    }

    private async Task FinishAsync(Task[] fences, string dead, string fencer)
    {
        try
        {
            await Task.WhenAll(fences).ConfigureAwait(false);
            if (await repository.FinishFenceAsync(dead, fencer, options.HeartbeatInterval).ConfigureAwait(false))
                log.FencedAll(dead);
        }
        catch (Exception e)
        {
            log.FenceAllFailed(e, dead);
        }
    }

    private async Task FenceUntilOverAsync(NodeId nodeId, string dead, string fencer, CancellationToken trust)
    {
        try
        {
            await FenceAsync(nodeId, dead, fencer, trust).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (trust.IsCancellationRequested)
        {
            // Another conductor claims the dead one, or this one does again.
        }
        finally
        {
            running.TryRemove((dead, nodeId), out _);
        }
    }

    /// <summary>Until it succeeds, the node is no longer the dead one's, or the trust ends.</summary>
    private async Task FenceAsync(NodeId nodeId, string dead, string fencer, CancellationToken trust)
    {
        for (TimeSpan pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            await slots.WaitAsync(trust).ConfigureAwait(false);
            Slot slot = new(slots);
            try
            {
                if (await TryFenceAsync(nodeId, dead, fencer, slot, trust).ConfigureAwait(false)) return;
            }
            finally
            {
                slot.Free();
            }

            await Task.Delay(pause, timeProvider, trust).ConfigureAwait(false);
        }
    }

    private async Task<bool> TryFenceAsync(NodeId nodeId, string dead, string fencer, Slot slot,
        CancellationToken trust)
    {
        try
        {
            // A fresh token each time: whoever fenced before and comes back late frees nothing.
            if (await repository.RevokeAsync(nodeId, dead, fencer, options.HeartbeatInterval).ConfigureAwait(false)
                is not { } revoked)
                return true;

            log.Fencing(nodeId, revoked.Purpose, revoked.FencingToken, dead);
            await RunAsync(new NodeToFence(nodeId, dead, revoked.Purpose, revoked.ReservedAt, revoked.FencingToken),
                slot, trust).ConfigureAwait(false);
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

    private async Task RunAsync(NodeToFence node, Slot slot, CancellationToken trust)
    {
        long began = timeProvider.GetTimestamp();
        Task run = fence.FenceAsync(node, trust);
        while (!run.IsCompleted)
        {
            await run.WaitAsync(options.LongHoldThreshold, timeProvider, CancellationToken.None)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (run.IsCompleted) break;
            log.SlowFence(node.NodeId, node.DeadHolder, timeProvider.GetElapsedTime(began).TotalSeconds);
            slot.Free(); // those that hang do not hold up the others
        }

        await run.ConfigureAwait(false);
    }

    /// <summary>One of the fences that may run at once; freed once.</summary>
    private sealed class Slot(SemaphoreSlim slots)
    {
        private int freed;

        public void Free()
        {
            if (Interlocked.Exchange(ref freed, 1) == 0) slots.Release();
        }
    }
}
