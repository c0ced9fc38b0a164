using Xunit;

namespace NodeLock.Tests;

public sealed class LockRetryTests
{
    [Fact]
    public void None_is_one_attempt() => Assert.Equal(1, LockRetry.None.MaxAttempts);

    [Fact]
    public void Patient_asks_every_second_without_end()
    {
        Assert.Equal(int.MaxValue, LockRetry.Patient.MaxAttempts);
        Assert.Equal(TimeSpan.FromSeconds(1), LockRetry.Patient.Interval);
    }

    [Fact]
    public void The_bounds_are_allowed()
    {
        Assert.Equal(1, new LockRetry(1, TimeSpan.FromMilliseconds(1)).MaxAttempts);
        Assert.Equal(TimeSpan.FromDays(1), new LockRetry(int.MaxValue, TimeSpan.FromDays(1)).Interval);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void Fewer_attempts_than_one_are_refused(int attempts) => Assert.Equal("maxAttempts",
        Assert.Throws<ArgumentOutOfRangeException>(() => new LockRetry(attempts, TimeSpan.FromSeconds(1))).ParamName);

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(9_999)]
    [InlineData(TimeSpan.TicksPerDay + 1)]
    public void An_interval_out_of_bounds_is_refused(long ticks) => Assert.Equal("interval",
        Assert.Throws<ArgumentOutOfRangeException>(() => new LockRetry(3, TimeSpan.FromTicks(ticks))).ParamName);

    [Fact]
    public void Retries_are_equal_when_their_values_are() =>
        Assert.Equal(new LockRetry(2, TimeSpan.FromSeconds(5)), new LockRetry(2, TimeSpan.FromSeconds(5)));
}
