using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;

namespace NodeLock.Tests;

/// <summary>What the statements rely on in PostgreSQL and its driver: where one of these fails, so may they.</summary>
public sealed class PostgresBehaviorTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private const string Table = "create table t (id int primary key, n int not null, at timestamptz); "
        + "create table other (id int primary key, state text not null); "
        + "insert into t values (1, 0), (2, 0); insert into other values (1, 'alive'); create sequence s";

    [Fact]
    public async Task A_locking_select_that_waited_reads_its_row_anew_while_subqueries_keep_the_old_snapshot()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection first = await InTransactionAsync("update t set n = 1 where id = 1");
        Task<object?> waiting = Fleet.ScalarAsync("""
            with locked as materialized (select n from t where id = 1 for no key update)
            select l.n || ' ' || (select state from other) from locked l
            """);
        await SomebodyWaitsAsync();

        await Fleet.ExecuteAsync("update other set state = 'fenced'");
        await RunAsync(first, "commit");

        Assert.Equal("1 alive", await waiting.WithinLimit());
    }

    [Fact]
    public async Task A_clause_that_no_longer_holds_for_the_row_that_was_waited_for_excludes_it()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection first = await InTransactionAsync("update t set n = 1 where id = 1");
        Task<object?> waiting = Fleet.ScalarAsync("update t set n = 2 where id = 1 and n = 0 returning n");
        await SomebodyWaitsAsync();

        await RunAsync(first, "commit");

        Assert.Null(await waiting.WithinLimit());
        Assert.Equal(1, await Fleet.ScalarAsync("select n from t where id = 1"));
    }

    [Fact]
    public async Task What_a_locking_select_that_waited_computes_of_its_row_it_computes_anew()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection first = await InTransactionAsync("update t set n = 1 where id = 1");
        Task<object?> waiting = Fleet.ScalarAsync("""
            with locked as materialized (
              select t.n + 10 as more, array(select t.n + u.x from unnest(array[20, 30]) as u(x)) as most
              from t where id = 1 for no key update of t)
            select l.more || ' ' || l.most::text from locked l
            """);
        await SomebodyWaitsAsync();

        await RunAsync(first, "commit");

        Assert.Equal("11 {21,31}", await waiting.WithinLimit());
    }

    [Fact]
    public async Task What_is_asked_of_a_count_of_rows_is_asked_after_the_last_of_them()
    {
        await Fleet.ExecuteAsync(Table);

        Assert.Equal(true, await Fleet.ScalarAsync("""
            with locked as materialized (select id, pg_sleep(0.05) from t for no key update)
            select exists (select from other where clock_timestamp() > statement_timestamp() + interval '0.1 s')
            from (select count(*) as rows from locked) as after_the_locks where after_the_locks.rows >= 0
            """));
    }

    [Fact]
    public async Task A_key_share_passes_by_a_row_that_is_being_deleted_and_none_that_is_being_changed()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection first = await InTransactionAsync("delete from t where id = 1");
        await using NpgsqlConnection second = await InTransactionAsync("update t set n = 1 where id = 2");

        Assert.Equal(2, await Fleet.ScalarAsync(
            "select id from t order by id for key share skip locked").WithinLimit());
    }

    [Fact]
    public async Task A_lock_timeout_set_inside_a_statement_bounds_its_own_wait_for_the_row()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection first = await InTransactionAsync("update t set n = 1 where id = 1");

        PostgresException timeout = await Assert.ThrowsAsync<PostgresException>(() => Fleet.ScalarAsync("""
            with settings as materialized (select set_config('lock_timeout', '50ms', true) as row_wait)
            select n from settings cross join t where id = 1 and settings.row_wait is not null for no key update of t
            """).WithinLimit());

        Assert.Equal(PostgresErrorCodes.LockNotAvailable, timeout.SqlState);
    }

    [Fact]
    public async Task A_setting_made_inside_a_statement_ends_with_its_transaction()
    {
        await using NpgsqlConnection session = await Fleet.OpenAsync();
        await RunAsync(session, "begin; select set_config('lock_timeout', '50ms', true); commit");

        Assert.Equal("0", await RunAsync(session, "show lock_timeout"));
    }

    [Fact]
    public async Task Rows_in_hand_are_skipped_and_not_waited_for()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection first = await InTransactionAsync("select from t where id = 1 for update");

        Assert.Equal(2, await Fleet.ScalarAsync(
            "select id from t order by id for no key update skip locked").WithinLimit());
    }

    [Fact]
    public async Task The_clock_moves_inside_a_transaction_and_now_stands_still()
    {
        await using NpgsqlConnection session = await InTransactionAsync("create temp table began as "
            + "select now() as now, clock_timestamp() as clock");

        Assert.Equal(true, await RunAsync(session,
            "select now() = now and clock_timestamp() > clock from began, pg_sleep(0.001)"));
    }

    [Fact]
    public async Task A_sequence_does_not_go_back_on_rollback()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection session = await InTransactionAsync("select nextval('s')");
        await RunAsync(session, "rollback");

        Assert.Equal(2L, await Fleet.ScalarAsync("select nextval('s')"));
    }

    [Fact]
    public async Task A_batch_of_begin_statement_and_commit_that_fails_keeps_no_lock_and_no_transaction()
    {
        await Fleet.ExecuteAsync(Table);
        await using NpgsqlConnection session = new($"{Fleet.ConnectionString};Maximum Pool Size=1");
        await session.OpenAsync();
        await using (NpgsqlBatch batch = new(session)
        {
            BatchCommands =
            {
                new("begin isolation level read committed read write"),
                new("update t set n = 1 / (n * 0) from (select from t where id = 1 for update) as locked"),
                new("commit"),
            },
        })
            await Assert.ThrowsAsync<PostgresException>(() => batch.ExecuteNonQueryAsync());

        // The locks are gone at once; the session has to be told that the transaction is over.
        await Fleet.ExecuteAsync("update t set n = 5").WaitAsync(Limit);
        Assert.Equal(PostgresErrorCodes.InFailedSqlTransaction,
            (await Assert.ThrowsAsync<PostgresException>(() => RunAsync(session, "select 1"))).SqlState);
        int process = session.ProcessID;
        await session.CloseAsync();
        await session.OpenAsync();
        Assert.Equal(process, session.ProcessID);
        Assert.Equal(5, await RunAsync(session, "select n from t where id = 1"));
    }

    [Fact]
    public async Task A_batch_is_one_round_trip()
    {
        await using NpgsqlConnection session = new(Fleet.Proxy.ConnectionString);
        await session.OpenAsync();
        int before = Fleet.Proxy.Requests;

        await using NpgsqlBatch batch = new(session)
        {
            BatchCommands = { new("begin"), new("select 1"), new("commit") },
        };
        await batch.ExecuteNonQueryAsync();

        Assert.Equal(1, Fleet.Proxy.Requests - before);
    }

    [Fact]
    public async Task A_stated_isolation_level_wins_over_the_databases_default()
    {
        string database = new NpgsqlConnectionStringBuilder(Fleet.ConnectionString).Database!;
        await Fleet.ExecuteAsync($"alter database {database} set default_transaction_isolation = 'serializable'");
        await Fleet.ExecuteAsync($"alter database {database} set default_transaction_read_only = on");
        await using NpgsqlConnection session = new($"{Fleet.ConnectionString};Pooling=false");
        await session.OpenAsync();
        Assert.Equal("serializable", await RunAsync(session, "show transaction_isolation"));

        await RunAsync(session, "begin isolation level read committed read write");

        Assert.Equal("read committed", await RunAsync(session, "show transaction_isolation"));
        Assert.Equal("off", await RunAsync(session, "show transaction_read_only"));
    }

    private static async Task<object?> RunAsync(NpgsqlConnection session, string sql)
    {
        await using NpgsqlCommand command = new(sql, session);
        return await command.ExecuteScalarAsync();
    }

    private async Task<NpgsqlConnection> InTransactionAsync(string sql)
    {
        NpgsqlConnection session = await Fleet.OpenAsync();
        await RunAsync(session, $"begin; {sql}");
        return session;
    }

    private Task SomebodyWaitsAsync() => Fleet.UntilAsync("""
        select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())
        """);
}
