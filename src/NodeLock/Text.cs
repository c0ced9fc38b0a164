namespace NodeLock;

/// <summary>What ids, purposes and names may be made of.</summary>
internal static class Text
{
    public const int MaxPurposeLength = 500;

    /// <summary>Says what is wrong with a text, as the end of a sentence; null when it may be used.</summary>
    public static string? Fault(string? text, int maxLength)
    {
        if (string.IsNullOrWhiteSpace(text)) return "must not be empty";
        if (text.Length > maxLength)
            return $"must not be longer than {maxLength} characters; this one has {text.Length}: '{text[..40]}…'";
        for (int i = 0; i < text.Length; i++)
        {
            if (char.IsControl(text[i])) return $"must not hold control characters; U+{(int)text[i]:X4} stands at {i}";
            if (!char.IsSurrogate(text[i])) continue;
            // A surrogate without its pair has no UTF-8 form, so the store could not keep it.
            if (!char.IsSurrogatePair(text, i)) return $"must be valid Unicode; half of a character stands at {i}";
            i++;
        }
        return null;
    }

    public static string Reason(string? reason, string parameter) =>
        Fault(reason, MaxPurposeLength) is { } fault
            ? throw new ArgumentException($"A reason {fault}; say in a few words why it is broken.", parameter)
            : reason!;

    public static string Purpose(string? purpose, string parameter) =>
        Fault(purpose, MaxPurposeLength) is { } fault
            ? throw new ArgumentException($"A purpose {fault}; say in a few words why the node is taken.", parameter)
            : purpose!;
}
