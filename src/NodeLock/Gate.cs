namespace NodeLock;

/// <summary>
/// The line inside one process for one node. First come, first served: only the first in line talks to the store, and
/// whoever got the node stays first until its turn ends. A gate exists while somebody is in line.
/// </summary>
internal sealed class Gate(Gates gates, NodeId nodeId)
{
    private readonly LinkedList<Place> line = [];

    public Gates Gates => gates;
    public NodeId NodeId => nodeId;

    public Place? First_NeedsLock => line.First?.Value;

    public int Length_NeedsLock => line.Count;

    /// <summary>When the first in line last asked.</summary>
    public long? AskedAt_NeedsLock { get; set; }

    /// <summary>What the first in line met when it last asked.</summary>
    public Obstacle? Met_NeedsLock { get; set; }

    /// <summary>A reservation that this process has, or may have, and no scope uses: for the next to name.</summary>
    public Unused? Unused_NeedsLock { get; set; }

    public Place Join_NeedsLock(string purpose)
    {
        Place place = new(this, purpose);
        line.AddLast(place.Entry);
        return place;
    }

    /// <summary>Takes a place out of the line; the next becomes first, and is woken where the turn of one that had the
    /// node is over.</summary>
    public void Remove_NeedsLock(Place place)
    {
        bool hadTheNode = place.Holding is not null || Unused_NeedsLock is not null;
        bool wasFirst = First_NeedsLock == place;
        line.Remove(place.Entry);
        if (line.Count == 0) gates.Retire_NeedsLock(this);
        else if (wasFirst && hadTheNode) First_NeedsLock!.Wake_NeedsLock();
    }

    public void WakeAll_NeedsLock()
    {
        foreach (Place place in line) place.Wake_NeedsLock();
    }
}

/// <summary>A reservation of this process that no scope uses.</summary>
internal sealed record Unused(Registration Registration, long FencingToken);
