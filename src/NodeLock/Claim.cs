namespace NodeLock;

/// <summary>A reservation that this process has of a node, or may have: one for all its scopes that share the
/// node.</summary>
internal sealed record Claim(Registration Registration, long FencingToken, ReservationMode Mode)
{
    public HeldNode HeldNode(NodeId nodeId) => new(nodeId, FencingToken, Mode);
}

/// <summary>What a task scope was granted. An upgrade or downgrade puts another in its place.</summary>
internal sealed record Grant(long FencingToken, ReservationMode Mode, string Purpose, DateTimeOffset ReservedAt);
