using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests;

/// <summary>What waits for the disk and what does not, and what becomes of a release whose notification fails.</summary>
public sealed class ReleaseSqlTests(PostgresFixture postgres) : SqlTest(postgres)
{
    [Theory]
    [InlineData("off", "on")]
    [InlineData("local", "local")]
    [InlineData("remote_apply", "remote_apply")]
    public async Task A_release_alone_goes_ahead_of_the_disk(string byDefault, string allElse)
    {
        string database = new NpgsqlConnectionStringBuilder(Fleet.ConnectionString).Database!;
        await Fleet.ExecuteAsync($"alter database {database} set synchronous_commit = '{byDefault}'");
        await Fleet.ExecuteAsync("""
            create table commits (synchronous text);
            create function note() returns trigger language plpgsql as $$
            begin
              insert into commits values (current_setting('synchronous_commit'));
              return null;
            end $$;
            create constraint trigger note after update on nodelock_nodes deferrable initially deferred
              for each row execute function note();
            """);
        using Asker asker = await AskAsync($"{Fleet.ConnectionString};Pooling=false");
        string a = asker.Register();
        string b = asker.Register();
        INodeLockRepository repository = asker.Repository;
        await AddWantedAsync(Node, Other);

        HeldNode held = new(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a));
        Assert.Equal(allElse, await NotedAsync());
        await repository.ReleaseAsync(a, held, Limit);
        Assert.Equal("off", await NotedAsync());
        held = new HeldNode(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a));
        Assert.Equal(allElse, await NotedAsync());
        repository.Release(a, held, Limit);
        Assert.Equal("off", await NotedAsync());

        HeldNode first = new(Node, await asker.GrantAsync(ReserveAction.Share, Node, a), ReservationMode.Shared);
        HeldNode second = new(Node, await asker.GrantAsync(ReserveAction.Share, Node, b), ReservationMode.Shared);
        Assert.Equal(allElse, await NotedAsync());
        await repository.ReleaseAsync(a, first, Limit);
        await repository.ReleaseAsync(b, second, Limit);
        Assert.Equal("off", await NotedAsync());

        first = new(Node, await asker.GrantAsync(ReserveAction.Share, Node, a), ReservationMode.Shared);
        second = new HeldNode(Other, await asker.GrantAsync(ReserveAction.Reserve, Other, a));
        Assert.Equal(allElse, await NotedAsync());
        Assert.Equal(2, (await repository.ReleaseManyAsync(a, [first, second], Limit)).Count);
        Assert.Equal("off", await NotedAsync());

        first = new HeldNode(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a));
        long stamp = await asker.GrantAsync(ReserveAction.Downgrade, Node, a, first.FencingToken);
        second = new HeldNode(Other, await asker.GrantAsync(ReserveAction.Reserve, Other, a));
        Assert.Equal(allElse, await NotedAsync());
        Assert.Equal(2, asker.Store.Release(a, [second, new HeldNode(Node, stamp, ReservationMode.Shared)]));
        Assert.Equal("off", await NotedAsync());

        await asker.GrantAsync(ReserveAction.Share, Node, a);
        Assert.True(await repository.BreakAsync(Node, a, Limit));
        Assert.True(await repository.BreakAsync(
            Other, await asker.GrantAsync(ReserveAction.Reserve, Other, a), Limit));
        await asker.GrantAsync(ReserveAction.Reserve, Node, a);
        await asker.GrantAsync(ReserveAction.Share, Other, a);
        await Fleet.DeclareDeadAsync(a);
        Assert.Equal(2, asker.Store.Sweep(10));
        Assert.Equal(allElse, await NotedAsync());

        async Task<object?> NotedAsync() => await Fleet.ScalarAsync("""
            with noted as (delete from commits returning synchronous)
            select string_agg(distinct synchronous, ', ') from noted
            """);
    }

    [Theory]
    [InlineData("raise exception 'too many notifications' using errcode = '54000';")]
    [InlineData("raise exception 'payload string too long' using errcode = '22023';")]
    [InlineData("insert into public.told values ($1);")] // fails as late as the commit, which a full queue does
    public async Task A_node_is_free_also_where_nobody_can_be_told_of_it(string notify)
    {
        using Asker asker = await AskWhereNotifyAsync(notify);
        string a = asker.Register();
        INodeLockRepository repository = asker.Repository;
        await AddWantedAsync(Node, Other);

        await repository.ReleaseAsync(a, new(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a)), Limit);
        await FreeAsync();
        repository.Release(a, new(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a)), Limit);
        await FreeAsync();
        long stamp = await asker.GrantAsync(ReserveAction.Share, Node, a);
        await repository.ReleaseAsync(a, new(Node, stamp, ReservationMode.Shared), Limit);
        await FreeAsync();
        HeldNode[] held =
        [
            new(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a)),
            new(Other, await asker.GrantAsync(ReserveAction.Reserve, Other, a)),
        ];
        Assert.Equal(2, (await repository.ReleaseManyAsync(a, held, Limit)).Count);
        await FreeAsync();
        stamp = await asker.GrantAsync(ReserveAction.Downgrade, Node, a,
            await asker.GrantAsync(ReserveAction.Reserve, Node, a));
        Assert.Equal(1, asker.Store.Release(a, [new(Node, stamp, ReservationMode.Shared)]));
        await FreeAsync();
        Assert.True(await repository.BreakAsync(
            Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a), Limit));
        await asker.GrantAsync(ReserveAction.Share, Node, a);
        Assert.True(await repository.BreakAsync(Node, a, Limit));
        await FreeAsync();
        asker.Store.TellNothing();
        await asker.GrantAsync(ReserveAction.Reserve, Node, a);
        await Fleet.DeclareDeadAsync(a);
        Assert.Equal(1, asker.Store.Sweep(10));
        await FreeAsync();

        async Task FreeAsync() => Assert.Equal(0L, await Fleet.ScalarAsync(
            "select count(*) from nodelock_nodes where reservation is not null or reservation_shared <> '{}'"));
    }

    [Fact]
    public async Task What_fails_for_another_reason_fails_and_changes_nothing()
    {
        using Asker asker = await AskWhereNotifyAsync("raise exception 'no' using errcode = '55000';");
        string a = asker.Register();
        await AddWantedAsync(Node);
        HeldNode held = new(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a));

        PostgresException no = await Assert.ThrowsAsync<PostgresException>(
            () => asker.Repository.ReleaseAsync(a, held, Limit).AsTask());

        Assert.Equal("55000", no.SqlState);
        Assert.Equal(a, await Fleet.HolderOfAsync(Node));
    }

    [Fact]
    public async Task A_release_of_a_node_that_nobody_wants_sends_no_notification()
    {
        using Asker asker = await AskWhereNotifyAsync("raise exception 'told' using errcode = '55000';");
        string a = asker.Register();

        await asker.Repository.ReleaseAsync(
            a, new HeldNode(Node, await asker.GrantAsync(ReserveAction.Reserve, Node, a)), Limit);

        Assert.Null(await Fleet.HolderOfAsync(Node));
    }

    /// <summary>Sessions in which pg_notify is another function.</summary>
    private async Task<Asker> AskWhereNotifyAsync(string body)
    {
        await Fleet.ExecuteAsync($"""
            create schema broken;
            create function broken.pg_notify(text, text) returns void language plpgsql as $$ begin {body} end $$;
            create table told (channel text);
            create function refuse() returns trigger language plpgsql as $$
            begin
              raise exception 'too many notifications in the NOTIFY queue' using errcode = '54000';
            end $$;
            create constraint trigger refuse after insert on told deferrable initially deferred
              for each row execute function refuse();
            """);
        return await AskAsync($"{Fleet.ConnectionString};Search Path=broken,pg_catalog,public");
    }

    /// <summary>The rows of nodes that somebody waits for.</summary>
    private async Task AddWantedAsync(params NodeId[] nodes)
    {
        foreach (NodeId node in nodes) await Fleet.AddNodeAsync(node);
        await Fleet.ExecuteAsync("update nodelock_nodes set reservation_wanted_until = now() + interval '1 hour'");
        await Fleet.ExecuteAsync("do $$ begin delete from commits; exception when undefined_table then end $$");
    }
}
