namespace NodeLock;

/// <summary>A reservation that this process has of a node, or may have: one for all its scopes that share the
/// node.</summary>
/// <param name="Registration">Under which it was made.</param>
/// <param name="FencingToken">Its token, or the stamp of a shared entry.</param>
/// <param name="Mode">How the node is reserved.</param>
internal sealed record Claim(Registration Registration, long FencingToken, ReservationMode Mode)
{
    /// <summary>The token of the durable reservation that it began as; its own, if it was not handed over since.
    /// </summary>
    public long DrawnWith { get; init; } = FencingToken;

    /// <summary>Tokens that are left of those drawn with that, for further hand-overs.</summary>
    public ReadOnlyMemory<long> Spares { get; init; }

    /// <summary>What has become of it by a hand-over.</summary>
    public Claim HandedOver() => this with { FencingToken = Spares.Span[0], Spares = Spares[1..] };

    public Claim WithoutSpares() => this with { Spares = default };

    public bool IsSameAs(Claim? other) => other is not null && Registration == other.Registration
        && FencingToken == other.FencingToken && Mode == other.Mode;

    public HeldNode HeldNode(NodeId nodeId) => new(nodeId, FencingToken, Mode);
}

/// <summary>What a task scope was granted. An upgrade or downgrade puts another in its place.</summary>
internal sealed record Grant(long FencingToken, ReservationMode Mode, string Purpose, DateTimeOffset ReservedAt)
{
    /// <summary>The durable reservation with which the token was drawn; after a hand-over it is an earlier
    /// one.</summary>
    public long DrawnWith { get; init; } = FencingToken;
}
