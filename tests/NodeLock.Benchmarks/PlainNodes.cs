using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// What somebody would write without NodeLock: two plain updates of a table of the same shape, each on a pooled
/// connection opened for it. No lease, no trust, nothing that survives the death of its process.
/// </summary>
/// <param name="dataSource">The pool.</param>
/// <param name="holder">In whose name.</param>
/// <param name="release">The second update: <see cref="Release"/> or <see cref="ReleaseLater"/>.</param>
internal sealed class PlainNodes(NpgsqlDataSource dataSource, string holder, string release = PlainNodes.Release)
{
    public const string Table = "plain_nodes";

    /// <summary>Waits for the disk, as an update does.</summary>
    public const string Release =
        $"""
        update {Table} set reservation = null, reservation_purpose = null, reserved_at = null
        where id = $1 and reservation = $2 and reservation_token = $3
        """;

    /// <summary>Does not wait for the disk, as NodeLock's does not.</summary>
    public const string ReleaseLater =
        $"""
        update {Table} set reservation = null, reservation_purpose = null, reserved_at = null
        from (select set_config('synchronous_commit', 'off', true)) as settings
        where id = $1 and reservation = $2 and reservation_token = $3
        """;

    private const string Reserve =
        $"""
        update {Table}
        set reservation = $2, reservation_token = nextval('{BenchmarkContext.TokenSequence}'),
            reservation_purpose = $3, reserved_at = now()
        where id = $1 and reservation is null
        returning reservation_token
        """;

    private const string Change =
        $"update {Table} set reservation_purpose = $2, reserved_at = clock_timestamp() where id = $1";

    /// <summary>Makes the table: a copy of NodeLock's, with its nodes.</summary>
    public static Task CreateTableAsync(BenchmarkDatabase database) => database.ExecuteAsync(
        $"""
        create table {Table} (like {BenchmarkContext.Table} including all) with (fillfactor = 80);
        insert into {Table} select * from {BenchmarkContext.Table}
        """);

    public async Task CycleAsync(NodeId node, string purpose, CancellationToken cancellationToken)
    {
        if (!await TryCycleAsync(node, purpose, cancellationToken))
            throw new InvalidOperationException($"Node {node} is taken.");
    }

    /// <returns>False when the node was taken.</returns>
    public async Task<bool> TryCycleAsync(NodeId node, string purpose, CancellationToken cancellationToken)
    {
        string id = node.ToString();
        await using NpgsqlConnection connection = await dataSource.OpenConnectionAsync(cancellationToken);
        await using NpgsqlCommand reserve = Command(connection, Reserve, id, holder, purpose);
        if (await reserve.ExecuteScalarAsync(cancellationToken) is not long token) return false;

        await connection.CloseAsync(); // back to the pool while the node is held, as anybody would who does some work
        await connection.OpenAsync(cancellationToken);
        await using NpgsqlCommand command = Command(connection, release, id, holder, token);
        return await command.ExecuteNonQueryAsync(cancellationToken) == 1
            ? true
            : throw new InvalidOperationException($"Node {id} was not released.");
    }

    /// <summary>One durable update, the unit of what a commit costs here.</summary>
    public async Task UpdateAsync(NodeId node, CancellationToken cancellationToken)
    {
        await using NpgsqlConnection connection = await dataSource.OpenConnectionAsync(cancellationToken);
        await using NpgsqlCommand command = Command(connection, Change, node.ToString(), holder);
        if (await command.ExecuteNonQueryAsync(cancellationToken) != 1)
            throw new InvalidOperationException($"There is no node {node}.");
    }

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params object[] parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (object value in parameters) command.Parameters.Add(new NpgsqlParameter { Value = value });
        return command;
    }
}
