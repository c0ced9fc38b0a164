namespace NodeLock.EntityFrameworkCore;

/// <summary>The columns of a reservation table, delimited for SQL.</summary>
internal sealed record ReservationColumns(
    string Id,
    string Reservation,
    string Token,
    string Purpose,
    string ReservedAt,
    string Shared,
    string WantedUntil,
    string WriterUntil)
{
    public static ReservationColumns Of(TableNames table) => new(
        table.Column(ReservationTable.Id),
        table.Column(ReservationTable.Reservation),
        table.Column(ReservationTable.Token),
        table.Column(ReservationTable.Purpose),
        table.Column(ReservationTable.ReservedAt),
        table.Column(ReservationTable.Shared),
        table.Column(ReservationTable.WantedUntil),
        table.Column(ReservationTable.WriterUntil));
}

/// <summary>The columns of the conductors table, delimited for SQL.</summary>
internal sealed record ConductorColumns(
    string Holder,
    string Kind,
    string Name,
    string Host,
    string ProcessId,
    string State,
    string StartedAt,
    string HeartbeatAt,
    string ExpiresAt,
    string RequiresFence,
    string FencedBy)
{
    public static ConductorColumns Of(TableNames table) => new(
        table.Column(ConductorsTable.Holder),
        table.Column(ConductorsTable.Kind),
        table.Column(ConductorsTable.ConductorName),
        table.Column(ConductorsTable.Host),
        table.Column(ConductorsTable.ProcessId),
        table.Column(ConductorsTable.State),
        table.Column(ConductorsTable.StartedAt),
        table.Column(ConductorsTable.HeartbeatAt),
        table.Column(ConductorsTable.ExpiresAt),
        table.Column(ConductorsTable.RequiresFence),
        table.Column(ConductorsTable.FencedBy));
}
