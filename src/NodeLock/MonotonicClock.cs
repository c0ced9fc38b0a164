using System.Runtime.InteropServices;

namespace NodeLock;

/// <summary>The process's own clock for its trust window: it only grows, and means nothing to anybody else.</summary>
internal abstract partial class MonotonicClock
{
    /// <summary>The time since a moment that stays the same while the process lives.</summary>
    public abstract TimeSpan Now { get; }

    /// <summary>
    /// The system's clock becomes CLOCK_BOOTTIME on Linux: CLOCK_MONOTONIC, which <see cref="TimeProvider"/> reads,
    /// stands still while the machine sleeps, and the lease does not.
    /// </summary>
    public static MonotonicClock Of(TimeProvider timeProvider) =>
        timeProvider == TimeProvider.System && OperatingSystem.IsLinux()
            ? new BootClock()
            : new ProviderClock(timeProvider);

    private sealed class ProviderClock(TimeProvider timeProvider) : MonotonicClock
    {
        private readonly long start = timeProvider.GetTimestamp();

        public override TimeSpan Now => timeProvider.GetElapsedTime(start);
    }

    private sealed partial class BootClock : MonotonicClock
    {
        private const int ClockBootTime = 7; // linux/time.h

        public override TimeSpan Now => ClockGetTime(ClockBootTime, out TimeSpec time) == 0
            ? new TimeSpan((time.Seconds * TimeSpan.TicksPerSecond) + (time.Nanoseconds / TimeSpan.NanosecondsPerTick))
            : throw new PlatformNotSupportedException("clock_gettime(CLOCK_BOOTTIME) failed.");

        [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
        private static partial int ClockGetTime(int clock, out TimeSpec time);

        [StructLayout(LayoutKind.Sequential)]
        private struct TimeSpec
        {
            public nint Seconds;
            public nint Nanoseconds;
        }
    }
}
