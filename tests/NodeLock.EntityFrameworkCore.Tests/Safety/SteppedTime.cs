namespace NodeLock.Tests.Safety;

/// <summary>The system's time, which a test can let jump ahead, as it does for a process that was paused.</summary>
internal sealed class SteppedTime : TimeProvider
{
    private long ahead;

    public override long GetTimestamp() => System.GetTimestamp() + Volatile.Read(ref ahead);

    public void JumpAhead(TimeSpan time) =>
        Interlocked.Add(ref ahead, (long)(time.TotalSeconds * TimestampFrequency));
}
