using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace NodeLock;

/// <summary>
/// The id of a node: the thing that is protected. Plain text of 1 to 200 characters without control characters.
/// </summary>
/// <remarks>
/// <para>
/// Converts implicitly from <see cref="Guid"/>, <see cref="int"/> and <see cref="long"/>. Text converts only by the
/// constructor, <see cref="Parse(string)"/>, <see cref="TryParse(string?, out NodeId)"/> or a cast: a node and a
/// purpose are both text, and must not change places unseen.
/// </para>
/// <para>
/// Two ids are equal when their text is. A repository whose key is a number or a <see cref="Guid"/> brings different
/// spellings of one key (<c>"042"</c> and <c>42</c>) together before anything is compared.
/// </para>
/// </remarks>
/// <threadsafety>Immutable.</threadsafety>
[JsonConverter(typeof(NodeIdJsonConverter))]
public readonly record struct NodeId : IParsable<NodeId>
{
    /// <summary>The longest id, in UTF-16 characters: 200.</summary>
    public const int MaxLength = 200;

    private readonly string? text;

    /// <summary>Makes an id of text.</summary>
    /// <param name="text">1 to 200 characters, no control characters, no unpaired surrogates.</param>
    /// <exception cref="ArgumentException">The text is null, empty, too long or holds such a character.</exception>
    public NodeId(string text)
    {
        if (Text.Fault(text, MaxLength) is { } fault)
            throw new ArgumentException($"A node id {fault}.", nameof(text));
        this.text = text;
    }

    /// <summary>True for <c>default(NodeId)</c>, which every method that takes an id refuses.</summary>
    public bool IsDefault => text is null;

    /// <summary>The id of a number, written without separators.</summary>
    public static implicit operator NodeId(int value) => new(value.ToString(CultureInfo.InvariantCulture));

    /// <inheritdoc cref="op_Implicit(int)"/>
    public static implicit operator NodeId(long value) => new(value.ToString(CultureInfo.InvariantCulture));

    /// <summary>The id of a <see cref="Guid"/>, in lower case with hyphens.</summary>
    public static implicit operator NodeId(Guid value) => new(value.ToString("D"));

    /// <summary>The id that a text spells; the same as the constructor.</summary>
    /// <exception cref="ArgumentException">As for the constructor.</exception>
    public static explicit operator NodeId(string text) => new(text);

    /// <summary>The id that a text spells.</summary>
    /// <exception cref="FormatException">The text cannot be an id; the message says why.</exception>
    public static NodeId Parse(string s) =>
        Text.Fault(s, MaxLength) is { } fault ? throw new FormatException($"A node id {fault}.") : new NodeId(s);

    /// <summary>The id that a text spells, or false where it cannot be one.</summary>
    public static bool TryParse([NotNullWhen(true)] string? s, out NodeId result)
    {
        bool valid = Text.Fault(s, MaxLength) is null;
        result = valid ? new NodeId(s!) : default;
        return valid;
    }

    static NodeId IParsable<NodeId>.Parse(string s, IFormatProvider? provider) => Parse(s);

    static bool IParsable<NodeId>.TryParse([NotNullWhen(true)] string? s, IFormatProvider? provider,
        out NodeId result) => TryParse(s, out result);

    /// <summary>The id as plain text; empty for <c>default</c>.</summary>
    public override string ToString() => text ?? "";

    internal NodeId OrRefuseDefault(string parameter) => IsDefault
        ? throw new ArgumentException("The node id is default(NodeId); give the id of a node.", parameter)
        : this;
}

internal sealed class NodeIdJsonConverter : JsonConverter<NodeId>
{
    public override NodeId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && NodeId.TryParse(reader.GetString(), out NodeId id)
            ? id
            : throw new JsonException("A node id is a string of 1 to 200 characters without control characters.");

    public override NodeId ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert,
        JsonSerializerOptions options) => Read(ref reader, typeToConvert, options);

    public override void Write(Utf8JsonWriter writer, NodeId value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.OrRefuseDefault(nameof(value)).ToString());

    public override void WriteAsPropertyName(Utf8JsonWriter writer, NodeId value, JsonSerializerOptions options) =>
        writer.WritePropertyName(value.OrRefuseDefault(nameof(value)).ToString());
}
