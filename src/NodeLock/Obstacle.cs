using System.Globalization;

namespace NodeLock;

/// <summary>What stood in the way of an acquire when it was last looked at.</summary>
internal sealed class Obstacle
{
    private readonly string words;

    private Obstacle(string words, Reservation? reservation = null, bool isOurs = false)
    {
        this.words = words;
        Reservation = reservation;
        IsOurs = isOurs;
    }

    public static Obstacle RowInHand { get; } = new("a database transaction has its row in hand");

    public static Obstacle WriterWaits { get; } = new("a writer of another conductor waits for it");

    public static Obstacle GivesWay { get; } =
        new("another conductor waits for it, and this process, which has just had it, lets it try first");

    /// <summary>The reservation, if that is what it was.</summary>
    public Reservation? Reservation { get; }

    /// <summary>Whether a scope of this very process is in the way.</summary>
    public bool IsOurs { get; }

    public static Obstacle HeldBy(Reservation reservation, bool writerWaits = false) => new(
        Describe(string.Join(", ", reservation.Holders), reservation) + (writerWaits ? ", and a writer waits" : ""),
        reservation);

    public static Obstacle HeldHere(Reservation reservation) =>
        new(Describe($"this very process ({reservation.Holders[0]})", reservation), reservation, isOurs: true);

    public static Obstacle AskedFor(string purpose) => new($"this process is just asking for it, for \"{purpose}\"");

    /// <summary>The obstacle in words, to follow a colon.</summary>
    public override string ToString() => words;

    private static string Describe(string who, Reservation held) => string.Create(CultureInfo.InvariantCulture,
        $"{(held.Mode == ReservationMode.Shared ? "shared" : "held")} by {who} for \"{held.Purpose}\" since "
        + $"{held.ReservedAt:u}, fencing token {held.FencingToken}"
        + $"{(held.State == ReservationState.WaitingForFence ? ", dead and waiting for its fence" : "")}");
}
