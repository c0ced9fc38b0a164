namespace NodeLock;

/// <summary>What one acquire asks for.</summary>
/// <threadsafety>Immutable.</threadsafety>
public sealed record AcquireOptions
{
    /// <summary>Why the node is taken, in a few words: 1 to 500 characters. Required.</summary>
    public required string Purpose { get; init; }

    /// <summary>How it is taken.</summary>
    /// <value>The default is <see cref="ReservationMode.Exclusive"/>.</value>
    public ReservationMode Mode { get; init; }

    /// <summary>How often to ask while the node is locked.</summary>
    /// <value>
    /// The default is null: <see cref="NodeLockOptions.NodeLockedRetryAttempts"/> and
    /// <see cref="NodeLockOptions.NodeLockedRetryInterval"/> as they stand when the acquire begins.
    /// </value>
    public LockRetry? Retry { get; init; }
}
