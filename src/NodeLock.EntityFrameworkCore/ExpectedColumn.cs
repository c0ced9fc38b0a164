using Columns = NodeLock.EntityFrameworkCore.ReservationTable;
using Conductors = NodeLock.EntityFrameworkCore.ConductorsTable;

namespace NodeLock.EntityFrameworkCore;

/// <summary>A column that the statements use, and what they count on.</summary>
internal sealed record ExpectedColumn(string Table, string Name, string Type)
{
    public bool NotNull { get; init; }

    public bool HasDefault { get; init; }

    public bool IsUnique { get; init; }

    public bool IsNodeId { get; init; }

    public static IReadOnlyList<ExpectedColumn> Of(ReservationModel model)
    {
        TableNames table = model.Table;
        TableNames conductors = model.Conductors;
        List<ExpectedColumn> columns =
        [
            In(table, Columns.Id) with { NotNull = true, IsUnique = true, IsNodeId = true },
            In(table, Columns.Reservation),
            In(table, Columns.Token) with { NotNull = true, HasDefault = true },
            In(table, Columns.Purpose),
            In(table, Columns.ReservedAt),
            In(table, Columns.Shared) with { NotNull = true, HasDefault = true },
            In(table, Columns.WantedUntil),
            In(table, Columns.WriterUntil),
            In(conductors, Conductors.Holder) with { NotNull = true, IsUnique = true },
            In(conductors, Conductors.Kind),
            In(conductors, Conductors.ConductorName),
            In(conductors, Conductors.Host),
            In(conductors, Conductors.ProcessId),
            In(conductors, Conductors.State) with { NotNull = true },
            In(conductors, Conductors.StartedAt),
            In(conductors, Conductors.HeartbeatAt),
            In(conductors, Conductors.ExpiresAt) with { NotNull = true },
            In(conductors, Conductors.RequiresFence) with { NotNull = true },
            In(conductors, Conductors.FencedBy),
        ];
        if (model is { Entity: { } entity, EntityIdName: { } key })
            columns.Add(new ExpectedColumn(entity.Sql, key, model.KeyStoreType) { IsUnique = true, IsNodeId = true });

        return columns;
    }

    private static ExpectedColumn In(TableNames table, string property) =>
        new(table.Sql, table.ColumnName(property), table.StoreType(property));
}
