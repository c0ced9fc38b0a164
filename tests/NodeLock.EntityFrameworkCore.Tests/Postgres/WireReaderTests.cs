using System.Buffers.Binary;
using System.Text;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class WireReaderTests
{
    private static readonly byte[] Begin = Message('Q', "BEGIN\0");
    private static readonly byte[] Parse = Message('P', "s1\0UPDATE a\0\0\0");
    private static readonly byte[] Bind = Message('B', "\0s1\0\0\0\0\0\0\0");
    private static readonly byte[] Execute = Message('E', "\0\0\0\0\0");
    private static readonly byte[] Sync = Message('S', "");
    private static readonly byte[] Goodbye = Message('X', "");

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(17)]
    [InlineData(int.MaxValue)]
    public async Task Requests_end_where_they_end_however_they_are_cut_into_segments(int segment)
    {
        byte[] bytes = [.. Begin, .. Parse, .. Sync, .. Bind, .. Execute, .. Sync, .. Goodbye];
        await using var stream = new Segments(bytes, segment);
        await using var reader = new WireReader(stream);

        Assert.Equal(("BEGIN", true, true), await ReadAsync(reader, Begin));
        Assert.Equal(("", false, true), await ReadAsync(reader, [.. Parse, .. Sync]));
        Assert.Equal(("UPDATE a", true, true), await ReadAsync(reader, [.. Bind, .. Execute, .. Sync]));
        Assert.Equal(("", false, false), await ReadAsync(reader, Goodbye));
        Assert.Null(await reader.ReadRequestAsync(CancellationToken.None));
    }

    [Fact]
    public async Task What_is_not_the_protocol_is_refused()
    {
        await using var stream = new MemoryStream("GET / HTTP/1.1\r\n\r\n"u8.ToArray());
        await using var reader = new WireReader(stream);

        await Assert.ThrowsAsync<InvalidDataException>(() => reader.ReadStartupAsync(CancellationToken.None));
    }

    private static async Task<(string Sql, bool Executes, bool AsksForAnswer)> ReadAsync(
        WireReader reader, byte[] expected)
    {
        ProxiedRequest? request = await reader.ReadRequestAsync(CancellationToken.None);
        Assert.NotNull(request);
        Assert.Equal(expected, request.Bytes.ToArray());
        return (request.Sql.TrimEnd(), request.Executes, request.AsksForAnswer);
    }

    private static byte[] Message(char type, string body)
    {
        byte[] message = new byte[5 + body.Length];
        message[0] = (byte)type;
        BinaryPrimitives.WriteInt32BigEndian(message.AsSpan(1), 4 + body.Length);
        Encoding.ASCII.GetBytes(body, message.AsSpan(5));
        return message;
    }

    /// <summary>Gives at most so many bytes at a time, as a network may.</summary>
    private sealed class Segments(byte[] bytes, int segment) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
            => base.ReadAsync(buffer[..Math.Min(segment, buffer.Length)], cancellationToken);
    }
}
