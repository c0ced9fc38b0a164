using Xunit;

namespace NodeLock.Tests;

public sealed class TrustWindowTests
{
    [Theory]
    [InlineData(60_000, 6_000)]
    [InlineData(10_000, 1_000)]
    [InlineData(5_000, 1_000)]
    [InlineData(3_000, 1_000)]
    [InlineData(2_999, 999.6666)]
    [InlineData(300, 100)]
    public void The_margin_is_a_tenth_raised_to_a_second_and_never_above_a_third(int lease, double margin) =>
        Assert.Equal(margin, TrustWindow.MarginOf(TimeSpan.FromMilliseconds(lease)).TotalMilliseconds, 3);

    [Fact]
    public void The_window_closes_a_margin_before_the_lease_could_end()
    {
        TimeSpan sentAt = TimeSpan.FromHours(1);
        TrustWindow window = TrustWindow.OpenedBy(sentAt, TimeSpan.FromSeconds(60));

        Assert.Equal(sentAt + TimeSpan.FromSeconds(54), window.ClosesAt);
        Assert.True(window.IsOpenAt(sentAt));
        Assert.True(window.IsOpenAt(window.ClosesAt - World.Tick));
        Assert.False(window.IsOpenAt(window.ClosesAt));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(long.MaxValue)]
    [InlineData(long.MinValue)]
    public void A_closed_window_is_open_at_no_time(long ticks) =>
        Assert.False(TrustWindow.Closed.IsOpenAt(TimeSpan.FromTicks(ticks)));

    [Fact]
    public void For_every_lease_that_may_be_configured_the_window_outlasts_two_heartbeats_less_the_margin()
    {
        foreach (int milliseconds in new[] { 300, 1_000, 3_000, 10_000, 60_000, 86_400_000 })
        {
            TimeSpan lease = TimeSpan.FromMilliseconds(milliseconds);
            TrustWindow window = TrustWindow.OpenedBy(TimeSpan.Zero, lease);
            Assert.True(window.ClosesAt >= lease * 2 / 3 - World.Tick, $"{lease}: {window.ClosesAt}");
            Assert.True(window.ClosesAt < lease);
        }
    }
}
