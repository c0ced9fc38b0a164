using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Storage;

namespace NodeLock.EntityFrameworkCore;

/// <summary>A table of the model and its columns, by name and as SQL spells them.</summary>
internal sealed class TableNames
{
    private const int LongestName = 63; // bytes

    private readonly IEntityType type;
    private readonly StoreObjectIdentifier table;
    private readonly ISqlGenerationHelper sql;

    private TableNames(IEntityType type, StoreObjectIdentifier table, ISqlGenerationHelper sql) =>
        (this.type, this.table, this.sql) = (type, table, sql);

    /// <summary>The table, delimited for SQL, with its schema where the model names one.</summary>
    public string Sql => sql.DelimitIdentifier(table.Name, table.Schema);

    /// <summary>The table's own name, cut off where PostgreSQL cuts a name off.</summary>
    public string Name
    {
        get
        {
            string name = table.Name;
            while (Encoding.UTF8.GetByteCount(name) > LongestName)
                name = name[..^(char.IsLowSurrogate(name[^1]) ? 2 : 1)];
            return name;
        }
    }

    /// <summary>The same, delimited for SQL.</summary>
    public string DelimitedName => sql.DelimitIdentifier(Name);

    /// <summary>The table as a person writes it.</summary>
    public string Display => table.DisplayName();

    public static TableNames Of(IEntityType type, ISqlGenerationHelper sql) => new(
        type, StoreObjectIdentifier.Create(type, StoreObjectType.Table)
            ?? throw new InvalidOperationException($"{type.DisplayName()} is mapped to no table."), sql);

    /// <summary>A property's column, delimited for SQL.</summary>
    public string Column(string property) => sql.DelimitIdentifier(ColumnName(property));

    /// <summary>A property's column.</summary>
    public string ColumnName(string property) =>
        type.GetProperty(property).GetColumnName(table)
        ?? throw Unmapped(property);

    /// <summary>The type that the model gives a property's column.</summary>
    public string StoreType(string property) => type.GetProperty(property).GetColumnType(table)
        ?? throw Unmapped(property);

    /// <summary>What a property is when it reaches the database, after every conversion, EF's own included.</summary>
    public Type StoredType(string property)
    {
        RelationalTypeMapping mapping = type.GetProperty(property).GetRelationalTypeMapping();
        Type stored = mapping.Converter?.ProviderClrType ?? mapping.ClrType;
        return Nullable.GetUnderlyingType(stored) ?? stored;
    }

    private InvalidOperationException Unmapped(string property) =>
        new($"{type.DisplayName()}.{property} has no column in {Display}.");
}
