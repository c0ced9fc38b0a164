using Xunit;

namespace NodeLock.Tests;

/// <summary>Waits for what happens on another thread: as short as it takes, and long enough that only a fault ends it.</summary>
internal static class Eventually
{
    public static TimeSpan Limit { get; } = TimeSpan.FromSeconds(30);

    /// <summary>Waits until a condition holds, looking again every millisecond.</summary>
    public static async Task TrueAsync(Func<bool> condition, string what)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            if (TimeProvider.System.GetElapsedTime(began) > Limit) Assert.Fail($"Not in {Limit.TotalSeconds} s: {what}.");
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    public static Task WithinLimit(this Task task) => task.WaitAsync(Limit);

    public static Task<T> WithinLimit<T>(this Task<T> task) => task.WaitAsync(Limit);

    public static Task<T> WithinLimit<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Limit);

    public static Task WithinLimit(this ValueTask task) => task.AsTask().WaitAsync(Limit);
}
