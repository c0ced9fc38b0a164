using System.Globalization;

namespace NodeLock.Benchmarks;

/// <summary>One time that a process had the node: by which token, and from when to just before its dispose, on the
/// machine's monotonic clock.</summary>
internal sealed record Turn(long Token, long Acquired, long Released)
{
    public static Turn Parse(string text)
    {
        long[] numbers = [.. text.Split(',').Select(n => long.Parse(n, CultureInfo.InvariantCulture))];
        return new Turn(numbers[0], numbers[1], numbers[2]);
    }

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Token},{Acquired},{Released}");
}
