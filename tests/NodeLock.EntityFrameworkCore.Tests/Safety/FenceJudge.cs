using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// P18, from what the database noted: a node of the dead gets a fresh token, then it is fenced under that token, then
/// it is free, and then somebody else has it; and only one that is alive and has the claim fences it.
/// </summary>
internal static class FenceJudge
{
    /// <param name="reservations">All changes of the nodes.</param>
    /// <param name="fences">What the fences noted.</param>
    /// <param name="deadHolder">Whose nodes they are.</param>
    /// <param name="deaths">When the conductor of a process was declared dead; null while it lives.</param>
    public static IReadOnlyList<string> Check(IEnumerable<ReservationChange> reservations,
        IReadOnlyList<FenceEvent> fences, string deadHolder, Func<int, DateTimeOffset?> deaths)
    {
        List<string> violations = [];
        ReservationChange[] changes = [.. reservations];
        foreach (ReservationChange freed in changes.Where(c => c.OldHolder == deadHolder && c.NewHolder != deadHolder))
            if (Unfenced(freed, fences) is { } unfenced) violations.Add(unfenced);
        foreach (FenceEvent begun in fences.Where(f => f.What == "begins"))
            if (Unrevoked(begun, changes) is { } unrevoked) violations.Add(unrevoked);
        foreach (IGrouping<string, FenceEvent> node in fences.Where(f => f.DeadHolder == deadHolder)
            .GroupBy(f => f.Node))
            violations.AddRange(Overlaps([.. node], deaths));
        return violations;
    }

    private static string? Unfenced(ReservationChange freed, IReadOnlyList<FenceEvent> fences) =>
        freed.NewHolder is not null ? $"Taken over without being free: {freed}."
        : fences.Any(f => f.What == "ends" && f.Node == freed.Node && f.Token == freed.OldToken && f.At <= freed.At)
            ? null
            : $"Freed before its fence had ended: {freed}.";

    private static string? Unrevoked(FenceEvent begun, ReservationChange[] changes)
    {
        ReservationChange? revoked = changes.LastOrDefault(c => c.Node == begun.Node && c.NewToken == begun.Token
            && c.OldHolder == begun.DeadHolder && c.NewHolder == begun.DeadHolder);
        return revoked is not null && revoked.At <= begun.At ? null : $"Fenced before it was revoked: {begun}.";
    }

    // A fence that was not heard to end goes on until its conductor is dead; later than that it may trust in nothing.
    private static IEnumerable<string> Overlaps(FenceEvent[] events, Func<int, DateTimeOffset?> deaths)
    {
        FenceEvent[] begun = [.. events.Where(e => e.What == "begins")];
        foreach ((FenceEvent first, FenceEvent second) in begun.Zip(begun.Skip(1)))
        {
            DateTimeOffset? ended = events.FirstOrDefault(e => e.What != "begins" && e.Token == first.Token)?.At;
            DateTimeOffset? over = ended is { } end && deaths(first.ProcessId) is { } death
                ? (end < death ? end : death)
                : ended ?? deaths(first.ProcessId);
            if (over is null || over > second.At) yield return $"Two fences at once: {first} and {second}.";
            if (second.Token <= first.Token) yield return $"A fence under no fresh token: {second}.";
        }
    }
}
