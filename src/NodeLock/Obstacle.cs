namespace NodeLock;

/// <summary>What stood in the way of an acquire when it was last looked at.</summary>
/// <param name="InWords">The obstacle as the end of a sentence, for where there is no reservation to name.</param>
/// <param name="Reservation">The reservation, if that is what it was.</param>
/// <param name="IsOurs">Whether a scope of this very process is in the way.</param>
internal sealed record Obstacle(string InWords, Reservation? Reservation = null, bool IsOurs = false)
{
    public static Obstacle RowInHand { get; } = new("a database transaction has its row in hand");

    public static Obstacle HeldBy(Reservation reservation) => new("it is reserved", reservation);

    public static Obstacle AskedFor(string purpose) => new($"this process is just asking for it, for \"{purpose}\"");
}
