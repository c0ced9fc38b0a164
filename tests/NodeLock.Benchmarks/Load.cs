using System.Diagnostics;

namespace NodeLock.Benchmarks;

/// <summary>Tasks that each do one cycle after another for some time.</summary>
/// <param name="Tasks">How many.</param>
/// <param name="WarmUp">For how long what they do is not counted.</param>
/// <param name="Time">For how long it is.</param>
internal sealed record Load(int Tasks, TimeSpan WarmUp, TimeSpan Time)
{
    /// <param name="cycle">True when it counts.</param>
    /// <param name="stop">Ends it before its time.</param>
    /// <returns>Cycles a second.</returns>
    public async Task<double> RunAsync(Func<CancellationToken, Task<bool>> cycle, CancellationToken stop)
    {
        long began = Stopwatch.GetTimestamp();
        long[] cycles = await Task.WhenAll(
            Enumerable.Range(0, Tasks).Select(_ => Task.Run(() => CyclesAsync(began, cycle, stop), stop)));
        return cycles.Sum() / Time.TotalSeconds;
    }

    private async Task<long> CyclesAsync(long began, Func<CancellationToken, Task<bool>> cycle, CancellationToken stop)
    {
        long count = 0;
        while (true)
        {
            bool counts = await cycle(stop);
            TimeSpan elapsed = Stopwatch.GetElapsedTime(began);
            if (elapsed > WarmUp + Time) return count;
            if (counts && elapsed > WarmUp) count++;
        }
    }
}
