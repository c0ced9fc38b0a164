namespace NodeLock;

/// <summary>One caller's place in the line at a gate.</summary>
internal sealed class Place
{
    private readonly Gate gate;
    private TaskCompletionSource? signal;
    private bool woken;
    private bool left;

    public Place(Gate gate, string purpose)
    {
        this.gate = gate;
        Purpose = purpose;
        Entry = new LinkedListNode<Place>(this);
    }

    public NodeId NodeId => gate.NodeId;
    public string Purpose { get; }
    public LinkedListNode<Place> Entry { get; }

    /// <summary>What the scope of this place holds; null until it got the node.</summary>
    public Holding? Holding { get; private set; }

    private Lock Sync => gate.Gates.Sync;

    public bool IsFirst
    {
        get
        {
            lock (Sync) return gate.First_NeedsLock == this;
        }
    }

    public bool IsAlone
    {
        get
        {
            lock (Sync) return gate.Length_NeedsLock == 1;
        }
    }

    /// <summary>What is in the way of one who is not first, as far as this process knows without asking.</summary>
    public Obstacle Obstacle
    {
        get
        {
            lock (Sync)
            {
                Place? first = gate.First_NeedsLock;
                return first?.Holding?.AsObstacle() ?? gate.Met_NeedsLock
                    ?? Obstacle.AskedFor(first?.Purpose ?? Purpose);
            }
        }
    }

    /// <summary>The token to name as this conductor's own; 0 when it knows of none. Never that of a living scope: one
    /// who holds the node is first, and only the first asks.</summary>
    public long KnownToken(Registration registration)
    {
        lock (Sync)
            return gate.Unused_NeedsLock is { } unused && unused.Registration == registration ? unused.FencingToken : 0;
    }

    /// <summary>Called by the first in line when it asks.</summary>
    public void Asks(TimeProvider timeProvider)
    {
        lock (Sync) gate.AskedAt_NeedsLock = timeProvider.GetTimestamp();
    }

    /// <summary>Wakes the first in line, if it asks more rarely than one behind it would.</summary>
    public void PromptFirst(TimeSpan interval, TimeProvider timeProvider)
    {
        lock (Sync)
        {
            if (gate.First_NeedsLock is { Holding: null } first && gate.AskedAt_NeedsLock is { } askedAt
                && timeProvider.GetElapsedTime(askedAt) >= interval)
                first.Wake_NeedsLock();
        }
    }

    public void Met(Obstacle obstacle)
    {
        lock (Sync) gate.Met_NeedsLock = obstacle;
    }

    /// <summary>Notes a reservation of this process that no scope uses (any more).</summary>
    public void Keep(Unused unused)
    {
        lock (Sync)
        {
            Holding = null;
            if (!left) gate.Unused_NeedsLock = unused;
        }
    }

    public void Hold(Holding holding)
    {
        lock (Sync)
        {
            Holding = holding;
            gate.Unused_NeedsLock = null;
            gate.Met_NeedsLock = null;
        }
    }

    /// <summary>
    /// Leaves the line, handing an unused reservation to the next in it. False when there is one and nobody to hand it
    /// to: the caller stays first until it has given it back, and then calls <see cref="Leave"/>.
    /// </summary>
    public bool TryLeave(out Unused? unused)
    {
        lock (Sync)
        {
            unused = !left && gate.First_NeedsLock == this && gate.Length_NeedsLock == 1 ? gate.Unused_NeedsLock : null;
            if (unused is null) Remove_NeedsLock();
            return unused is null;
        }
    }

    /// <summary>Leaves the line whatever is left there: a reservation that could not be given back is named by the next
    /// in line, or given back by the heartbeat.</summary>
    public void Leave()
    {
        lock (Sync) Remove_NeedsLock();
    }

    public void Remove_NeedsLock()
    {
        if (left) return;
        left = true;
        gate.Remove_NeedsLock(this);
    }

    /// <summary>Waits until this place is woken or the time is over; ends early, without an exception, when
    /// cancelled.</summary>
    /// <returns>Whether it was woken.</returns>
    public async ValueTask<bool> WaitAsync(TimeSpan time, TimeProvider timeProvider, CancellationToken cancellation)
    {
        Task wake;
        lock (Sync)
        {
            if (!woken) signal = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            wake = woken ? Task.CompletedTask : signal!.Task;
        }

        await wake.WaitAsync(time, timeProvider, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (Sync)
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
