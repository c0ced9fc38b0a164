using FsCheck;
using FsCheck.Fluent;

namespace NodeLock.Tests.Model;

/// <summary>What one step of a random run does.</summary>
internal enum StepKind
{
    TryWrite,
    TryRead,

    /// <summary>Begins an acquire that waits, in either mode.</summary>
    Wait,
    Upgrade,
    Downgrade,
    Dispose,
    Spawn,
    Break,
    Pass,

    /// <summary>A conductor ends with what it holds, and another takes its place.</summary>
    Kill,

    /// <summary>A conductor is cut off until it is declared dead, and comes back.</summary>
    CutOff,
}

/// <param name="Kind">What is done.</param>
/// <param name="Conductor">By which conductor.</param>
/// <param name="Node">To which node.</param>
/// <param name="Pick">With which of the scopes held, or in which mode.</param>
internal sealed record Step(StepKind Kind, int Conductor, int Node, int Pick)
{
    public const int Conductors = 3, Nodes = 2;

    private static readonly (int Weight, StepKind Kind)[] Weights =
    [
        (10, StepKind.TryWrite), (14, StepKind.TryRead), (4, StepKind.Wait), (8, StepKind.Upgrade),
        (6, StepKind.Downgrade), (16, StepKind.Dispose), (4, StepKind.Spawn), (2, StepKind.Break), (4, StepKind.Pass),
        (1, StepKind.Kill), (1, StepKind.CutOff),
    ];

    /// <summary>Runs of this many steps; those that fail shrink by leaving steps out.</summary>
    public static Arbitrary<Step[]> Runs(int length)
    {
        Gen<Step> step =
            from kind in Gen.Elements(Weights.SelectMany(w => Enumerable.Repeat(w.Kind, w.Weight)))
            from conductor in Gen.Choose(0, Conductors - 1)
            from node in Gen.Choose(0, Nodes - 1)
            from pick in Gen.Choose(0, 5)
            select new Step(kind, conductor, node, pick);
        return Arb.From(step.ArrayOf(length), Shrink);
    }

    private static IEnumerable<Step[]> Shrink(Step[] steps)
    {
        for (int chunk = steps.Length / 2; chunk > 0; chunk /= 2)
            for (int from = 0; from < steps.Length; from += chunk)
                yield return [.. steps[..from], .. steps[Math.Min(from + chunk, steps.Length)..]];
    }
}
