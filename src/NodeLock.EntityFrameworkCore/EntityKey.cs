using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;

namespace NodeLock.EntityFrameworkCore;

/// <summary>Which entities can be nodes: those with a table and one key column that NodeLock can spell.</summary>
internal static class EntityKey
{
    /// <summary>The entity's key property.</summary>
    /// <exception cref="InvalidOperationException">The entity cannot be nodes, or cannot yet.</exception>
    public static IMutableProperty Of<TEntity>(IMutableModel model, KindName kind)
    {
        List<IMutableEntityType> found = [.. model.FindEntityTypes(typeof(TEntity))];
        string entity = typeof(TEntity).Name;
        if (found.Any(e => e.IsOwned()) || model.IsOwned(typeof(TEntity)))
            throw Refused(kind, $"{entity} is an owned type, a part of its owner. Reserve the owner");

        if (found is not [{ HasSharedClrType: false } type])
        {
            throw Refused(kind, found is []
                ? $"{entity} is no entity of this model yet. Call modelBuilder.Entity<{entity}>() before this"
                : $"{entity} is the class of several entity types. Reserve names: AddNodeLock(\"a_name\")");
        }

        if (type.IsKeyless)
        {
            throw Refused(kind, $"{entity} is keyless, so its rows cannot be named. Give it a key, or "
                + "reserve names: AddNodeLock(\"a_name\")");
        }

        IMutableKey key = type.FindPrimaryKey()
            ?? throw Refused(
                kind, $"{entity} has no key yet. Configure its key, and the key's conversion, before this call");
        if (Problem(type, key) is { } problem) throw Refused(kind, problem);

        IMutableProperty property = key.Properties[0];
        return IsSupported(Stored(property))
            ? property
            : throw Refused(kind, $"the key {entity}.{property.Name} is stored as {Stored(property).Name}, and "
                + "NodeLock takes keys stored as string, Guid, int or long. Give it such a conversion before, "
                + "or reserve names: AddNodeLock(\"a_name\")");
    }

    /// <summary>Why an entity cannot be nodes; null when it can. A model may change after the first answer.</summary>
    public static string? Problem(IReadOnlyEntityType type, IReadOnlyKey key)
    {
        string entity = type.ClrType.Name;
        if (type.BaseType is not null)
        {
            return $"{entity} derives from {type.BaseType.ClrType.Name} and has its key from there. Use the root type: "
                + $"AddNodeLock<{type.GetRootType().ClrType.Name}>()";
        }

        if (type.GetMappingStrategy() == RelationalAnnotationNames.TpcMappingStrategy)
        {
            return $"{entity} has a table for each concrete type, so that no foreign key can point at all of its rows. "
                + "Reserve names: AddNodeLock(\"a_name\")";
        }

        if (type.GetTableName() is null)
        {
            return $"{entity} is mapped to {type.GetViewName() ?? "no table"}, not to a table that a foreign key can "
                + "point at. Reserve names: AddNodeLock(\"a_name\")";
        }

        return key.Properties.Count > 1
            ? $"{entity} has a composite key ({string.Join(", ", key.Properties.Select(p => p.Name))}). Give it a key "
                + "of one column, or reserve names that you make of them: AddNodeLock(\"a_name\")"
            : null;
    }

    /// <summary>Whether NodeLock can spell keys that reach the database as this type.</summary>
    public static bool IsSupported(Type stored) =>
        stored == typeof(string) || stored == typeof(Guid) || stored == typeof(int) || stored == typeof(long);

    public static InvalidOperationException Refused(KindName kind, string problem) => new($"{kind.Call}: {problem}.");

    private static Type Stored(IReadOnlyProperty property)
    {
        Type stored = property.GetValueConverter()?.ProviderClrType
            ?? property.GetProviderClrType()
            ?? property.ClrType;
        return stored.IsEnum ? Enum.GetUnderlyingType(stored) : stored;
    }
}
