namespace NodeLock.Tests.Safety;

/// <summary>The system's time, which a test can let jump, as it does for a process that was paused, or stand
/// still.</summary>
internal sealed class SteppedTime : TimeProvider
{
    private const long Running = long.MinValue;

    private long ahead;
    private long frozenAt = Running;

    public override long GetTimestamp() => (Volatile.Read(ref frozenAt) is not Running and var frozen ? frozen
        : System.GetTimestamp()) + Volatile.Read(ref ahead);

    public override DateTimeOffset GetUtcNow() =>
        System.GetUtcNow() + TimeSpan.FromSeconds((double)Volatile.Read(ref ahead) / TimestampFrequency);

    public void JumpAhead(TimeSpan time) =>
        Interlocked.Add(ref ahead, (long)(time.TotalSeconds * TimestampFrequency));

    public void Freeze() => Volatile.Write(ref frozenAt, System.GetTimestamp());
}
