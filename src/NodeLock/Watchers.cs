namespace NodeLock;

/// <summary>Who is to be woken when something happens to a node. Needs the lock of the gates.</summary>
internal sealed class Watchers
{
    private readonly Dictionary<NodeId, HashSet<WakeUp>> nodes = [];

    public void Add(NodeId nodeId, WakeUp watcher)
    {
        if (!nodes.TryGetValue(nodeId, out HashSet<WakeUp>? watching)) nodes.Add(nodeId, watching = []);
        watching.Add(watcher);
    }

    public void Remove(NodeId nodeId, WakeUp watcher)
    {
        if (nodes.TryGetValue(nodeId, out HashSet<WakeUp>? watching) && watching.Remove(watcher) && watching.Count == 0)
            nodes.Remove(nodeId);
    }

    /// <summary>Each is woken once, and watches no longer.</summary>
    public void Wake(NodeId nodeId)
    {
        if (!nodes.Remove(nodeId, out HashSet<WakeUp>? watching)) return;
        foreach (WakeUp watcher in watching) watcher.Wake_NeedsLock();
    }
}
