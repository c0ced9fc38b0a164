using System.Globalization;

namespace NodeLock.Benchmarks;

/// <summary>What was measured: told on stderr as it comes, and printed on stdout when all is over.</summary>
internal sealed class Figures
{
    private readonly List<string> lines = [];

    public static void Progress(FormattableString text) =>
        Console.Error.WriteLine(text.ToString(CultureInfo.InvariantCulture));

    /// <param name="name">Of which benchmark, of whom, and what: words with dots between.</param>
    /// <param name="value">Printed with four significant digits or more.</param>
    /// <param name="unit">One word; "x" for a ratio.</param>
    public void Add(string name, double value, string unit)
    {
        int whole = (int)Math.Floor(Math.Log10(Math.Max(Math.Abs(value), 1e-9))) + 1;
        int decimals = double.IsInteger(value) ? 0 : Math.Clamp(4 - whole, 0, 6);
        lines.Add($"{name} {value.ToString($"F{decimals}", CultureInfo.InvariantCulture)} {unit}");
    }

    public void Print() => lines.ForEach(Console.WriteLine);
}
