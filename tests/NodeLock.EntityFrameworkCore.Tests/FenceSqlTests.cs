using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests;

/// <summary>What a crash of the server must not undo, of the statements that only fences and operators use.</summary>
public sealed class FenceSqlTests(PostgresFixture postgres) : SqlTest(postgres)
{
    [Fact]
    public async Task What_draws_a_token_or_ends_something_is_durable_whatever_the_databases_default()
    {
        string database = new NpgsqlConnectionStringBuilder(Fleet.ConnectionString).Database!;
        await Fleet.ExecuteAsync($"alter database {database} set synchronous_commit = 'off'");
        using Asker asker = await AskAsync($"{Fleet.ConnectionString};Pooling=false");
        string dead = asker.Register();
        string fencer = asker.Register();
        long token = await asker.GrantAsync(ReserveAction.Reserve, Node, dead);
        await asker.GrantAsync(ReserveAction.Share, Other, dead);
        await Fleet.ExecuteAsync("update nodelock_conductors set state = 'dead' where holder = $1", dead);
        await Fleet.ExecuteAsync("""
            create table commits (synchronous text);
            create function note() returns trigger language plpgsql as $$
            begin
              insert into commits values (current_setting('synchronous_commit'));
              return null;
            end $$;
            create constraint trigger note after update on nodelock_nodes deferrable initially deferred
              for each row execute function note();
            create constraint trigger note after insert or update on nodelock_conductors deferrable initially deferred
              for each row execute function note();
            """);

        Assert.Equal([dead], asker.Store.ClaimForFence(fencer));
        Reservation? revoked = await asker.Repository.RevokeAsync(Node, dead, fencer, Limit);
        Assert.True(revoked?.FencingToken > token);
        Assert.True(await asker.Repository.BreakAsync(Node, revoked.FencingToken, Limit));
        Assert.True(await asker.Repository.BreakAsync(Other, dead, Limit));
        Assert.True(await asker.Repository.FinishFenceAsync(dead, fencer, Limit));
        long stamp = await asker.GrantAsync(ReserveAction.Share, Other, fencer);
        long upgraded = await asker.GrantAsync(ReserveAction.Upgrade, Other, fencer, stamp);
        await asker.GrantAsync(ReserveAction.Downgrade, Other, fencer, upgraded);
        Assert.True(await asker.Repository.BreakAsync(Other, fencer, Limit));
        await asker.ReserveManyAsync(fencer, Atomicity.Each, Node);
        Assert.True(await asker.Repository.BreakAsync(Node, await Fleet.TokenOfAsync(Node), Limit));
        Assert.True(asker.Store.Leave(fencer));
        asker.Store.Bury("stranger/1", requiresFence: true);

        Assert.Equal("13 on", await Fleet.ScalarAsync("""
            select string_agg(changes, ', ')
            from (select count(*) || ' ' || synchronous as changes from commits group by synchronous) as counted
            """));
    }

    [Fact]
    public async Task A_claim_of_one_that_lives_stands_and_that_of_one_that_has_ended_passes_on()
    {
        using Asker asker = await AskAsync();
        string dead = asker.Register();
        string first = asker.Register();
        string second = asker.Register();
        await Fleet.ExecuteAsync("update nodelock_conductors set state = 'dead' where holder = $1", dead);
        Assert.Equal([dead], asker.Store.ClaimForFence(first));
        object? version = await VersionAsync();

        Assert.Empty(asker.Store.ClaimForFence(second));
        Assert.Equal([dead], asker.Store.ClaimForFence(first));
        Assert.Equal(version, await VersionAsync());

        await Fleet.DeclareDeadAsync(first);
        Assert.Equal([dead], asker.Store.ClaimForFence(second));
        Assert.Empty(asker.Store.ClaimForFence(first));
        Assert.NotEqual(version, await VersionAsync());

        Task<object?> VersionAsync() => Fleet.ScalarAsync(
            "select xmin::text from nodelock_conductors where holder = $1", dead);
    }
}
