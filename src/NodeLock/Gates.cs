namespace NodeLock;

/// <summary>The gates of one task manager: for each node in use, the line of those in this process who want
/// it.</summary>
/// <remarks>One lock guards them all; it is never held across a statement or a callback.</remarks>
internal sealed class Gates
{
    private readonly Dictionary<NodeId, Gate> gates = [];

    public Lock Sync { get; } = new();

    /// <summary>Takes the last place in the node's line, which may be the first.</summary>
    public Place Enter(NodeId nodeId, string purpose)
    {
        lock (Sync) return GateOf_NeedsLock(nodeId).Join_NeedsLock(purpose);
    }

    /// <summary>Takes the first place in the node's line; null when anybody is there.</summary>
    public Place? TryEnter(NodeId nodeId, string purpose)
    {
        lock (Sync) return gates.ContainsKey(nodeId) ? null : GateOf_NeedsLock(nodeId).Join_NeedsLock(purpose);
    }

    /// <summary>Wakes everybody, to see that the conductor is stopping.</summary>
    public void WakeAll()
    {
        lock (Sync)
        {
            foreach (Gate gate in gates.Values) gate.WakeAll_NeedsLock();
        }
    }

    /// <summary>Ends the turns of the scopes of a registration that is over, so that those behind them go on under the
    /// new one.</summary>
    public void Lapse(Registration registration)
    {
        lock (Sync)
        {
            foreach (Gate gate in gates.Values.ToArray())
            {
                if (gate.First_NeedsLock is { Holding: { } holding } place && holding.Registration == registration)
                    place.Remove_NeedsLock();
            }
        }
    }

    public void Retire_NeedsLock(Gate gate) => gates.Remove(gate.NodeId);

    private Gate GateOf_NeedsLock(NodeId nodeId)
    {
        if (!gates.TryGetValue(nodeId, out Gate? gate)) gates.Add(nodeId, gate = new Gate(this, nodeId));
        return gate;
    }
}
