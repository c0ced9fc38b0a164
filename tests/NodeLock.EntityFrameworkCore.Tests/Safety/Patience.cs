using System.Diagnostics;

namespace NodeLock.Tests.Safety;

/// <summary>Waits for what happens in another process or in the database.</summary>
internal static class Patience
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(25);

    /// <summary>Generous: what takes longer than this does not happen.</summary>
    public static TimeSpan Limit { get; } = TimeSpan.FromSeconds(60);

    /// <exception cref="TimeoutException">It did not become true within the limit.</exception>
    public static async Task UntilAsync(string what, Func<Task<bool>> condition)
    {
        long began = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(began) > Limit)
                throw new TimeoutException($"Within {Limit} it did not happen that {what}.");
            await Task.Delay(Interval);
        }
    }

    /// <summary>The first answer; what fails meanwhile, since the database is away, is asked again.</summary>
    public static async Task<T> SucceedsAsync<T>(Func<Task<T>> attempt)
    {
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                return await attempt();
            }
            catch (Exception e) when (e is System.Data.Common.DbException or TimeoutException or NodeLockedException
                && Stopwatch.GetElapsedTime(began) < Limit)
            {
                await Task.Delay(Interval);
            }
        }
    }
}
