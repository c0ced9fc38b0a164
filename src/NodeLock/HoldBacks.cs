namespace NodeLock;

/// <summary>Nodes for which somebody of this process holds back for a while. Needs the lock of the gates.</summary>
internal sealed class HoldBacks(TimeProvider timeProvider)
{
    private const int LeastBeforeCleaning = 16;

    private readonly Dictionary<NodeId, (long Since, TimeSpan For)> nodes = [];
    private int mostBeforeCleaning = LeastBeforeCleaning;

    public void Add(NodeId nodeId, TimeSpan time)
    {
        if (time <= TimeSpan.Zero) return;
        if (nodes.Count >= mostBeforeCleaning)
        {
            foreach (NodeId over in nodes.Where(n => IsOver(n.Value)).Select(n => n.Key).ToArray()) nodes.Remove(over);
            mostBeforeCleaning = Math.Max(LeastBeforeCleaning, 2 * nodes.Count);
        }

        nodes[nodeId] = (timeProvider.GetTimestamp(), time);
    }

    public void End(NodeId nodeId) => nodes.Remove(nodeId);

    public bool Contain(NodeId nodeId) =>
        nodes.Count > 0 && nodes.TryGetValue(nodeId, out (long, TimeSpan) held) && !IsOver(held);

    private bool IsOver((long Since, TimeSpan For) held) => timeProvider.GetElapsedTime(held.Since) >= held.For;
}
