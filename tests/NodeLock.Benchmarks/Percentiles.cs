namespace NodeLock.Benchmarks;

/// <summary>Where most of the measured values lie.</summary>
internal static class Percentiles
{
    public static double Median(this IEnumerable<double> values) => values.Percentile(50);

    /// <returns>Not a number where nothing was measured.</returns>
    public static double Percentile(this IEnumerable<double> values, int percent)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : sorted[Math.Min(sorted.Length - 1, sorted.Length * percent / 100)];
    }

    /// <summary>The median of the ratios of what was measured in the same round: what else the machine does comes and
    /// goes, and is much the same within a round.</summary>
    public static double RatioByRound(IEnumerable<double> mine, IEnumerable<double> its) =>
        mine.Zip(its, (m, i) => m / i).Median();
}
