using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Guard;

/// <summary>The final state and the release are one fact.</summary>
public sealed class SaveChangesAndReleaseTests(PostgresFixture postgres) : GuardTest(postgres)
{
    [Theory]
    [InlineData("read committed")]
    [InlineData("repeatable read")]
    [InlineData("serializable")]
    public async Task What_is_saved_and_the_release_are_there_at_the_same_time(string isolation)
    {
        TestConductor a = await StartAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = OpenUnder(isolation).With("final");

        Assert.Equal(1, await ledger.SaveChangesAndReleaseAsync(task));

        Assert.Null(await Fleet.HolderOfAsync(Node));
        Assert.Equal(task.FencingToken, await Fleet.TokenOfAsync(Node));
        Assert.Equal("final", await SavedAsync());
        Assert.Equal(EntityState.Unchanged, ledger.State);
        Assert.Equal((await XminAsync("nodelock_nodes where id = 'guarded'")), await XminAsync("entries"));
        await using TaskScope next = await b.AcquireOnceAsync(Node);
        await task.DisposeAsync();
        Assert.Equal(b.Holder, await Fleet.HolderOfAsync(Node));
        Assert.False(task.Lost.IsCancellationRequested);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_commit_whose_reply_is_lost_is_reported_once_saved_once_and_released(bool retries)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger =
            Ledger.Open(Fleet.Proxy.ConnectionString, retries ? Retries : null).With("final");
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(GuardStatement);

        Assert.Equal(1, await ledger.SaveChangesAndReleaseAsync(task));

        Assert.Equal((1, 0), (lost.Drops, lost.Errors));
        Assert.Equal("final", await SavedAsync());
        Assert.Equal(EntityState.Unchanged, ledger.State);
        Assert.Equal([a.Holder, null], (await Fleet.ChangesOfAsync(Node)).Select(c => c.NewHolder));
    }

    [Fact]
    public async Task A_save_that_fails_releases_nothing_and_the_scope_goes_on()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("insert into entries (text) values ('taken')");
        await using Ledger ledger = Open().With("taken");

        await Assert.ThrowsAsync<DbUpdateException>(() => ledger.SaveChangesAndReleaseAsync(task));

        task.EnsureHeld();
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
        ledger.Entries.Local.Single().Text = "mended";
        Assert.Equal(1, await ledger.SaveChangesAndReleaseAsync(task));
        Assert.Null(await Fleet.HolderOfAsync(Node));
        Assert.Equal("taken mended", await SavedAsync());
    }

    [Fact]
    public async Task A_session_that_is_killed_before_its_commit_has_neither_saved_nor_released()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open(BeforeCommit.Kills(
            session => Fleet.ExecuteAsync("select pg_terminate_backend($1, 10000)", session))).With("final");

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => ledger.SaveChangesAndReleaseAsync(task));

        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
        Assert.Null(await SavedAsync());
        Assert.Equal(EntityState.Added, ledger.State);
        Assert.Equal(1, await ledger.SaveChangesAndReleaseAsync(task));
        Assert.Equal("final", await SavedAsync());
        Assert.Null(await Fleet.HolderOfAsync(Node));
    }

    [Fact]
    public async Task After_a_take_over_nothing_is_saved_and_the_other_keeps_the_node()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using TaskScope taken = await TakeOverAsync(a);
        await using Ledger ledger = Open().With("stale");

        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesAndReleaseAsync(task));

        Assert.Null(await SavedAsync());
        Assert.Equal(taken.FencingToken, await Fleet.TokenOfAsync(Node));
        await LostAsync(task, "names holder");
        taken.EnsureHeld();
    }

    [Theory]
    [InlineData("off", "on")]
    [InlineData("local", "local")]
    [InlineData("remote_apply", "remote_apply")]
    public async Task It_waits_for_the_disk_also_where_the_default_does_not(string setting, string expected)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        string? found = null;
        await using Ledger ledger = Ledger.Open(new NpgsqlConnectionStringBuilder(Fleet.ConnectionString)
        {
            Options = $"-c synchronous_commit={setting}",
        }.ConnectionString, null, new BeforeCommit(async connection =>
            found = (string?)await new NpgsqlCommand("show synchronous_commit", connection).ExecuteScalarAsync()));

        await ledger.With("final").SaveChangesAndReleaseAsync(task);

        Assert.Equal(expected, found);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Those_who_wait_are_told_after_the_commit_and_nobody_where_nobody_does(bool isWanted)
    {
        TestConductor a = await StartAsync();
        TaskScope task = await a.AcquireOnceAsync(Node);
        if (isWanted) await IsWantedAsync();
        await using IReleaseListener listener = await a.Repository.ListenAsync(null, Limit, CancellationToken.None);
        await using Ledger ledger = Open().With("final");

        await ledger.SaveChangesAndReleaseAsync(task);
        await Fleet.ExecuteAsync("notify nodelock_nodes");

        if (isWanted) Assert.Equal(Node, await listener.HearAsync(CancellationToken.None).WithinLimit());
        Assert.Null(await listener.HearAsync(CancellationToken.None).WithinLimit());
    }

    [Fact]
    public async Task What_is_saved_stays_saved_where_nobody_can_be_told()
    {
        await Fleet.ExecuteAsync("""
            create schema broken;
            create function broken.pg_notify(text, text) returns void language plpgsql as $$
            begin
              raise exception 'too many notifications' using errcode = '54000';
            end $$;
            """);
        string broken = $"{Fleet.ConnectionString};Search Path=broken,pg_catalog,public";
        TestConductor a = await StartAsync(new ConductorSetup { ConnectionString = broken });
        TaskScope task = await a.AcquireOnceAsync(Node);
        await IsWantedAsync();
        await using Ledger ledger = Ledger.Open(broken).With("final");

        Assert.Equal(1, await ledger.SaveChangesAndReleaseAsync(task));

        Assert.Equal("final", await SavedAsync());
        Assert.Null(await Fleet.HolderOfAsync(Node));
        Assert.False(task.Lost.IsCancellationRequested);
    }

    private Task IsWantedAsync() => Fleet.ExecuteAsync(
        "update nodelock_nodes set reservation_wanted_until = now() + interval '1 hour'");

    private async Task<object?> XminAsync(string rows) =>
        await Fleet.ScalarAsync($"select xmin::text from {rows}");
}
