using Npgsql;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class ReservationHistoryTests(PostgresFixture postgres) : IAsyncLifetime
{
    private string connectionString = "";
    private ReservationHistory? history;

    private ReservationHistory History => history ?? throw new InvalidOperationException();

    public async ValueTask InitializeAsync()
    {
        connectionString = await postgres.Server.CreateDatabaseAsync("history");
        await ExecuteAsync(
            """
            CREATE TABLE nodelock_nodes (id text PRIMARY KEY, reservation text,
              reservation_token bigint NOT NULL DEFAULT 0, reservation_purpose text, wanted_until timestamptz)
            """);
        history = await ReservationHistory.InstallAsync(connectionString);
    }

    public async ValueTask DisposeAsync() => await postgres.Server.DropDatabaseAsync("history");

    [Fact]
    public async Task A_clean_history_has_no_violations()
    {
        await ReserveAsync("a", 1);
        await ReleaseAsync();
        await ExecuteAsync("UPDATE nodelock_nodes SET wanted_until = now()");
        await ReserveAsync("b", 2);
        await ReserveAsync("b", 5);
        await ExecuteAsync("DELETE FROM nodelock_nodes");
        await ExecuteAsync("INSERT INTO nodelock_nodes (id) VALUES ('n')");
        await ReserveAsync("a", 7);

        Assert.Empty(await CheckAsync());
        ReservationChange last = (await History.ReadAsync())[^1];
        Assert.Equal(("n", null, "a", 0L, 7L, "test"), (
            last.Node, last.OldHolder, last.NewHolder, last.OldToken, last.NewToken, last.NewPurpose));
    }

    [Fact]
    public async Task Only_changes_of_the_reservation_are_noted()
    {
        await ReserveAsync("a", 1);
        await ExecuteAsync("UPDATE nodelock_nodes SET wanted_until = now()");
        await ReleaseAsync();

        Assert.Equal(2, (await History.ReadAsync()).Count);
    }

    [Fact]
    public async Task What_was_rolled_back_is_not_noted()
    {
        await ExecuteAsync("BEGIN; INSERT INTO nodelock_nodes (id, reservation) VALUES ('n', 'a'); ROLLBACK");

        Assert.Empty(await History.ReadAsync());
    }

    [Fact]
    public async Task A_second_holder_beside_the_first_is_caught()
    {
        await ReserveAsync("a", 1);
        await ReserveAsync("b", 2);

        string violation = Assert.Single(await CheckAsync());
        Assert.StartsWith("Two holders at once: b got the node while a held it", violation, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dead_holder_may_be_replaced()
    {
        await ReserveAsync("dead", 1);
        await ReserveAsync("b", 2);

        Assert.Empty(ReservationHistory.Check(await History.ReadAsync(), holder => holder == "dead"));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(3)]
    public async Task A_reservation_whose_token_does_not_grow_is_caught(long token)
    {
        await ReserveAsync("a", 4);
        await ReleaseAsync();
        await ReserveAsync("b", token);

        Assert.Contains(await CheckAsync(), v => v.StartsWith("The token did not grow", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_token_that_starts_over_after_delete_and_create_is_caught()
    {
        await ReserveAsync("a", 4);
        await ExecuteAsync("DELETE FROM nodelock_nodes");
        await ReserveAsync("b", 1);

        Assert.StartsWith("The token did not grow", Assert.Single(await CheckAsync()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_that_goes_back_on_release_is_caught()
    {
        await ReserveAsync("a", 4);
        await ExecuteAsync("UPDATE nodelock_nodes SET reservation = NULL, reservation_token = 0");

        Assert.StartsWith("The token went back", Assert.Single(await CheckAsync()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_change_past_the_trigger_is_caught()
    {
        await ReserveAsync("a", 1);
        await ExecuteAsync(
            """
            SET session_replication_role = replica;
            UPDATE nodelock_nodes SET reservation = 'unseen', reservation_token = 2;
            SET session_replication_role = DEFAULT;
            UPDATE nodelock_nodes SET reservation = NULL;
            """);

        Assert.StartsWith("A change went unseen", Assert.Single(await CheckAsync()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nodes_are_judged_apart_and_keys_need_not_be_text()
    {
        await ExecuteAsync(
            """
            CREATE SCHEMA fleet;
            CREATE TABLE fleet."nodelock_Server" ("Server Id" uuid PRIMARY KEY, reservation text,
              reservation_token bigint NOT NULL DEFAULT 0, reservation_purpose text);
            """);
        ReservationHistory other = await ReservationHistory.InstallAsync(
            connectionString, "fleet.nodelock_Server", "Server Id");
        await ExecuteAsync(
            """
            INSERT INTO fleet."nodelock_Server" VALUES (gen_random_uuid(), 'a', 2), (gen_random_uuid(), 'b', 1)
            """);

        IReadOnlyList<ReservationChange> changes = await other.ReadAsync();
        Assert.Equal(2, changes.Count);
        Assert.Empty(ReservationHistory.Check(changes));
    }

    private async Task<IReadOnlyList<string>> CheckAsync() => ReservationHistory.Check(await History.ReadAsync());

    private Task ReserveAsync(string holder, long token)
        => ExecuteAsync(
            $"""
            INSERT INTO nodelock_nodes VALUES ('n', '{holder}', {token}, 'test') ON CONFLICT (id) DO UPDATE
            SET reservation = excluded.reservation, reservation_token = excluded.reservation_token,
                reservation_purpose = excluded.reservation_purpose
            """);

    private Task ReleaseAsync() => ExecuteAsync("UPDATE nodelock_nodes SET reservation = NULL");

    private async Task ExecuteAsync(string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }
}
