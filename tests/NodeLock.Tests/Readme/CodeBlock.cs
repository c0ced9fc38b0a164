namespace NodeLock.Tests.Readme;

/// <summary>A fenced block of C# in a Markdown file.</summary>
/// <param name="File">The file, from the root of the repository.</param>
/// <param name="Line">The line of the file on which its code begins.</param>
/// <param name="Code">Its code.</param>
internal sealed record CodeBlock(string File, int Line, string Code)
{
    public static IReadOnlyList<CodeBlock> Of(string file, string markdown)
    {
        List<CodeBlock> blocks = [];
        string[] lines = markdown.ReplaceLineEndings("\n").Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i].Trim() is not "```csharp") continue;
            int end = Array.FindIndex(lines, i + 1, l => l.Trim() == "```");
            if (end < 0) throw new FormatException($"The block at {file}:{i + 1} does not end.");
            blocks.Add(new CodeBlock(file, i + 2, string.Join('\n', lines[(i + 1)..end])));
            i = end;
        }

        return blocks;
    }
}
