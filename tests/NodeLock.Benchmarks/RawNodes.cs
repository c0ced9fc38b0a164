using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// What somebody would write without NodeLock: two plain updates of a table of the same shape, each on a pooled
/// connection opened for it. No lease, no trust, nothing that survives the death of its process.
/// </summary>
internal sealed class RawNodes(NpgsqlDataSource dataSource, string holder)
{
    private const string Table = "plain_nodes";

    private const string Reserve =
        $"""
        update {Table}
        set reservation = $2, reservation_token = nextval('{BenchmarkContext.TokenSequence}'),
            reservation_purpose = $3, reserved_at = now()
        where id = $1 and reservation is null
        returning reservation_token
        """;

    private const string Release =
        $"""
        update {Table} set reservation = null, reservation_purpose = null, reserved_at = null
        where id = $1 and reservation = $2 and reservation_token = $3
        """;

    /// <summary>Makes the table: a copy of NodeLock's, with its nodes.</summary>
    public static Task CreateTableAsync(BenchmarkDatabase database) => database.ExecuteAsync(
        $"""
        create table {Table} (like {BenchmarkContext.Table} including all) with (fillfactor = 80);
        insert into {Table} select * from {BenchmarkContext.Table}
        """);

    public async Task CycleAsync(NodeId node, string purpose, CancellationToken cancellationToken)
    {
        string id = node.ToString();
        long token = await ReserveAsync(id, purpose, cancellationToken);
        await ReleaseAsync(id, token, cancellationToken);
    }

    private async Task<long> ReserveAsync(string id, string purpose, CancellationToken cancellationToken)
    {
        await using NpgsqlConnection connection = await dataSource.OpenConnectionAsync(cancellationToken);
        await using var command = new NpgsqlCommand(Reserve, connection)
        {
            Parameters = { new() { Value = id }, new() { Value = holder }, new() { Value = purpose } },
        };
        return (long)(await command.ExecuteScalarAsync(cancellationToken)
            ?? throw new InvalidOperationException($"Node {id} is taken."));
    }

    private async Task ReleaseAsync(string id, long token, CancellationToken cancellationToken)
    {
        await using NpgsqlConnection connection = await dataSource.OpenConnectionAsync(cancellationToken);
        await using var command = new NpgsqlCommand(Release, connection)
        {
            Parameters = { new() { Value = id }, new() { Value = holder }, new() { Value = token } },
        };
        if (await command.ExecuteNonQueryAsync(cancellationToken) != 1)
            throw new InvalidOperationException($"Node {id} was not released.");
    }
}
