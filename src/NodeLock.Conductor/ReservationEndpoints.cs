using Microsoft.AspNetCore.Http.HttpResults;

namespace NodeLock.ConductorService;

/// <summary>Who holds a node, as a client sees it.</summary>
internal record ReservationView(ReservationMode Mode, IReadOnlyList<string> Holders, string Purpose,
    DateTimeOffset Since, long FencingToken, ReservationState State)
{
    public static ReservationView? Of(Reservation? reservation) => reservation is null
        ? null
        : new ReservationView(reservation.Mode, reservation.Holders, reservation.Purpose, reservation.ReservedAt,
            reservation.FencingToken, reservation.State);
}

/// <summary>The same in a list, with the node.</summary>
internal sealed record ListedReservation(NodeId NodeId, ReservationMode Mode, IReadOnlyList<string> Holders,
    string Purpose, DateTimeOffset Since, long FencingToken, ReservationState State)
    : ReservationView(Mode, Holders, Purpose, Since, FencingToken, State);

internal static class ReservationEndpoints
{
    public static void MapReservations(this IEndpointRouteBuilder app)
    {
        app.MapGet("/reservations", ListAsync);
        app.MapDelete("/reservations/{node}", BreakAsync);
    }

    private static async Task<IEnumerable<ListedReservation>> ListAsync(TaskManager taskManager,
        CancellationToken cancellationToken)
    {
        IReadOnlyList<Reservation> reservations = await taskManager.ListReservationsAsync(cancellationToken);
        return reservations.Select(r => new ListedReservation(r.NodeId, r.Mode, r.Holders, r.Purpose, r.ReservedAt,
            r.FencingToken, r.State));
    }

    /// <summary>Takes a node away from the one who was seen to hold it: by the token, or a sharer by name.</summary>
    private static async Task<Results<NoContent, ProblemHttpResult>> BreakAsync(NodeId node, long? token,
        string? holder, string? reason, TaskManager taskManager, CancellationToken cancellationToken)
    {
        if (token is null == string.IsNullOrWhiteSpace(holder))
            throw new BadHttpRequestException("Either \"token\" must be what /reservations says, or, for one of those "
                + "who share the node, \"holder\".");
        try
        {
            bool broken = token is { } seen
                ? await taskManager.BreakAsync(node, seen, reason!, cancellationToken)
                : await taskManager.BreakAsync(node, holder!, reason!, cancellationToken);
            if (broken) return TypedResults.NoContent();
        }
        catch (ArgumentException e) when (e.ParamName == nameof(reason))
        {
            throw new BadHttpRequestException("\"reason\" must say why, for the log, in 1 to 500 characters.", e);
        }

        Reservation? now = await taskManager.GetReservationAsync(node, cancellationToken);
        return TypedResults.Problem(
            now is null
                ? $"Node {node} is free."
                : $"Node {node} is held for \"{now.Purpose}\" by {string.Join(", ", now.Holders)}.",
            statusCode: StatusCodes.Status409Conflict, title: "There is no such reservation (any more)",
            extensions: new Dictionary<string, object?> { ["reservation"] = ReservationView.Of(now) });
    }
}
