namespace NodeLock;

/// <summary>The gates of one task manager: for each node in use, the line of those in this process who want
/// it.</summary>
/// <remarks>One lock guards them all; it is never held across a statement or a callback.</remarks>
internal sealed class Gates(LiveOptions settings, TimeProvider timeProvider)
{
    private readonly Dictionary<NodeId, Gate> gates = [];
    private readonly HoldBacks sharers = new(timeProvider);
    private readonly HoldBacks giveWay = new(timeProvider);
    private readonly HashSet<WakeUp> watchers = [];
    private readonly Watchers ofGates = new(); // those that a gate of this process kept out
    private readonly Watchers ofReleases = new(); // those that ask, or have asked, the store

    public Lock Sync { get; } = new();

    public TimeProvider TimeProvider => timeProvider;

    /// <summary>Takes the last place in the node's line, which may be the first.</summary>
    public Place Enter(NodeId nodeId, string purpose, ReservationMode mode)
    {
        lock (Sync) return GateOf_NeedsLock(nodeId).Join_NeedsLock(purpose, mode);
    }

    /// <summary>Takes a place from which the store may be asked at once; null when there is none.</summary>
    public Place? TryEnter(NodeId nodeId, string purpose, ReservationMode mode)
    {
        lock (Sync)
        {
            bool isShared = mode == ReservationMode.Shared;
            if (isShared && AreSharersHeldBack_NeedsLock(nodeId)) return null;
            return !gates.TryGetValue(nodeId, out Gate? gate)
                || (isShared && gate is { First_NeedsLock: null, IsShared_NeedsLock: true })
                ? GateOf_NeedsLock(nodeId).Join_NeedsLock(purpose, mode)
                : null;
        }
    }

    /// <summary>
    /// Takes the first place in the lines of all these nodes, or none: whoever waits for one of several holds up nobody
    /// at the others.
    /// </summary>
    /// <param name="nodes">The nodes.</param>
    /// <param name="purpose">What for.</param>
    /// <param name="wakeUp">Woken when one of them may be free that was not.</param>
    /// <param name="obstacle">What is in the way of how many.</param>
    /// <param name="nextTry">How long until the next try; zero when there is none.</param>
    public Place[]? TryEnterAll(IReadOnlyList<NodeId> nodes, string purpose, WakeUp wakeUp, out NodeObstacle? obstacle,
        TimeSpan nextTry = default)
    {
        lock (Sync)
        {
            obstacle = null;
            foreach (NodeId node in nodes)
            {
                bool hasGate = gates.TryGetValue(node, out Gate? gate);
                if (!hasGate && !GivesWay_NeedsLock(node, nextTry)) continue;
                (hasGate ? ofGates : ofReleases).Add(node, wakeUp);
                obstacle = new NodeObstacle(node, gate?.Obstacle_NeedsLock(purpose) ?? Obstacle.GivesWay);
                return null;
            }

            // Before the store is asked: a release may be told of before its answer is here.
            foreach (NodeId node in nodes) ofReleases.Add(node, wakeUp);
            return [.. nodes.Select(n => GateOf_NeedsLock(n).Join_NeedsLock(purpose, ReservationMode.Exclusive))];
        }
    }

    /// <summary>What is in the way of one who does not even get into the line.</summary>
    public Obstacle ObstacleAt(NodeId nodeId, string purpose)
    {
        lock (Sync)
        {
            return gates.TryGetValue(nodeId, out Gate? gate) ? gate.Obstacle_NeedsLock(purpose)
                : Obstacle.AskedFor(purpose);
        }
    }

    /// <summary>
    /// Lets nobody here share a node anew for a while, because a writer elsewhere waits for it: this process's readers,
    /// coming and going, would otherwise always be quicker than a writer who asks once in an interval.
    /// </summary>
    public void HoldSharersBack(NodeId nodeId, TimeSpan time)
    {
        if (time <= TimeSpan.Zero) return;
        lock (Sync) sharers.Add(nodeId, time);
    }

    public bool AreSharersHeldBack_NeedsLock(NodeId nodeId) => sharers.Contain(nodeId);

    /// <summary>Lets those here who can wait try for a node only when it has been given back once more, or one
    /// interval from now: another conductor wants it, and this process had its turn.</summary>
    public void GiveWay_NeedsLock(NodeId nodeId) => giveWay.Add(nodeId, settings.Current.NodeLockedRetryInterval);

    /// <summary>Not for one who will not ask again, since it would not have asked at all; nor for one who would ask
    /// again only long after the others have had their chance.</summary>
    public bool GivesWay_NeedsLock(NodeId nodeId, TimeSpan nextTry) => nextTry > TimeSpan.Zero
        && nextTry <= settings.Current.NodeLockedRetryInterval && giveWay.Contain(nodeId);

    /// <summary>A node was given back, here or elsewhere, while somebody waited: whoever waits for it here may try at
    /// once.</summary>
    public void Freed(NodeId nodeId)
    {
        lock (Sync)
        {
            giveWay.End(nodeId);
            ofGates.Wake(nodeId);
            ofReleases.Wake(nodeId);
            if (gates.TryGetValue(nodeId, out Gate? gate)) gate.Freed_NeedsLock();
        }
    }

    /// <summary>For one who waits for several nodes, and so in no line: it is woken with everybody else.</summary>
    public void Watch(WakeUp watcher)
    {
        lock (Sync) watchers.Add(watcher);
    }

    /// <summary>The end of that, and of waiting for any of these nodes.</summary>
    public void Unwatch(WakeUp watcher, IReadOnlyList<NodeId> nodes)
    {
        lock (Sync)
        {
            watchers.Remove(watcher);
            foreach (NodeId node in nodes)
            {
                ofGates.Remove(node, watcher);
                ofReleases.Remove(node, watcher);
            }
        }
    }

    /// <summary>Wakes everybody, to see that the conductor is stopping.</summary>
    public void WakeAll()
    {
        lock (Sync)
        {
            foreach (WakeUp watcher in watchers) watcher.Wake_NeedsLock();
            foreach (Gate gate in gates.Values) gate.WakeAll_NeedsLock();
        }
    }

    /// <summary>Ends the turns of the scopes of a registration that is over, so that those behind them go on under the
    /// new one.</summary>
    public void Lapse(Registration registration)
    {
        lock (Sync)
        {
            foreach (Gate gate in gates.Values.ToArray()) gate.Lapse_NeedsLock(registration);
        }
    }

    public void Retire_NeedsLock(Gate gate)
    {
        gates.Remove(gate.NodeId);
        ofGates.Wake(gate.NodeId);
    }

    private Gate GateOf_NeedsLock(NodeId nodeId)
    {
        if (!gates.TryGetValue(nodeId, out Gate? gate)) gates.Add(nodeId, gate = new Gate(this, nodeId));
        return gate;
    }
}

/// <summary>Which of several nodes was in the way, and what of it.</summary>
internal sealed record NodeObstacle(NodeId NodeId, Obstacle Obstacle);
