namespace NodeLock;

/// <summary>How often and how far apart an acquire asks for a node that is locked.</summary>
/// <remarks>
/// The attempts lie <see cref="Interval"/> apart, so that a caller waits at most
/// (<see cref="MaxAttempts"/> − 1) × <see cref="Interval"/>. A release in the same process wakes the waiter for an
/// extra try that uses up no attempt. Nothing but "locked" is tried again.
/// </remarks>
/// <threadsafety>Immutable.</threadsafety>
public sealed record LockRetry
{
    /// <summary>Makes a retry.</summary>
    /// <param name="maxAttempts">Attempts in all, the first included; at least 1, which means no retry.</param>
    /// <param name="interval">The time from one attempt to the next: 1 ms to 1 day.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of these bounds.</exception>
    public LockRetry(int maxAttempts, TimeSpan interval)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxAttempts, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(interval, TimeSpan.FromMilliseconds(1));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(interval, TimeSpan.FromDays(1));
        MaxAttempts = maxAttempts;
        Interval = interval;
    }

    /// <summary>One attempt, no wait.</summary>
    public static LockRetry None { get; } = new(1, TimeSpan.FromSeconds(1));

    /// <summary>Attempts one second apart until the caller cancels.</summary>
    public static LockRetry Patient { get; } = new(int.MaxValue, TimeSpan.FromSeconds(1));

    /// <summary>Attempts in all, the first included; <see cref="int.MaxValue"/> means until cancelled.</summary>
    public int MaxAttempts { get; }

    /// <summary>The time from one attempt to the next.</summary>
    public TimeSpan Interval { get; }
}
