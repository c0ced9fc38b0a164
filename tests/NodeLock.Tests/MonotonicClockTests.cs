using System.Globalization;
using Xunit;

namespace NodeLock.Tests;

public sealed class MonotonicClockTests
{
    [Fact]
    public void A_clock_that_the_test_moves_is_followed()
    {
        ManualTime time = new();
        MonotonicClock clock = MonotonicClock.Of(time);
        TimeSpan began = clock.Now;

        time.Advance(TimeSpan.FromSeconds(90));

        Assert.Equal(TimeSpan.FromSeconds(90), clock.Now - began);
    }

    [Fact]
    public async Task The_systems_clock_only_grows()
    {
        MonotonicClock clock = MonotonicClock.Of(TimeProvider.System);
        TimeSpan last = clock.Now;
        for (int i = 0; i < 10_000; i++)
        {
            TimeSpan now = clock.Now;
            Assert.True(now >= last);
            last = now;
        }

        TimeSpan began = clock.Now;
        await Eventually.TrueAsync(() => clock.Now - began > TimeSpan.FromMilliseconds(5), "the clock moves");
    }

    [Fact]
    public void On_linux_the_systems_clock_counts_from_the_boot_of_the_machine()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.NotEqual(default, MonotonicClock.Of(TimeProvider.System).Now);
            return;
        }

        // proc(5): the first number of /proc/uptime is the time since boot, sleep included, as CLOCK_BOOTTIME has it.
        double uptime = double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], CultureInfo.InvariantCulture);

        Assert.Equal(uptime, MonotonicClock.Of(TimeProvider.System).Now.TotalSeconds, 10.0);
    }
}
