using System.Globalization;

namespace NodeLock.Benchmarks;

/// <summary>What was measured, each figure once in each run.</summary>
internal sealed class Figures
{
    private readonly OrderedDictionary<string, Figure> all = [];

    public IEnumerable<Figure> All => all.Values;

    public static void Progress(FormattableString text) =>
        Console.Error.WriteLine(text.ToString(CultureInfo.InvariantCulture));

    /// <param name="name">Of which benchmark, of whom, and what: words with dots between.</param>
    /// <param name="value">What was measured.</param>
    /// <param name="unit">One word; "x" for a ratio.</param>
    public void Add(string name, double value, string unit)
    {
        if (!all.TryGetValue(name, out Figure? figure)) all.Add(name, figure = new Figure(name, unit));
        figure.Values.Add(value);
    }

    public Figure? Find(string name) => all.GetValueOrDefault(name);

    /// <summary>The medians over all runs, on stdout.</summary>
    public void Print()
    {
        foreach (Figure figure in All)
            Console.WriteLine($"{figure.Name} {figure.Text()} {figure.Unit}");
    }
}

/// <summary>One figure of all runs.</summary>
internal sealed record Figure(string Name, string Unit)
{
    public List<double> Values { get; } = [];

    public double Median => Values.Median();

    public string Text() => Text(Median);

    /// <summary>From the least to the greatest of the runs.</summary>
    public string Range() => $"{Text(Values.Min())} – {Text(Values.Max())}";

    /// <summary>With four significant digits or more.</summary>
    public static string Text(double value)
    {
        if (!double.IsFinite(value)) return "none";
        int whole = (int)Math.Floor(Math.Log10(Math.Max(Math.Abs(value), 1e-9))) + 1;
        int decimals = double.IsInteger(value) ? 0 : Math.Clamp(4 - whole, 0, 6);
        return value.ToString($"F{decimals}", CultureInfo.InvariantCulture);
    }
}
