using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests;

/// <summary>What shared nodes leave in the table, and how long their statements wait, which no store's answers
/// show.</summary>
public sealed class SharedSqlTests(PostgresFixture postgres) : SqlTest(postgres)
{
    [Fact]
    public async Task Every_update_of_a_shared_node_stays_on_its_page_and_touches_no_index()
    {
        using Asker asker = await AskAsync($"{Fleet.ConnectionString};Pooling=false"); // a session that ends tells all
        string a = asker.Register();
        string b = asker.Register();
        await Fleet.AddNodeAsync(Node);
        const int Cycles = 20;
        const int Updates = 7 * Cycles;

        for (int i = 0; i < Cycles; i++)
        {
            long first = await asker.GrantAsync(ReserveAction.Share, Node, a);
            long second = await asker.GrantAsync(ReserveAction.Share, Node, b);
            Assert.IsType<ReserveAnswer.Taken>(
                await asker.ReserveAsync(ReserveAction.Upgrade, Node, a, first, TimeSpan.FromMinutes(1)));
            await asker.ReleaseAsync(Node, b, second, ReservationMode.Shared);
            long upgraded = await asker.GrantAsync(ReserveAction.Upgrade, Node, a, first);
            long stamp = await asker.GrantAsync(ReserveAction.Downgrade, Node, a, upgraded);
            await asker.ReleaseAsync(Node, a, stamp, ReservationMode.Shared);
        }

        await Fleet.UntilAsync(
            $"select n_tup_upd >= {Updates} from pg_stat_user_tables where relname = 'nodelock_nodes'");
        Assert.Equal(new long[] { Updates, Updates }, await Fleet.ScalarAsync(
            "select array[n_tup_upd, n_tup_hot_upd] from pg_stat_user_tables where relname = 'nodelock_nodes'"));
    }

    [Fact]
    public async Task The_last_release_of_a_shared_node_leaves_its_row_clean()
    {
        using Asker asker = await AskAsync();
        string a = asker.Register();
        string b = asker.Register();
        long first = await asker.GrantAsync(ReserveAction.Share, Node, a);
        long second = await asker.GrantAsync(ReserveAction.Share, Node, b);

        await asker.ReleaseAsync(Node, b, second, ReservationMode.Shared);
        Assert.Equal(false, await IsCleanAsync());
        await asker.ReleaseAsync(Node, a, first, ReservationMode.Shared);

        Assert.Equal(true, await IsCleanAsync());
    }

    [Fact]
    public async Task So_does_a_release_of_many_a_break_and_a_sweep()
    {
        using Asker asker = await AskAsync();
        string a = asker.Register();
        HeldNode held = new(Node, await asker.GrantAsync(ReserveAction.Share, Node, a), ReservationMode.Shared);
        Assert.Equal([held], await asker.Repository.ReleaseManyAsync(a, [held], Limit));
        Assert.Equal(true, await IsCleanAsync());

        await asker.GrantAsync(ReserveAction.Share, Node, a);
        Assert.True(await asker.Repository.BreakAsync(Node, a, Limit));
        Assert.Equal(true, await IsCleanAsync());

        await asker.GrantAsync(ReserveAction.Share, Node, a);
        await Fleet.DeclareDeadAsync(a);
        Assert.Equal(1, asker.Store.Sweep(10));
        Assert.Equal(true, await IsCleanAsync());
        Assert.Equal(0, asker.Store.Sweep(10));
    }

    [Fact]
    public async Task A_share_that_waited_for_the_row_decides_on_the_version_that_it_then_finds()
    {
        using Asker asker = await AskAsync();
        string a = asker.Register();
        string b = asker.Register();
        long first = await asker.GrantAsync(ReserveAction.Share, Node, a);
        for (int round = 1; ; round++)
        {
            await using NpgsqlConnection user = await Fleet.OpenAsync();
            await new NpgsqlCommand($"""
                begin;
                update nodelock_nodes set reservation_shared = array['{a} {first}', 'other/{round} {round}']
                """, user).ExecuteNonQueryAsync();
            Task<ReserveAnswer> share = asker.ReserveAsync(ReserveAction.Share, Node, b);
            await Fleet.UntilAsync("""
                select exists (select from pg_stat_activity
                               where wait_event_type = 'Lock' and datname = current_database())
                """);
            await new NpgsqlCommand("commit", user).ExecuteNonQueryAsync();

            ReserveAnswer answer = await share.WithinLimit();
            Assert.True(round < 100, "The wait for the row always ended first.");
            if (answer is not ReserveAnswer.Granted granted) continue;
            Assert.Equal(new[] { $"{a} {first}", $"other/{round} {round}", $"{b} {granted.FencingToken}" },
                await Fleet.ScalarAsync("select reservation_shared from nodelock_nodes"));
            return;
        }
    }

    [Fact]
    public async Task A_row_in_hand_bounds_what_would_change_it()
    {
        using Asker asker = await AskAsync();
        string a = asker.Register();
        string fencer = asker.Register();
        long stamp = await asker.GrantAsync(ReserveAction.Share, Node, a);
        long token = await asker.GrantAsync(ReserveAction.Reserve, Other, a);
        await Fleet.ExecuteAsync(
            "update nodelock_conductors set state = 'dead', fenced_by = $2 where holder = $1", a, fencer);
        await using NpgsqlConnection user = await Fleet.OpenAsync();
        await new NpgsqlCommand("begin; select from nodelock_nodes for update", user).ExecuteNonQueryAsync();

        Assert.IsType<ReserveAnswer.RowInHand>(await asker.ReserveAsync(ReserveAction.Share, Node, fencer));
        Assert.IsType<ReserveAnswer.RowInHand>(
            await asker.ReserveAsync(ReserveAction.Upgrade, Node, fencer, stamp));
        await Assert.ThrowsAsync<TimeoutException>(() => asker.Repository.BreakAsync(Node, a, Limit).AsTask());
        await Assert.ThrowsAsync<TimeoutException>(() => asker.Repository.BreakAsync(Other, token, Limit).AsTask());
        Exception revoke = await Assert.ThrowsAnyAsync<Exception>(() =>
            asker.Repository.RevokeAsync(Other, a, fencer, TimeSpan.FromSeconds(1)).AsTask());
        Assert.True(revoke is TimeoutException or NpgsqlException { InnerException: TimeoutException }, $"{revoke}");
        Assert.Equal(token, await Fleet.TokenOfAsync(Other));

        Task<Reservation?> waiting = asker.Repository.RevokeAsync(Other, a, fencer, Limit).AsTask();
        await new NpgsqlCommand("commit", user).ExecuteNonQueryAsync();
        Reservation? revoked = await waiting.WithinLimit();
        Assert.True(revoked?.FencingToken > token);
    }

    private Task<object?> IsCleanAsync() => Fleet.ScalarAsync("""
        select reservation is null and reservation_shared = '{}' and reservation_purpose is null and reserved_at is null
        from nodelock_nodes
        """);
}
