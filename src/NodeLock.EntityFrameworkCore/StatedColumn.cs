using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;
using TableBuilder = Microsoft.EntityFrameworkCore.Metadata.Builders.EntityTypeBuilder<
    System.Collections.Generic.Dictionary<string, object>>;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Columns that say everything about themselves. A model's conventions (a length for every string, a converter for
/// every time, names in another case) are about the model's own entities; on these tables they would change what
/// NodeLock's statements count on.
/// </summary>
internal static class StatedColumn
{
    /// <summary>A column that may be null.</summary>
    public static PropertyBuilder Optional<T>(this TableBuilder table, string name, string storeType) =>
        table.Stated(typeof(T), name, storeType).IsRequired(false);

    /// <summary>A column that is never null.</summary>
    public static PropertyBuilder Required<T>(this TableBuilder table, string name, string storeType) =>
        table.Stated(typeof(T), name, storeType).IsRequired();

    /// <summary>A column whose type and conversion are left to the model: a foreign key has its principal's.</summary>
    public static PropertyBuilder Unstated(this TableBuilder table, Type type, string name)
    {
        int order = table.Metadata.GetProperties().Count();
        PropertyBuilder column = table.IndexerProperty(type, name);

        // Conventions set before the model was built have been applied by now, as if stated; only removal undoes them.
        foreach (string annotation in column.Metadata.GetAnnotations().Select(a => a.Name).ToList())
            _ = column.Metadata.RemoveAnnotation(annotation);

        return column.HasColumnName(name).HasColumnOrder(order).ValueGeneratedNever().IsConcurrencyToken(false);
    }

    // An explicit null, unlike none, also keeps out the conventions that run when the model is finished.
    private static PropertyBuilder Stated(this TableBuilder table, Type type, string name, string storeType) =>
        table.Unstated(type, name).HasColumnType(storeType).HasConversion((ValueConverter?)null);
}
