using Xunit;

namespace NodeLock.Tests;

public sealed class SlowClockTests
{
    [Fact]
    public async Task An_acquire_ends_with_its_attempts_also_where_time_passes_between_two_looks_at_the_clock()
    {
        InMemoryNodeLockRepository repository = new();
        await using TaskManager holder = new(repository);
        await using TaskManager asker = new(repository, timeProvider: new SlowClock());
        await using TaskScope held = await holder.AcquireAsync(1, "hold");
        AcquireOptions often = new() { Purpose = "ask", Retry = new LockRetry(100, TimeSpan.FromMilliseconds(5)) };

        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(
            () => asker.AcquireAsync(1, often).AsTask().WaitAsync(TimeSpan.FromSeconds(60)));

        Assert.Equal(100, locked.Attempts);
    }

    /// <summary>All time is lost between looks: 2 ms go by at each.</summary>
    private sealed class SlowClock : TimeProvider
    {
        private long looks;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => 2 * Interlocked.Increment(ref looks);
    }
}
