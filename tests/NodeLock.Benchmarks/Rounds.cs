using System.Collections;

namespace NodeLock.Benchmarks;

/// <summary>Rounds in which contestants take turns: first those that warm up, then those that count.</summary>
/// <param name="WarmUp">How many do not count.</param>
/// <param name="Counted">How many count.</param>
/// <param name="Cycles">How much each contestant does in one.</param>
internal sealed record Rounds(int WarmUp, int Counted, int Cycles) : IEnumerable<Round>
{
    public IEnumerator<Round> GetEnumerator()
    {
        for (int number = 1 - WarmUp; number <= Counted; number++) yield return new Round(number, Counted);
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <param name="Number">From 1; 0 and less for those that warm up.</param>
/// <param name="Last">The number of the last one.</param>
internal sealed record Round(int Number, int Last)
{
    public bool Counts => Number > 0;

    /// <summary>Now and then, what was measured in this round.</summary>
    public void Tell(string measured)
    {
        if (Number % 10 != 0 && Number != Last) return;
        string name = Counts ? $"round {Number} of {Last}" : "warm-up";
        Figures.Progress($"  {name}: {measured}");
    }
}
