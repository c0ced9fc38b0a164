using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>Reads what the statements about reservations answer.</summary>
internal static class ReserveReply
{
    // Waits: of an exclusive grant, how long somebody is to be told of its end; else how long a writer waits.
    private const int Id = 0, Word = 1, Token = 2, ReservedAt = 3, Waits = 4, Wish = 5, Standing = 6,
        Place = 12, Spares = 12;

    /// <summary>
    /// The answer to a request. Null where the statement could not decide: the node has no row yet, or others share it.
    /// </summary>
    public static ReserveAnswer? Read(NpgsqlDataReader row, ReserveRequest request, Func<object, NodeId> spell)
    {
        NodeId nodeId = NodeOf(row, Id, request, spell);
        return row.GetString(Word) switch
        {
            "granted" => Granted(row, request, nodeId),
            "taken" => Taken(row, nodeId),
            "unnamed" => new ReserveAnswer.Unnamed(row.GetInt64(Token), StandingOf(row, nodeId, Standing).Mode),
            "not held" => new ReserveAnswer.NotHeld(),
            "withheld" => new ReserveAnswer.Withheld(),
            "not alive" => new ReserveAnswer.ConductorNotAlive(),
            "in hand" => new ReserveAnswer.RowInHand(),
            "not found" => new ReserveAnswer.NodeNotFound(),
            "shared" or "without a row" => null,
            string unknown => throw new InvalidOperationException($"A reserve was answered with '{unknown}'."),
        };
    }

    /// <summary>The same of one of several requests, which the row names by its place.</summary>
    public static ReserveAnswer? Read(
        NpgsqlDataReader row, IReadOnlyList<ReserveRequest> requests, Func<object, NodeId> spell) =>
        Read(row, requests[(int)row.GetInt64(Place) - 1] with { Spares = 0 }, spell);

    /// <summary>Which of several requests was granted, and what, where those that were not do not show.</summary>
    public static (int Place, ReserveAnswer Granted) ReadFree(
        NpgsqlDataReader row, IReadOnlyList<ReserveRequest> requests, Func<object, NodeId> spell)
    {
        int place = (int)row.GetInt64(0) - 1;
        NodeOf(row, 1, requests[place], spell);
        return (place, new ReserveAnswer.Granted(row.GetInt64(2), row.GetFieldValue<DateTimeOffset>(3),
            TakenOverFrom: null)
        {
            Wanted = WaitOf(row, 4),
        });
    }

    /// <summary>A reservation that was found; null when the node is free.</summary>
    public static Reservation? ReadReservation(NpgsqlDataReader row, Func<object, NodeId> spell) =>
        IsFree(row, 1) ? null : StandingOf(row, spell(row.GetValue(Id)), 1);

    /// <summary>A node, the token or stamp, and whether it is shared.</summary>
    public static HeldNode ReadHeld(NpgsqlDataReader row, Func<object, NodeId> spell) =>
        new(spell(row.GetValue(0)), row.GetInt64(1), ModeOf(row, 2));

    private static ReserveAnswer.Granted Granted(NpgsqlDataReader row, ReserveRequest request, NodeId nodeId)
    {
        Reservation? met = IsFree(row, Standing) ? null : StandingOf(row, nodeId, Standing);
        bool isExclusive = request.Action is ReserveAction.Reserve or ReserveAction.Upgrade
            or ReserveAction.HandOver;
        string? exclusive = met is { Mode: ReservationMode.Exclusive, Holders: [string holder] } ? holder : null;
        return new ReserveAnswer.Granted(row.GetInt64(Token), row.GetFieldValue<DateTimeOffset>(ReservedAt),
            TakenOverFrom: exclusive == request.Holder ? null : exclusive)
        {
            Wanted = isExclusive ? WaitOf(row) : TimeSpan.Zero,
            WriterWaits = isExclusive ? TimeSpan.Zero : WaitOf(row),
            Spares = request is { Action: ReserveAction.Reserve, Spares: > 0 } ? row.GetFieldValue<long[]>(Spares) : [],
        };
    }

    private static ReserveAnswer.Taken Taken(NpgsqlDataReader row, NodeId nodeId) =>
        new(StandingOf(row, nodeId, Standing))
        {
            WriterWaits = WaitOf(row),
            Wish = row.IsDBNull(Wish) ? null : row.GetFieldValue<DateTimeOffset>(Wish),
        };

    private static NodeId NodeOf(NpgsqlDataReader row, int id, ReserveRequest request, Func<object, NodeId> spell)
    {
        NodeId nodeId = spell(row.GetValue(id));
        return nodeId == request.NodeId ? nodeId : throw new InvalidOperationException(
            $"The database takes node id '{request.NodeId}' for '{nodeId}': its key finds text equal that is not the "
            + "same, so that one node would have two gates.");
    }

    private static TimeSpan WaitOf(NpgsqlDataReader row, int waits = Waits) =>
        !row.IsDBNull(waits) && row.GetTimeSpan(waits) is { Ticks: > 0 } wait ? wait : TimeSpan.Zero;

    private static bool IsFree(NpgsqlDataReader row, int standing) => row.IsDBNull(standing + 1);

    private static ReservationMode ModeOf(NpgsqlDataReader row, int isShared) =>
        row.GetBoolean(isShared) ? ReservationMode.Shared : ReservationMode.Exclusive;

    /// <summary>Whether it is shared, its holders, token, purpose, since and state, from a column on.</summary>
    private static Reservation StandingOf(NpgsqlDataReader row, NodeId nodeId, int standing) => new(
        nodeId,
        ModeOf(row, standing),
        row.GetFieldValue<string[]>(standing + 1),
        row.IsDBNull(standing + 3) ? "" : row.GetString(standing + 3),
        row.GetFieldValue<DateTimeOffset>(standing + 4),
        row.GetInt64(standing + 2),
        (row.IsDBNull(standing + 5) ? null : row.GetString(standing + 5)) switch
        {
            "dead" => ReservationState.WaitingForFence,
            "fenced" or "left" => ReservationState.Revoked,
            _ => ReservationState.Held, // alive, or without an entry, which is no proof of death
        });
}
