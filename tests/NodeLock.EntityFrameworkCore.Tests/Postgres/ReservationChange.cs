namespace NodeLock.Tests.Postgres;

/// <summary>
/// One change of a node's reservation, as the database made it. The old values are null when the row was inserted, the
/// new ones when it was deleted; a holder is null as well where nobody holds the node exclusively.
/// </summary>
public sealed record ReservationChange(
    long Seq,
    DateTimeOffset At,
    long TransactionId,
    string Node,
    string? OldHolder,
    string? NewHolder,
    long? OldToken,
    long? NewToken,
    string? NewPurpose)
{
    public bool IsInsert => OldToken is null;

    public bool IsDelete => NewToken is null;

    /// <summary>Whether somebody got the node exclusively, be it once more.</summary>
    public bool IsReservation => NewHolder is not null;

    public override string ToString()
        => $"change {Seq} of node {Node} ({Word(OldHolder, OldToken)} -> {Word(NewHolder, NewToken)})";

    private static string Word(string? holder, long? token)
        => token is null ? "no row" : $"{holder ?? "free"}, token {token}";
}
