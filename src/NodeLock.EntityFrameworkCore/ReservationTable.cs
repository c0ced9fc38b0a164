using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;
using TableBuilder = Microsoft.EntityFrameworkCore.Metadata.Builders.EntityTypeBuilder<
    System.Collections.Generic.Dictionary<string, object>>;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// A kind's reservation table: narrow, nothing but its key indexed, so that reserving and releasing are HOT updates.
/// </summary>
internal static class ReservationTable
{
    public const string Id = "id";
    public const string Reservation = "reservation";
    public const string Token = "reservation_token";
    public const string Purpose = "reservation_purpose";
    public const string ReservedAt = "reserved_at";
    public const string Shared = "reservation_shared";
    public const string WantedUntil = "reservation_wanted_until";
    public const string WriterUntil = "reservation_writer_until";

    /// <summary>The table of nodes that are only names.</summary>
    public static void Add(ModelBuilder model, KindName kind) => Add(model, kind, table =>
    {
        table.Required<string>(Id, "text");
        table.HasKey(Id);
    });

    /// <summary>The table of nodes that are an entity's rows.</summary>
    public static void Add<TEntity>(ModelBuilder model, KindName kind)
        where TEntity : class
    {
        IMutableProperty key = EntityKey.Of<TEntity>(model.Model, kind);
        Add(model, kind, table =>
        {
            table.Unstated(key.ClrType, Id).IsRequired();

            // Type and conversion come to a foreign key from its principal, also when they are set later. Collation
            // does not, and a length does only where no convention has one for every string.
            table.Metadata.GetProperty(Id).SetCollation(key.GetCollation());
            table.Metadata.GetProperty(Id).SetMaxLength(key.GetMaxLength());
            table.HasKey(Id);

            // No navigation: a query filter on the entity would have something to say about a required one.
            table.HasOne<TEntity>((string?)null).WithOne()
                .HasForeignKey(kind.Table, Id)
                .HasPrincipalKey(key.DeclaringType.Name, key.Name)
                .OnDelete(DeleteBehavior.Cascade);
        });
    }

    private static void Add(ModelBuilder model, KindName kind, Action<TableBuilder> addKey)
    {
        if (model.Model.FindEntityType(kind.Table) is not null
            || model.Model.GetEntityTypes().Any(e => e.GetTableName() == kind.Table))
        {
            throw new InvalidOperationException(
                $"{kind.Call}: the model already has a table {kind.Table}. Add each kind once, and give no two kinds "
                + "names that make one table name.");
        }

        ConductorsTable.Ensure(model);
        model.SharedTypeEntity<Dictionary<string, object>>(kind.Table, table =>
        {
            table.ToTable(kind.Table).HasStorageParameter("fillfactor", 80);
            addKey(table);
            AddReservation(table);
        });
    }

    private static void AddReservation(TableBuilder table)
    {
        table.Optional<string>(Reservation, "text");
        table.Required<long>(Token, "bigint").HasDefaultValue(0L);
        table.Optional<string>(Purpose, "text");
        table.Optional<DateTimeOffset?>(ReservedAt, "timestamp with time zone");
        table.Required<string[]>(Shared, "text[]").HasDefaultValueSql("'{}'");
        table.Optional<DateTimeOffset?>(WantedUntil, "timestamp with time zone");
        table.Optional<DateTimeOffset?>(WriterUntil, "timestamp with time zone");
    }
}
