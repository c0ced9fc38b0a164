using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>
/// A plain number per node, protected by nothing but the reservation: it is read, and after a while written back one
/// higher. Each write also leaves a mark in the same transaction, so that the marks say what the number should be.
/// </summary>
internal sealed class Counters(string connectionString) : IAsyncDisposable
{
    private const string Unguarded =
        """
        with written as (update yard_counter set n = $2 where node = $1 returning node)
        insert into yard_increment (node, token) select node, $3 from written
        """;

    // The row of the node stays locked until the commit, and who takes the node over has to wait for it.
    private const string Guarded =
        """
        with held as materialized (
          select n.id from nodelock_nodes n
          where n.id = $1 and n.reservation_token = $3 and n.reservation is not null
          for share),
        written as (update yard_counter c set n = $2 from held where c.node = held.id returning c.node)
        insert into yard_increment (node, token) select node, $3 from written
        """;

    private readonly NpgsqlDataSource source = NpgsqlDataSource.Create(
        new NpgsqlConnectionStringBuilder(connectionString)
        {
            ApplicationName = "yard counter",
            Options = @"-c default_transaction_isolation=read\ committed",
        });

    public static Task CreateAsync(Yard yard, string[] nodes) => yard.ExecuteAsync(
        """
        create table yard_counter (node text primary key, n bigint not null);
        create table yard_increment (node text not null, token bigint not null);
        """ + string.Concat(nodes.Select(node => $"insert into yard_counter values ('{node}', 0);")));

    /// <summary>How many increments were lost: another was written over them.</summary>
    public static Task<long> LostAsync(Yard yard) => yard.ScalarAsync<long>(
        "select (select count(*) from yard_increment) - (select sum(n)::bigint from yard_counter)");

    public static Task<long> WrittenAsync(Yard yard) =>
        yard.ScalarAsync<long>("select count(*) from yard_increment");

    public async Task<long> ReadAsync(string node)
    {
        await using NpgsqlCommand command = source.CreateCommand("select n from yard_counter where node = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = node });
        return (long)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>This number of a node, and the one of <see cref="Accounts"/>, in one look.</summary>
    public async Task<(long Counter, long Account)> ReadBothAsync(string node)
    {
        await using NpgsqlCommand command = source.CreateCommand(
            "select c.n, a.value from yard_counter c join yard_account a on a.node = c.node where c.node = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = node });
        await using NpgsqlDataReader reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        return (reader.GetInt64(0), reader.GetInt64(1));
    }

    /// <summary>Writes whatever has happened since it was read.</summary>
    public Task WriteAsync(string node, long number, long token) => ExecuteAsync(Unguarded, node, number, token);

    /// <summary>Writes only while the node's row has this token; nothing happens otherwise.</summary>
    public Task WriteGuardedAsync(string node, long number, long token) => ExecuteAsync(Guarded, node, number, token);

    public ValueTask DisposeAsync() => source.DisposeAsync();

    private async Task ExecuteAsync(string sql, string node, long number, long token)
    {
        await using NpgsqlCommand command = source.CreateCommand(sql);
        command.Parameters.Add(new NpgsqlParameter { Value = node });
        command.Parameters.Add(new NpgsqlParameter { Value = number });
        command.Parameters.Add(new NpgsqlParameter { Value = token });
        await command.ExecuteNonQueryAsync();
    }
}
