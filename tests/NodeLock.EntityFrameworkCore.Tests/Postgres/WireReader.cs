using System.Buffers.Binary;
using System.Text;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// Cuts a stream into messages of the frontend/backend protocol, version 3 (PostgreSQL manual, "Message Formats"),
/// however they were cut into segments on the way.
/// </summary>
internal sealed class WireReader(Stream stream) : IAsyncDisposable
{
    private const int MaxLength = 1 << 30;

    private readonly BufferedStream buffered = new(stream, 64 * 1024);

    // What a client prepared under which name: an execution later sends only the name.
    private readonly Dictionary<string, string> prepared = new(StringComparer.Ordinal);

    /// <summary>A message before the session: a length and a code; null when the stream has ended.</summary>
    public Task<byte[]?> ReadStartupAsync(CancellationToken cancellationToken) => ReadAsync(0, cancellationToken);

    /// <summary>A message of the session: a type, a length and a body; null when the stream has ended.</summary>
    public Task<byte[]?> ReadMessageAsync(CancellationToken cancellationToken) => ReadAsync(1, cancellationToken);

    /// <summary>A client's messages up to the one that asks for an answer; null when the stream has ended.</summary>
    public async Task<ProxiedRequest?> ReadRequestAsync(CancellationToken cancellationToken)
    {
        using var bytes = new MemoryStream();
        var sql = new StringBuilder();
        bool executes = false;
        while (await ReadMessageAsync(cancellationToken) is { } message)
        {
            char type = (char)message[0];
            bytes.Write(message);
            NoteStatement(message, sql);
            executes |= type is 'Q' or 'E' or 'F';

            // Query, Sync and FunctionCall ask for an answer. Nobody may wait here for more after a flush, a password,
            // copied data and a goodbye, since what asks comes later or never.
            bool asks = type is 'Q' or 'S' or 'F';
            if (asks || type is 'H' or 'p' or 'd' or 'c' or 'f' or 'X')
                return new ProxiedRequest(bytes.ToArray(), sql.ToString(), executes, asks);
        }

        return null;
    }

    public ValueTask DisposeAsync() => buffered.DisposeAsync();

    private void NoteStatement(byte[] message, StringBuilder sql)
    {
        int at = 5;
        switch ((char)message[0])
        {
            case 'Q':
                sql.AppendLine(ReadText(message, ref at));
                break;
            case 'P':
                string name = ReadText(message, ref at);
                prepared[name] = ReadText(message, ref at);
                break;
            case 'B':
                _ = ReadText(message, ref at);
                if (prepared.TryGetValue(ReadText(message, ref at), out string? text))
                    sql.AppendLine(text);
                break;
        }
    }

    private static string ReadText(byte[] message, ref int at)
    {
        int length = message.AsSpan(at).IndexOf((byte)0);
        string text = Encoding.UTF8.GetString(message, at, length);
        at += length + 1;
        return text;
    }

    private async Task<byte[]?> ReadAsync(int typeLength, CancellationToken cancellationToken)
    {
        byte[] head = new byte[typeLength + 4];
        int read = await buffered.ReadAtLeastAsync(
            head, head.Length, throwOnEndOfStream: false, cancellationToken);
        if (read < head.Length)
            return null;
        int length = BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(typeLength));
        if (length is < 4 or > MaxLength)
            throw new InvalidDataException($"A message of {length} bytes: this is not the PostgreSQL protocol.");
        byte[] message = new byte[typeLength + length];
        head.CopyTo(message, 0);
        Memory<byte> body = message.AsMemory(head.Length);
        read = await buffered.ReadAtLeastAsync(body, body.Length, throwOnEndOfStream: false, cancellationToken);
        return read < body.Length ? null : message;
    }
}
