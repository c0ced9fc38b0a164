using System.Diagnostics;

namespace NodeLock.Tests.Postgres;

/// <summary>What a scope believes to have: the node alone, or a share of it.</summary>
public enum BeliefMode
{
    Exclusive,
    Shared,
}

/// <summary>
/// The time in which a scope believed that it had a node. <see cref="Begin"/> and <see cref="End"/> are of
/// <see cref="Stopwatch.GetTimestamp"/>: CLOCK_MONOTONIC on Linux, the same for all processes of the machine.
/// </summary>
public sealed record Belief(
    string Node, string ScopeId, string Holder, long Token, BeliefMode Mode, long Begin, long End)
{
    public bool Excludes(Belief other)
        => Node == other.Node
            && (Mode == BeliefMode.Exclusive || other.Mode == BeliefMode.Exclusive)
            && Begin < other.End
            && other.Begin < End;

    public override string ToString()
        => $"{ScopeId} of {Holder} ({Mode}, token {Token}) from {Begin} to {End}";
}

/// <summary>Two scopes believed at the same time what cannot be true at the same time.</summary>
public sealed record BeliefOverlap(Belief First, Belief Second)
{
    public TimeSpan Duration
        => Stopwatch.GetElapsedTime(Math.Max(First.Begin, Second.Begin), Math.Min(First.End, Second.End));

    public override string ToString()
        => $"Node {First.Node}: {First} and {Second} overlap for {Duration.TotalMilliseconds} ms.";
}

/// <summary>Judges the beliefs of all processes of a test together.</summary>
public static class BeliefJudge
{
    /// <summary>The beliefs that the lines of any number of processes tell of, in any order of processes.</summary>
    /// <remarks>
    /// Lines of other kinds are passed over, and so is the torn last line of a killed process. A belief without an end
    /// (its process was killed) ends where it was last confirmed: later than that nobody acted on it.
    /// </remarks>
    public static IReadOnlyList<Belief> Read(IEnumerable<string> lines)
    {
        Dictionary<string, Belief> open = new(StringComparer.Ordinal);
        List<Belief> beliefs = [];
        foreach (string line in lines)
        {
            if (BeliefLine.TryParse(line) is not { } parsed)
                continue;
            if (parsed.Kind == BeliefLine.Begin)
            {
                if (open.Remove(parsed.ScopeId, out Belief? previous))
                    beliefs.Add(previous);
                open.Add(parsed.ScopeId, parsed.ToBelief());
            }
            else if (open.TryGetValue(parsed.ScopeId, out Belief? belief))
            {
                bool known = parsed.Kind is BeliefLine.Confirm or BeliefLine.End;
                open[parsed.ScopeId] = belief = known ? belief with { End = Math.Max(belief.End, parsed.At) } : belief;
                if (parsed.Kind != BeliefLine.Confirm && open.Remove(parsed.ScopeId))
                    beliefs.Add(belief);
            }
        }

        return [.. beliefs, .. open.Values];
    }

    /// <summary>
    /// Beliefs with a token that is not greater than those before it. A server that crashes may have forgotten its own
    /// history of some; those who had them have not.
    /// </summary>
    /// <remarks>
    /// An exclusive one's is greater than all. The stamp of those who share is at least the token of the last writer,
    /// which a scope keeps whose downgrade was not answered.
    /// </remarks>
    public static IReadOnlyList<Belief> Regressions(IEnumerable<Belief> beliefs)
    {
        List<Belief> regressions = [];
        foreach (IGrouping<string, Belief> node in beliefs.GroupBy(belief => belief.Node, StringComparer.Ordinal))
        {
            long highest = 0, highestOfWriters = 0;
            foreach (Belief belief in node.OrderBy(belief => belief.Begin))
            {
                bool writes = belief.Mode == BeliefMode.Exclusive;
                if (writes ? belief.Token <= highest : belief.Token < highestOfWriters)
                    regressions.Add(belief);
                highest = Math.Max(highest, belief.Token);
                if (writes)
                    highestOfWriters = Math.Max(highestOfWriters, belief.Token);
            }
        }

        return regressions;
    }

    public static IReadOnlyList<BeliefOverlap> Overlaps(IEnumerable<string> lines) => Overlaps(Read(lines));

    public static IReadOnlyList<BeliefOverlap> Overlaps(IEnumerable<Belief> beliefs)
    {
        List<BeliefOverlap> overlaps = [];
        foreach (IGrouping<string, Belief> node in beliefs.GroupBy(belief => belief.Node, StringComparer.Ordinal))
        {
            List<Belief> current = [];
            foreach (Belief belief in node.OrderBy(belief => belief.Begin))
            {
                current.RemoveAll(earlier => earlier.End <= belief.Begin);
                overlaps.AddRange(current.Where(belief.Excludes).Select(earlier => new BeliefOverlap(earlier, belief)));
                current.Add(belief);
            }
        }

        return overlaps;
    }
}
