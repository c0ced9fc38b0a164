using Microsoft.EntityFrameworkCore;
using NodeLock.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Guard;

/// <summary>A guarded save is reported as it is: once when it was saved, and never when it was not.</summary>
public sealed class LostCommitTests(PostgresFixture postgres) : GuardTest(postgres)
{
    private const string Question = "pg_xact_status";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_commit_whose_reply_is_lost_is_saved_once_and_reported_once(bool retries)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = OpenBehindProxy(retries).With("first");
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(GuardStatement);

        Assert.Equal(1, await ledger.SaveChangesGuardedAsync(task));

        Assert.Equal((1, 0), (lost.Drops, lost.Errors));
        Assert.Equal("first", await SavedAsync());
        Assert.Equal(EntityState.Unchanged, ledger.State);
        Assert.Equal(0, await ledger.SaveChangesGuardedAsync(task));
        task.EnsureHeld();
    }

    /// <summary>The control: EF Core by itself saves again what it was not told of.</summary>
    [Fact]
    public async Task Control_with_the_contexts_retries_alone_it_is_saved_twice()
    {
        await StartAsync();
        await using Ledger ledger = OpenBehindProxy(retries: true).With("first").With("second");
        await Fleet.ExecuteAsync("alter table entries drop constraint once");
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit("INSERT");

        await ledger.SaveChangesAsync();

        Assert.Equal("first second first second", await SavedAsync());
    }

    [Fact]
    public async Task A_session_that_is_killed_before_its_commit_has_saved_nothing_and_says_so()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open(BeforeCommit.Kills(KillAsync)).With("first");

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Null(await SavedAsync());
        Assert.Equal(EntityState.Added, ledger.State);
        task.EnsureHeld();
        Assert.Equal(1, await ledger.SaveChangesGuardedAsync(task));
        Assert.Equal("first", await SavedAsync());
        Assert.Equal(EntityState.Unchanged, ledger.State);
    }

    [Fact]
    public async Task A_session_that_is_killed_before_its_commit_is_retried_where_the_context_retries()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        BeforeCommit kills = BeforeCommit.Kills(KillAsync);
        await using Ledger ledger = Ledger.Open(Fleet.ConnectionString, Retries, kills).With("first").With("second");

        Assert.Equal(2, await ledger.SaveChangesGuardedAsync(task));

        Assert.Equal(2, kills.Commits);
        Assert.Equal("first second", await SavedAsync());
        Assert.Equal(await Fleet.ScalarAsync("select array_agg(id order by id) from entries"),
            ledger.Entries.Local.Select(e => e.Id).Order().ToArray());
    }

    [Fact]
    public async Task A_retry_of_one_that_has_lost_its_node_meanwhile_saves_nothing()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Ledger.Open(Fleet.ConnectionString, Retries, BeforeCommit.Kills(async session =>
        {
            await KillAsync(session);
            await using NpgsqlConnection other = await Fleet.OpenAsync();
            await MoveTokenAsync(other);
        })).With("first");

        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Null(await SavedAsync());
    }

    [Fact]
    public async Task A_commit_that_is_still_on_its_way_is_waited_for()
    {
        TestConductor a = await StartAsync(new ConductorSetup { ConnectionString = Fleet.Proxy.ConnectionString });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Ledger.Open(
            new NpgsqlConnectionStringBuilder(Fleet.Proxy.ConnectionString) { CommandTimeout = 5 }.ConnectionString)
            .With("first");
        using HeldRequests commit = Fleet.Proxy.HoldRequests(r => r.Sql.StartsWith("COMMIT", StringComparison.Ordinal));
        using WatchedRequests questions = Fleet.Proxy.WatchRequests(Question);

        Task<int> save = ledger.SaveChangesGuardedAsync(task);
        await commit.WaitForSenderGoneAsync(Limit);
        await questions.WaitForMatchesAsync(2, Limit);
        Assert.False(save.IsCompleted);
        commit.Release();

        Assert.Equal(1, await save.WithinLimit());
        Assert.Equal("first", await SavedAsync());
        Assert.Equal(EntityState.Unchanged, ledger.State);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_outcome_that_cannot_be_found_out_is_said_to_be_unknown_and_not_retried(bool retries)
    {
        TestConductor a = await StartAsync(new ConductorSetup
        {
            ConnectionString = Fleet.Proxy.ConnectionString,
            Options = ConductorSetup.Hurried,
        });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = OpenBehindProxy(retries).With("first");
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(GuardStatement);
        using HeldRequests question = Fleet.Proxy.HoldRequests(Question);

        InvalidOperationException unknown = await Assert.ThrowsAsync<InvalidOperationException>(
            () => ledger.SaveChangesGuardedAsync(task).WithinLimit());

        Assert.Contains("outcome of a guarded write is unknown", unknown.Message, StringComparison.Ordinal);
        Assert.IsAssignableFrom<NpgsqlException>(unknown.InnerException);
        Assert.True(question.Matches > 0);
        Assert.Equal("first", await SavedAsync());
        Assert.Equal(EntityState.Added, ledger.State);
    }

    [Fact]
    public async Task A_release_whose_outcome_is_unknown_is_not_believed_in_any_longer()
    {
        TestConductor a = await StartAsync(new ConductorSetup
        {
            ConnectionString = Fleet.Proxy.ConnectionString,
            Options = ConductorSetup.Hurried,
        });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = OpenBehindProxy(retries: false).With("first");
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(GuardStatement);
        using HeldRequests outcome = Fleet.Proxy.HoldRequests(Question);
        using HeldRequests row = Fleet.Proxy.HoldRequests("then false end");

        await Assert.ThrowsAsync<InvalidOperationException>(
            () => ledger.SaveChangesAndReleaseAsync(task).WithinLimit());

        await LostAsync(task, "whether it was committed is not known");
    }

    [Fact]
    public async Task A_commit_of_before_a_crash_may_be_anothers_unless_the_row_knows()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        EntityFrameworkCoreNodeLockRepository repository = (EntityFrameworkCoreNodeLockRepository)task.Guard().Repository;
        string committed = (string)(await Fleet.ScalarAsync("select pg_current_xact_id()::text"))!;
        string run = (string)(await Fleet.ScalarAsync("select extract(epoch from pg_postmaster_start_time())::text || ' ' "
            + "|| coalesce(pg_last_wal_replay_lsn()::text, '')"))!;
        object[] reservation = [Node.ToString(), a.Holder, task.FencingToken, task.FencingToken];

        Assert.True(await IsCommittedAsync(run, release: false));
        Assert.Null(await IsCommittedAsync("another", release: false));
        Assert.False(await IsCommittedAsync("another", release: true));
        Assert.False(await IsCommittedAsync(run, release: true)); // another's: the row is still ours
        await task.DisposeAsync();
        Assert.True(await IsCommittedAsync("another", release: true));

        Task<bool?> IsCommittedAsync(string of, bool release) => new LostCommit(repository.Statements,
            new Guarded(committed, of, IsWanted: false), release ? (repository.GuardSql.IsReleased, reservation) : null, Limit)
            .IsCommittedAsync();
    }

    [Fact]
    public async Task A_commit_that_the_server_refuses_is_its_own_error_and_saves_nothing()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("alter table entries drop constraint once, "
            + "add constraint once unique (text) deferrable initially deferred");
        await using Ledger ledger = Open().With("twice").With("twice");

        PostgresException refused =
            await Assert.ThrowsAsync<PostgresException>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Equal(PostgresErrorCodes.UniqueViolation, refused.SqlState);
        Assert.Null(await SavedAsync());
        Assert.All(ledger.ChangeTracker.Entries(), e => Assert.Equal(EntityState.Added, e.State));
    }

    /// <summary>Whose commit the server would answer with "rollback", which the driver takes for a yes.</summary>
    [Theory]
    [InlineData("select 1 / 0")]
    [InlineData("rollback")]
    public async Task A_transaction_that_a_handler_spoils_after_the_save_is_not_reported_as_saved(string sql)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open(new CarelessHandler(sql)).With("first");

        await Assert.ThrowsAnyAsync<Exception>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Null(await SavedAsync());
        Assert.Equal(EntityState.Added, ledger.State);
    }

    private Ledger OpenBehindProxy(bool retries) =>
        Ledger.Open(Fleet.Proxy.ConnectionString, retries ? Retries : null);

    private Task KillAsync(int session) => Fleet.ExecuteAsync("select pg_terminate_backend($1, 10000)", session);
}
