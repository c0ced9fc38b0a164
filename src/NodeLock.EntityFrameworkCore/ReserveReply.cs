using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>Reads what the statements of <see cref="ReservationSql"/> answer.</summary>
internal static class ReserveReply
{
    /// <summary>A row of <see cref="ReservationSql.Reserve"/>.</summary>
    public static ReserveAnswer Read(NpgsqlDataReader row, ReserveRequest request, Func<object, NodeId> spell)
    {
        const int Id = 0, Trusted = 1, Granted = 2, GrantedAt = 3, Held = 4;
        NodeId nodeId = spell(row.GetValue(Id));
        if (nodeId != request.NodeId)
            throw new InvalidOperationException($"The database takes node id '{request.NodeId}' for '{nodeId}': its "
                + "key finds text equal that is not the same, so that one node would have two gates.");
        if (!row.GetBoolean(Trusted)) return new ReserveAnswer.ConductorNotAlive();

        string? holder = row.IsDBNull(Held) ? null : row.GetString(Held);
        if (!row.IsDBNull(Granted))
            return new ReserveAnswer.Granted(row.GetInt64(Granted), row.GetFieldValue<DateTimeOffset>(GrantedAt),
                TakenOverFrom: holder == request.Holder ? null : holder);

        Reservation current = Reservation(row, nodeId, Held);
        return holder == request.Holder
            ? new ReserveAnswer.Unnamed(current.FencingToken, ReservationMode.Exclusive)
            : new ReserveAnswer.Taken(current);
    }

    /// <summary>A row of <see cref="ReservationSql.Find"/> or <see cref="ReservationSql.List"/>; null when
    /// free.</summary>
    public static Reservation? ReadReservation(NpgsqlDataReader row, Func<object, NodeId> spell) =>
        row.IsDBNull(0) ? null : Reservation(row, spell(row.GetValue(0)), held: 1);

    /// <summary>Holder, token, purpose, since and the holder's state, from the column <paramref name="held"/>
    /// on.</summary>
    private static Reservation Reservation(NpgsqlDataReader row, NodeId nodeId, int held) => new(
        nodeId,
        ReservationMode.Exclusive,
        [row.GetString(held)],
        row.IsDBNull(held + 2) ? "" : row.GetString(held + 2),
        row.GetFieldValue<DateTimeOffset>(held + 3),
        row.GetInt64(held + 1),
        (row.IsDBNull(held + 4) ? null : row.GetString(held + 4)) switch
        {
            "dead" => ReservationState.WaitingForFence,
            "fenced" or "left" => ReservationState.Revoked,
            _ => ReservationState.Held, // alive, or without an entry, which is no proof of death
        });
}
