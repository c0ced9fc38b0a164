using System.Diagnostics;
using System.Transactions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;
using IsolationLevel = System.Data.IsolationLevel;

namespace NodeLock.Tests.Guard;

/// <summary>The guard in a transaction of the caller, and what others see of it.</summary>
public sealed class EnsureReservedTests(PostgresFixture postgres) : GuardTest(postgres)
{
    [Fact]
    public async Task Until_the_transaction_ends_nobody_else_takes_the_node_and_who_asks_is_told_soon()
    {
        TestConductor a = await StartAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open();
        await using IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync();
        await ledger.Database.EnsureReservedAsync(task);
        await Fleet.DeclareDeadAsync(a.Holder);

        long began = Stopwatch.GetTimestamp();
        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(() => b.AcquireOnceAsync(Node));
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromSeconds(5));
        Assert.Contains("a database transaction has its row in hand", locked.Message, StringComparison.Ordinal);
        await using (await b.AcquireOnceAsync(new NodeId("another"))) await ledger.Database.ExecuteSqlAsync(
            $"insert into entries (text) values ('in time')");
        await transaction.CommitAsync();

        await using TaskScope taken = await b.AcquirePatientlyAsync(Node);
        Assert.Equal("in time", await SavedAsync());
        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.With("late").SaveChangesGuardedAsync(task));
    }

    [Fact]
    public async Task A_stale_holder_is_refused_before_it_updates()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using TaskScope taken = await TakeOverAsync(a);
        await using Ledger ledger = Open();
        await using IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync();

        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.Database.EnsureReservedAsync(task));

        await LostAsync(task, "names holder");
    }

    [Theory]
    [InlineData(IsolationLevel.RepeatableRead)]
    [InlineData(IsolationLevel.Serializable)]
    public async Task A_stale_holder_with_a_snapshot_of_better_times_is_refused(IsolationLevel level)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open();
        await using IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync(level);
        Assert.Empty(await ledger.Entries.ToListAsync());
        await using TaskScope taken = await TakeOverAsync(a);

        PostgresException refused =
            await Assert.ThrowsAsync<PostgresException>(() => ledger.Database.EnsureReservedAsync(task));

        Assert.Equal(PostgresErrorCodes.SerializationFailure, refused.SqlState);
        await transaction.RollbackAsync();
        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.With("stale").SaveChangesGuardedAsync(task));
        Assert.Null(await SavedAsync());
    }

    [Fact]
    public async Task A_transaction_that_looks_at_the_time_before_the_reservation_is_told_so_and_loses_nothing()
    {
        TestConductor a = await StartAsync();
        await using Ledger ledger = Open();
        await using IDbContextTransaction transaction =
            await ledger.Database.BeginTransactionAsync(IsolationLevel.RepeatableRead);
        Assert.Empty(await ledger.Entries.ToListAsync());
        await using TaskScope task = await a.AcquireOnceAsync(Node);

        InvalidOperationException early = await Assert.ThrowsAsync<InvalidOperationException>(
            () => ledger.Database.EnsureReservedAsync(task));

        Assert.Contains("Acquire the node first", early.Message, StringComparison.Ordinal);
        task.EnsureHeld();
        await transaction.RollbackAsync();
        Assert.Equal(1, await ledger.With("first").SaveChangesGuardedAsync(task));
    }

    [Fact]
    public async Task A_transaction_whose_snapshot_is_older_than_the_loss_of_the_row_is_lost()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("delete from nodelock_nodes where id = $1", Node.ToString());
        await using Ledger ledger = Open();
        await using IDbContextTransaction transaction =
            await ledger.Database.BeginTransactionAsync(IsolationLevel.RepeatableRead);

        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.Database.EnsureReservedAsync(task));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_transaction_scope_is_a_transaction_of_the_caller(bool complete)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("first");

        using (TransactionScope scope = new(TransactionScopeAsyncFlowOption.Enabled))
        {
            await ledger.Database.EnsureReservedAsync(task);
            Assert.Equal(1, await ledger.SaveChangesGuardedAsync(task));
            Assert.Null(await a.Manager.TryAcquireAsync(Node, "test"));
            await using NpgsqlConnection other = await OpenOutsideAsync();
            await Assert.ThrowsAsync<PostgresException>(() => new NpgsqlCommand(
                "select from nodelock_nodes for update nowait", other).ExecuteNonQueryAsync());
            if (complete) scope.Complete();
        }

        Assert.Equal(complete ? "first" : null, await SavedAsync());
    }

    [Fact]
    public async Task A_stale_holder_is_refused_in_a_transaction_scope()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using TaskScope taken = await TakeOverAsync(a);
        await using Ledger ledger = Open().With("stale");

        using (TransactionScope scope = new(TransactionScopeAsyncFlowOption.Enabled))
        {
            await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));
            scope.Complete();
        }

        Assert.Null(await SavedAsync());
    }

    [Fact]
    public async Task A_transaction_that_the_connection_is_enlisted_in_by_hand_is_one_of_the_caller()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("first");
        using CommittableTransaction transaction = new();
        await ledger.Database.OpenConnectionAsync();
        ledger.Database.EnlistTransaction(transaction);

        await ledger.SaveChangesGuardedAsync(task);
        Assert.Null(await SavedAsync());
        transaction.Commit();

        Assert.Equal("first", await SavedAsync());
    }

    [Fact]
    public async Task A_connection_that_takes_no_part_in_the_transaction_scope_is_refused()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Ledger.Open(
            new NpgsqlConnectionStringBuilder(Fleet.ConnectionString) { Enlist = false }.ConnectionString).With("first");

        using (new TransactionScope(TransactionScopeAsyncFlowOption.Enabled))
        {
            InvalidOperationException refused = await Assert.ThrowsAsync<InvalidOperationException>(
                () => ledger.SaveChangesGuardedAsync(task));
            Assert.Contains("Enlist=false", refused.Message, StringComparison.Ordinal);
        }

        Assert.Null(await SavedAsync());
        task.EnsureHeld();
    }

    [Fact]
    public async Task A_transaction_that_is_completed_behind_the_contexts_back_is_refused()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("first");
        await ledger.Database.OpenConnectionAsync();
        NpgsqlConnection connection = (NpgsqlConnection)ledger.Database.GetDbConnection();
        await using NpgsqlTransaction transaction = await connection.BeginTransactionAsync();
        await ledger.Database.UseTransactionAsync(transaction);
        await transaction.CommitAsync();

        await Assert.ThrowsAsync<InvalidOperationException>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Null(await SavedAsync());
        task.EnsureHeld();
    }

    [Theory]
    [InlineData("0", "5min")]
    [InlineData("10min", "5min")]
    [InlineData("45500ms", "45500ms")]
    [InlineData("2h", "5min")]
    [InlineData("90s", "90s")]
    public async Task The_transaction_may_idle_for_the_lease_and_no_longer_than_the_user_says(string own, string limit)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Ledger.Open(new NpgsqlConnectionStringBuilder(Fleet.ConnectionString)
        {
            Options = $"-c idle_in_transaction_session_timeout={own}",
        }.ConnectionString);

        await using (IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync())
        {
            await ledger.Database.EnsureReservedAsync(task);
            await ledger.Database.EnsureReservedAsync(task);
            Assert.Equal(limit, await IdleLimitAsync(ledger));
        }

        Assert.Equal(own == "10min" || own == "2h" || own == "0" ? own : limit, await IdleLimitAsync(ledger));
    }

    [Fact]
    public async Task A_transaction_that_idles_for_longer_than_the_lease_is_ended_by_the_server()
    {
        TestConductor a = await StartAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("too late");
        await using IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync();
        await ledger.SaveChangesGuardedAsync(task);

        await Fleet.UntilAsync("""
            select not exists (select from pg_stat_activity
                               where datname = current_database() and state = 'idle in transaction')
            """);

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => transaction.CommitAsync());
        Assert.Null(await SavedAsync());
        task.EnsureHeld();
    }

    private static async Task<string?> IdleLimitAsync(Ledger ledger) => (await ledger.Database
        .SqlQuery<string>($"select current_setting('idle_in_transaction_session_timeout') as \"Value\"")
        .ToListAsync())[0];

    private async Task<NpgsqlConnection> OpenOutsideAsync()
    {
        NpgsqlConnection connection = new(new NpgsqlConnectionStringBuilder(Fleet.ConnectionString)
        {
            Enlist = false,
        }.ConnectionString);
        await connection.OpenAsync();
        return connection;
    }
}
