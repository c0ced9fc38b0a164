using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>What happened in one call of a fence.</summary>
internal sealed record FenceEvent(
    long Seq, DateTimeOffset At, string What, string Node, string DeadHolder, long Token, int ProcessId);

/// <summary>
/// A fence of the tests: it notes in the database when it begins and ends, fails as often as it is told to, and hangs
/// while the test keeps it shut.
/// </summary>
internal sealed class YardFence(IDbContextFactory<YardContext> contexts) : INodeFence
{
    private const int Door = 77;

    private const string Script =
        """
        create table yard_fences (
          seq bigserial primary key, at timestamptz not null default clock_timestamp(), what text not null,
          node text not null, dead text not null, token bigint not null, process_id int not null);
        create table yard_fence_failures (node text primary key, times int not null);
        """;

    private const string Note =
        "insert into yard_fences (what, node, dead, token, process_id) values ({0}, {1}, {2}, {3}, {4})";

    public static Task InstallAsync(Yard yard) => yard.ExecuteAsync(Script);

    public async Task FenceAsync(NodeToFence node, CancellationToken cancellationToken)
    {
        await using YardContext context = await contexts.CreateDbContextAsync(cancellationToken);
        await NoteAsync(context, "begins", node);
        int failures = await context.Database.ExecuteSqlAsync(
            $"update yard_fence_failures set times = times - 1 where node = {node.NodeId.ToString()} and times > 0",
            cancellationToken);
        if (failures > 0)
        {
            await NoteAsync(context, "fails", node);
            throw new InvalidOperationException("The power supply does not answer.");
        }

        context.Database.SetCommandTimeout(TimeSpan.FromMinutes(5));
        await context.Database.ExecuteSqlRawAsync($"select pg_advisory_xact_lock_shared({Door})", cancellationToken);
        await NoteAsync(context, "ends", node);
    }

    /// <summary>Fences hang from now on, until it is disposed.</summary>
    public static async Task<NpgsqlConnection> ShutAsync(Yard yard)
    {
        NpgsqlConnection connection = new(yard.Own);
        await connection.OpenAsync();
        await using NpgsqlCommand shut = new($"select pg_advisory_lock({Door})", connection);
        await shut.ExecuteNonQueryAsync();
        return connection;
    }

    public static Task FailAsync(Yard yard, string node, int times) =>
        yard.ExecuteAsync("insert into yard_fence_failures values ($1, $2)", node, times);

    public static async Task<IReadOnlyList<FenceEvent>> ReadAsync(Yard yard)
    {
        await using NpgsqlConnection connection = new(yard.Own);
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(
            "select seq, at, what, node, dead, token, process_id from yard_fences order by seq", connection);
        await using NpgsqlDataReader reader = await command.ExecuteReaderAsync();
        List<FenceEvent> events = [];
        while (await reader.ReadAsync())
        {
            events.Add(new FenceEvent(reader.GetInt64(0), await reader.GetFieldValueAsync<DateTimeOffset>(1),
                reader.GetString(2), reader.GetString(3), reader.GetString(4), reader.GetInt64(5), reader.GetInt32(6)));
        }

        return events;
    }

    private static Task<int> NoteAsync(YardContext context, string what, NodeToFence node) =>
        context.Database.ExecuteSqlRawAsync(
            Note, what, node.NodeId.ToString(), node.DeadHolder, node.FencingToken, Environment.ProcessId);
}
