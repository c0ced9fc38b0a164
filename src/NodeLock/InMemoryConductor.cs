namespace NodeLock;

/// <summary>A conductor's entry in the <see cref="InMemoryNodeLockRepository"/>.</summary>
internal sealed class InMemoryConductor
{
    public InMemoryConductorState State { get; set; }

    public DateTimeOffset ExpiresAt { get; set; }

    public bool RequiresFence { get; init; }

    /// <summary>Who has claimed it to be fenced. A claim lasts as long as the claimer lives.</summary>
    public string? FencedBy { get; set; }

    public bool IsAlive => State == InMemoryConductorState.Alive;

    /// <summary>Whether its reservations count no longer. One that waits for its fence has not ended.</summary>
    public bool HasEnded => State is InMemoryConductorState.Fenced or InMemoryConductorState.Left;
}

/// <summary>What becomes of a conductor: alive, then dead, then fenced; or alive, then left. Never back.</summary>
internal enum InMemoryConductorState
{
    Alive,
    Dead,
    Fenced,
    Left,
}
