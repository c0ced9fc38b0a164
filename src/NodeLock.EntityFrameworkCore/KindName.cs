using System.Text;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// The name of a kind: of its reservation table, of the table's entity type in the model, and of the kind in the
/// conductors table.
/// </summary>
internal sealed record KindName
{
    public const int MaxLength = 40;

    private const string Prefix = "nodelock_";

    private KindName(string suffix, string call)
    {
        Table = Prefix + suffix;
        Call = call;
    }

    /// <summary>The table's base name, "nodelock_server", which a model may still map to another.</summary>
    public string Table { get; }

    /// <summary>The call on the model builder that makes the table, for messages.</summary>
    public string Call { get; }

    /// <summary>The kind whose nodes are only names.</summary>
    public static KindName OfNames() => new("nodes", "AddNodeLock()");

    /// <summary>A further kind whose nodes are only names.</summary>
    /// <exception cref="ArgumentException">The name is not one.</exception>
    public static KindName OfNames(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Problem(name) is { } problem
            ? throw new ArgumentException($"'{name}' is not a name for a kind of nodes: {problem}.", nameof(name))
            : new KindName(name, $"AddNodeLock(\"{name}\")");
    }

    /// <summary>The kind whose nodes are the rows of an entity.</summary>
    /// <exception cref="ArgumentException">The entity's class has a name that makes no table name.</exception>
    public static KindName OfEntity(Type entity)
    {
        string name = SnakeCase(entity.Name);
        return Problem(name) is { } problem
            ? throw new ArgumentException(
                $"The reservation table of {entity.Name} would be called {Prefix}{name}, and cannot be: {problem}. "
                + "Rename the class, or reserve its ids as names: AddNodeLock(\"a_name\").", nameof(entity))
            : new KindName(name, $"AddNodeLock<{entity.Name}>()");
    }

    private static string? Problem(string name)
    {
        if (name.Length is 0 or > MaxLength) return $"it takes 1 to {MaxLength} characters";

        if (!name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '_'))
            return "it takes lower-case letters a to z, digits and underscores";

        // A sequence and a table cannot have one name in PostgreSQL, so neither may be taken.
        return Prefix + name is ConductorsTable.Name or ConductorsTable.FencingToken
            ? $"{Prefix}{name} is NodeLock's own"
            : null;
    }

    /// <summary>BareMetalNode is bare_metal_node, VMImage is vm_image.</summary>
    private static string SnakeCase(string name)
    {
        StringBuilder words = new();
        for (int i = 0; i < name.Length; i++)
        {
            bool startsWord = i > 0 && char.IsUpper(name[i]) && name[i - 1] != '_'
                && (!char.IsUpper(name[i - 1]) || (i + 1 < name.Length && char.IsLower(name[i + 1])));
            words.Append(startsWord ? "_" : "").Append(char.ToLowerInvariant(name[i]));
        }

        return words.ToString();
    }
}
