using System.Text;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// What a client sent up to and including the message that asks for an answer (Query or Sync): one round trip.
/// </summary>
public sealed class ProxiedRequest
{
    internal ProxiedRequest(byte[] bytes, string sql, bool executes, bool asksForAnswer)
    {
        Bytes = bytes;
        Sql = sql;
        Executes = executes;
        AsksForAnswer = asksForAnswer;
    }

    /// <summary>The messages as they came.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>
    /// The text of every statement it executes, a line each, also where a prepared statement is only named.
    /// </summary>
    public string Sql { get; }

    /// <summary>Whether it executes anything: a round trip that only prepares a statement does not.</summary>
    public bool Executes { get; }

    // False for what merely passes: a password, copied data, a flush, the goodbye.
    internal bool AsksForAnswer { get; }

    internal DroppedReplies? Drop { get; set; }

    internal HeldRequests? Hold { get; set; }

    internal TaskCompletionSource Answered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>
    /// Whether it executes something and this text is in a statement or anywhere in the bytes, in a text parameter for
    /// one.
    /// </summary>
    public bool Contains(string text)
        => Executes
            && (Sql.Contains(text, StringComparison.Ordinal)
                || Bytes.Span.IndexOf(Encoding.UTF8.GetBytes(text)) >= 0);
}
