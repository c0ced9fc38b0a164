using Npgsql;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class FaultProxyTests(PostgresFixture postgres) : IAsyncLifetime
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private string direct = "";
    private string proxied = "";
    private FaultProxy? running;

    private FaultProxy Proxy => running ?? throw new InvalidOperationException();

    public async ValueTask InitializeAsync()
    {
        direct = await postgres.Server.CreateDatabaseAsync("proxy");
        await ExecuteAsync(direct, "CREATE TABLE counter (n int NOT NULL); INSERT INTO counter VALUES (0)");
        running = new FaultProxy(direct);
        proxied = new NpgsqlConnectionStringBuilder(running.ConnectionString) { Pooling = false }.ConnectionString;
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await postgres.Server.DropDatabaseAsync("proxy");
    }

    [Fact]
    public async Task Without_a_fault_everything_passes()
    {
        await using NpgsqlConnection connection = await OpenAsync(proxied);
        string large = new('x', 3_000_000);
        await using var echo = new NpgsqlCommand("SELECT $1", connection) { Parameters = { new() { Value = large } } };
        Assert.Equal(large, await echo.ExecuteScalarAsync());

        await ExecuteAsync(direct, "CREATE TABLE copied (n int)");
        await using (NpgsqlBinaryImporter import = await connection.BeginBinaryImportAsync(
            "COPY copied FROM STDIN (FORMAT binary)"))
        {
            for (int i = 0; i < 1000; i++)
                await import.WriteRowAsync(TestContext.Current.CancellationToken, i);
            await import.CompleteAsync();
        }

        Assert.Equal(1000L, await ScalarAsync(direct, "SELECT count(*) FROM copied"));
        Assert.Equal((1, 1), (Proxy.Connections, Proxy.OpenConnections));
    }

    [Fact]
    public async Task A_notification_arrives_without_a_request()
    {
        await using NpgsqlConnection listener = await OpenAsync(proxied);
        await new NpgsqlCommand("LISTEN released", listener).ExecuteNonQueryAsync();
        await ExecuteAsync(direct, "NOTIFY released");

        Assert.True(await listener.WaitAsync(Limit, CancellationToken.None));
    }

    [Fact]
    public async Task A_dropped_reply_breaks_the_connection_after_the_commit()
    {
        using DroppedReplies fault = Proxy.DropReplyAfterCommit("UPDATE counter");

        await Assert.ThrowsAsync<NpgsqlException>(() => IncrementAsync(proxied));

        await fault.WaitForDropAsync(Limit);
        Assert.Equal((1, 0), (fault.Drops, fault.Errors));
        Assert.Equal(1, await CountAsync());
        await IncrementAsync(proxied);
        Assert.Equal(2, await CountAsync());
    }

    [Fact]
    public async Task In_a_transaction_the_reply_to_its_commit_is_dropped()
    {
        using DroppedReplies fault = Proxy.DropReplyAfterCommit("UPDATE counter");
        await using NpgsqlConnection connection = await OpenAsync(proxied);
        await using NpgsqlTransaction transaction = await connection.BeginTransactionAsync();

        await using var update = new NpgsqlCommand("UPDATE counter SET n = n + 1", connection);
        Assert.Equal(1, await update.ExecuteNonQueryAsync());
        Assert.Equal(0, fault.Drops);
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => transaction.CommitAsync());

        await fault.WaitForDropAsync(Limit);
        Assert.Equal(1, await CountAsync());
    }

    [Fact]
    public async Task The_reply_to_a_batch_of_begin_statement_and_commit_is_dropped()
    {
        using DroppedReplies fault = Proxy.DropReplyAfterCommit("UPDATE counter");
        await using NpgsqlConnection connection = await OpenAsync(proxied);
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new("BEGIN ISOLATION LEVEL READ COMMITTED"), new("UPDATE counter SET n = n + 1"), new("COMMIT"),
            },
        };

        await Assert.ThrowsAsync<NpgsqlException>(() => batch.ExecuteNonQueryAsync());

        await fault.WaitForDropAsync(Limit);
        Assert.Equal(1, await CountAsync());
    }

    [Fact]
    public async Task A_prepared_statement_matches_by_the_text_it_was_prepared_with()
    {
        await using NpgsqlConnection connection = await OpenAsync(proxied);
        await using var update = new NpgsqlCommand("UPDATE counter SET n = n + 1", connection);
        await update.PrepareAsync();
        await update.ExecuteNonQueryAsync();
        using DroppedReplies fault = Proxy.DropReplyAfterCommit("UPDATE counter");

        await Assert.ThrowsAsync<NpgsqlException>(() => update.ExecuteNonQueryAsync());

        await fault.WaitForDropAsync(Limit);
        Assert.Equal(2, await CountAsync());
    }

    [Fact]
    public async Task A_dropped_error_is_counted_as_one()
    {
        using DroppedReplies fault = Proxy.DropReplyAfterCommit(request => request.Sql.Contains("1 / 0"));

        await Assert.ThrowsAsync<NpgsqlException>(() => ExecuteAsync(proxied, "UPDATE counter SET n = 1 / 0"));

        await fault.WaitForDropAsync(Limit);
        Assert.Equal(1, fault.Errors);
    }

    [Fact]
    public async Task A_held_request_reaches_the_server_after_its_sender_gave_up()
    {
        using HeldRequests held = Proxy.HoldRequests("UPDATE counter", count: 1);
        NpgsqlConnection connection = await OpenAsync(proxied);
        await using var update = new NpgsqlCommand("UPDATE counter SET n = n + 1", connection) { CommandTimeout = 1 };

        await Assert.ThrowsAsync<NpgsqlException>(() => update.ExecuteNonQueryAsync());
        await connection.DisposeAsync();
        await held.WaitForSenderGoneAsync(Limit);
        Assert.Equal((1, 0), (held.Matches, await CountAsync()));

        held.Release();
        await held.WaitForAnswerAsync(Limit);
        Assert.Equal(1, await CountAsync());
    }

    [Fact]
    public async Task A_held_request_whose_sender_waits_is_answered_after_the_release()
    {
        using HeldRequests held = Proxy.HoldRequests("UPDATE counter");
        Task increment = IncrementAsync(proxied);
        await held.WaitForMatchAsync(Limit);
        Assert.Equal(0, await CountAsync());

        held.Release();
        await increment.WaitAsync(Limit);
        Assert.Equal(1, await CountAsync());
    }

    [Fact]
    public async Task Swallowed_requests_reach_nobody_and_new_connections_hang()
    {
        await using NpgsqlConnection lost = await OpenAsync(proxied);
        await using NpgsqlConnection idle = await OpenAsync(proxied);
        Proxy.Swallow = true;

        await using var update = new NpgsqlCommand("UPDATE counter SET n = n + 1", lost);
        Task increment = update.ExecuteNonQueryAsync();
        Task<NpgsqlConnection> opening = OpenAsync(proxied);

        // Npgsql does not heed a token while it waits for the server's first reply, only its own time limit.
        await using var hanging = new NpgsqlConnection($"{proxied};Timeout=1");
        await Assert.ThrowsAsync<NpgsqlException>(() => hanging.OpenAsync());
        Assert.False(increment.IsCompleted || opening.IsCompleted);

        Proxy.Swallow = false;
        await Assert.ThrowsAsync<NpgsqlException>(() => increment.WaitAsync(Limit));
        await Assert.ThrowsAsync<NpgsqlException>(() => opening.WaitAsync(Limit));
        Assert.Equal(0, await CountAsync());
        await new NpgsqlCommand("SELECT 1", idle).ExecuteNonQueryAsync();
        await IncrementAsync(proxied);
    }

    [Fact]
    public async Task The_server_does_not_hear_that_a_swallowed_client_is_gone()
    {
        NpgsqlConnection connection = await OpenAsync(proxied);
        await new NpgsqlCommand("BEGIN; UPDATE counter SET n = n + 1", connection).ExecuteNonQueryAsync();
        Proxy.Swallow = true;
        await connection.DisposeAsync();

        const string Skip = "SELECT count(*) FROM (SELECT FROM counter FOR UPDATE SKIP LOCKED) AS free";
        Assert.Equal(0L, await ScalarAsync(direct, Skip));

        Proxy.Swallow = false;
        await ExecuteAsync(direct, "SELECT FROM counter FOR UPDATE"); // waits until the session has ended
        Assert.Equal(0, await CountAsync());
    }

    [Fact]
    public async Task A_cut_breaks_every_connection_and_new_ones_work()
    {
        await using NpgsqlConnection connection = await OpenAsync(proxied);
        using WatchedRequests watch = Proxy.WatchRequests("pg_sleep");
        Task sleeping = new NpgsqlCommand("SELECT pg_sleep(600)", connection).ExecuteNonQueryAsync();
        await watch.WaitForMatchAsync(Limit);

        Proxy.CutAll();
        await Assert.ThrowsAsync<NpgsqlException>(() => sleeping.WaitAsync(Limit));
        await IncrementAsync(proxied);
    }

    [Fact]
    public async Task A_cancelled_command_is_cancelled_on_the_server()
    {
        await using NpgsqlConnection connection = await OpenAsync(proxied);
        var asleep = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.Notice += (_, _) => asleep.TrySetResult();
        using var cancel = new CancellationTokenSource();
        const string Sleep = "DO $$ BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep(600); END $$";
        Task sleeping = new NpgsqlCommand(Sleep, connection).ExecuteNonQueryAsync(cancel.Token);

        // A cancellation that overtakes its command does nothing.
        await asleep.Task.WaitAsync(Limit);
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sleeping.WaitAsync(Limit));
        Assert.Equal(2, Proxy.Connections);
        await new NpgsqlCommand("SELECT 1", connection).ExecuteNonQueryAsync();
    }

    [Fact]
    public async Task A_fault_that_does_not_happen_is_a_timeout()
    {
        using WatchedRequests watch = Proxy.WatchRequests("never");

        await Assert.ThrowsAsync<TimeoutException>(() => watch.WaitForMatchAsync(TimeSpan.FromMilliseconds(1)));
    }

    private static async Task<NpgsqlConnection> OpenAsync(string connectionString)
    {
        var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        return connection;
    }

    private static async Task ExecuteAsync(string connectionString, string sql)
        => await ScalarAsync(connectionString, sql);

    private static async Task<object?> ScalarAsync(string connectionString, string sql)
    {
        await using NpgsqlConnection connection = await OpenAsync(connectionString);
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    private static Task IncrementAsync(string connectionString)
        => ExecuteAsync(connectionString, "UPDATE counter SET n = n + 1");

    private async Task<int> CountAsync() => (int)(await ScalarAsync(direct, "SELECT n FROM counter") ?? -1);
}
