namespace NodeLock.ConductorService;

/// <summary>Who holds a node, as a client sees it.</summary>
internal record ReservationView(string Holder, string Purpose, DateTimeOffset Since, long FencingToken,
    ReservationState State)
{
    public static ReservationView? Of(Reservation? reservation) => reservation is null
        ? null
        : new ReservationView(reservation.Holders[0], reservation.Purpose, reservation.ReservedAt,
            reservation.FencingToken, reservation.State);
}

/// <summary>The same in a list, with the node.</summary>
internal sealed record ListedReservation(NodeId NodeId, string Holder, string Purpose, DateTimeOffset Since,
    long FencingToken, ReservationState State) : ReservationView(Holder, Purpose, Since, FencingToken, State);

internal static class ReservationEndpoints
{
    public static void MapReservations(this IEndpointRouteBuilder app) => app.MapGet("/reservations", ListAsync);

    private static async Task<IEnumerable<ListedReservation>> ListAsync(TaskManager taskManager,
        CancellationToken cancellationToken)
    {
        IReadOnlyList<Reservation> reservations = await taskManager.ListReservationsAsync(cancellationToken);
        return reservations.Select(r => new ListedReservation(r.NodeId, r.Holders[0], r.Purpose, r.ReservedAt,
            r.FencingToken, r.State));
    }
}
