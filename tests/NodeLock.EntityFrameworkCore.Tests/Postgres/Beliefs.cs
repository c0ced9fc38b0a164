using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// Records when the scopes of this process believe that they have their node, as lines that
/// <see cref="BeliefJudge"/> reads. It errs towards short: a belief begins after the acquire has returned, is confirmed
/// with a time before the check, and ends before the release is sent; so every overlap is a true one.
/// </summary>
/// <param name="process">Names this process; scope ids need to be unique only within it.</param>
/// <param name="sink">Gets each line at once, as a process may be killed before it could tell; null keeps them.</param>
public sealed class Beliefs(string process, TextWriter? sink = null)
{
    private readonly ConcurrentQueue<string> lines = new();
    private readonly Lock sync = new();

    /// <summary>The lines so far.</summary>
    public IReadOnlyList<string> Lines => [.. lines];

    /// <summary>The present moment on the clock of all processes of this machine.</summary>
    public static long Now() => Stopwatch.GetTimestamp();

    /// <summary>The acquire has returned this scope.</summary>
    /// <remarks>
    /// Where the process may be paused at any moment, the scope must have been asked as well, and the belief begins at
    /// a time before that; else it begins now.
    /// </remarks>
    public void Begin(
        string node, string scopeId, string holder, long token, BeliefMode mode = BeliefMode.Exclusive,
        long? askedAfter = null)
        => Write(new BeliefLine(BeliefLine.Begin, askedAfter ?? Now(), Name(scopeId), node, holder, token, mode));

    /// <summary>The scope still says that it has the node: it was asked after this moment.</summary>
    public void Confirm(string scopeId, long askedAfter)
        => Write(new BeliefLine(BeliefLine.Confirm, askedAfter, Name(scopeId)));

    /// <summary>The scope is about to be released.</summary>
    public void End(string scopeId) => Write(new BeliefLine(BeliefLine.End, Now(), Name(scopeId)));

    /// <summary>The scope says that it has lost the node: it believed up to its last confirmation.</summary>
    public void Lose(string scopeId) => Write(new BeliefLine(BeliefLine.Lost, Now(), Name(scopeId)));

    private string Name(string scopeId) => $"{process}:{scopeId}";

    private void Write(BeliefLine line)
    {
        string text = line.ToString();
        lines.Enqueue(text);
        if (sink is null)
            return;
        lock (sync)
        {
            sink.WriteLine(text);
            sink.Flush();
        }
    }
}

/// <summary>A line of the record: <c>belief|kind|at|scope|node|holder|token|mode|.</c></summary>
internal sealed record BeliefLine(
    string Kind,
    long At,
    string ScopeId,
    string Node = "",
    string Holder = "",
    long Token = 0,
    BeliefMode Mode = BeliefMode.Exclusive)
{
    public const string Begin = "begin";
    public const string Confirm = "confirm";
    public const string End = "end";
    public const string Lost = "lost";

    private const string Prefix = "belief";

    // The last field shows that the line is whole.
    private const string Suffix = ".";
    private const int Fields = 9;

    public static BeliefLine? TryParse(string line)
    {
        string[] parts = line.Split('|');
        return parts is [Prefix, .., Suffix] && parts.Length == Fields
            ? new BeliefLine(
                parts[1],
                long.Parse(parts[2], CultureInfo.InvariantCulture),
                Uri.UnescapeDataString(parts[3]),
                Uri.UnescapeDataString(parts[4]),
                Uri.UnescapeDataString(parts[5]),
                long.Parse(parts[6], CultureInfo.InvariantCulture),
                Enum.Parse<BeliefMode>(parts[7]))
            : null;
    }

    public Belief ToBelief() => new(Node, ScopeId, Holder, Token, Mode, At, At);

    public override string ToString()
        => string.Join(
            '|', Prefix, Kind, At, Uri.EscapeDataString(ScopeId), Uri.EscapeDataString(Node),
            Uri.EscapeDataString(Holder), Token, Mode, Suffix);
}
