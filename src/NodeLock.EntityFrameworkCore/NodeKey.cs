using System.Globalization;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Node ids as values of the key column, and back in one spelling: "042" and "42" are one row of a table of integers,
/// so they have to be one node in the process too.
/// </summary>
/// <param name="type">What a key is when it reaches the database: string, Guid, int or long.</param>
/// <param name="table">The reservation table, for messages.</param>
internal sealed class NodeKey(Type type, string table)
{
    /// <summary>What a key is when it reaches the database: string, Guid, int or long.</summary>
    public Type Type { get; } = type;

    /// <summary>The value that the key column has for a node id.</summary>
    /// <exception cref="ArgumentException">The text is no value of the key's type.</exception>
    public object Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryParse(text) ?? throw new ArgumentException(
            $"Node id '{text}' is not {Words}, the key type of table {table}.", nameof(text));
    }

    /// <summary>The values of several, in an array of the key's own type, which the database has for it too.</summary>
    /// <exception cref="ArgumentException">A text is no value of the key's type.</exception>
    public Array Parse(IReadOnlyList<NodeId> ids)
    {
        Array keys = Array.CreateInstance(Type, ids.Count);
        for (int i = 0; i < ids.Count; i++) keys.SetValue(Parse(ids[i].ToString()), i);
        return keys;
    }

    /// <summary>The node id of a key's value.</summary>
    public NodeId Spell(object value) => new(Format(value));

    /// <summary>The one spelling of a key's value, which is also the database's own.</summary>
    public string Format(object value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return value.GetType() != Type
            ? throw new ArgumentException($"{value.GetType().Name} is not {Words}.", nameof(value))
            : value is Guid id ? id.ToString("D") : string.Create(CultureInfo.InvariantCulture, $"{value}");
    }

    private string Words =>
        Type == typeof(Guid) ? "a UUID"
        : Type == typeof(int) ? "an integer of 32 bits"
        : Type == typeof(long) ? "an integer of 64 bits"
        : "text";

    /// <summary>The value that the key column has for a text; null when it has none.</summary>
    public object? TryParse(string text)
    {
        if (Type == typeof(string)) return text;

        if (Type == typeof(Guid)) return Guid.TryParse(text, out Guid id) ? id : null;

        return !long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? null
            : Type == typeof(long) ? number
            : number is >= int.MinValue and <= int.MaxValue ? (int)number
            : null;
    }
}
