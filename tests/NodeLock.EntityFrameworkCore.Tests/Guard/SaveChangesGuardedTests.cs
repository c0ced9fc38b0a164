using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Guard;

/// <summary>P3, P9 and P21: a guarded write is accepted only with the row's current token.</summary>
public sealed class SaveChangesGuardedTests(PostgresFixture postgres) : GuardTest(postgres)
{
    public static TheoryData<string> Isolations => ["read committed", "repeatable read", "serializable"];

    [Theory]
    [MemberData(nameof(Isolations))]
    public async Task A_holder_saves_through_any_context_of_the_database_and_holds_on(string isolation)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = OpenUnder(isolation).With("first");

        Assert.Equal(1, await ledger.SaveChangesGuardedAsync(task));
        Assert.Equal(EntityState.Unchanged, ledger.State);
        Assert.Equal(0, await ledger.SaveChangesGuardedAsync(task));
        ledger.Entries.Local.Single().Text = "changed";
        Assert.Equal(1, await ledger.SaveChangesGuardedAsync(task));

        Assert.Equal("changed", await SavedAsync());
        task.EnsureHeld();
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
    }

    [Theory]
    [MemberData(nameof(Isolations))]
    public async Task After_a_take_over_nothing_is_saved_and_the_scope_is_lost(string isolation)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using TaskScope taken = await TakeOverAsync(a);
        await using Ledger ledger = OpenUnder(isolation).With("stale");
        task.EnsureHeld(); // as far as its process knows

        ReservationLostException lost =
            await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Contains($"fencing token {taken.FencingToken}", lost.Reason, StringComparison.Ordinal);
        Assert.Equal((Node, task.FencingToken), (lost.NodeId, lost.FencingToken));
        Assert.Equal(EntityState.Added, ledger.State);
        Assert.Null(await SavedAsync());
        await LostAsync(task, "fencing token");
        taken.EnsureHeld();
    }

    /// <summary>The row is locked by id, and judged on what the lock gave.</summary>
    [Theory]
    [MemberData(nameof(Isolations))]
    public async Task A_take_over_that_commits_while_the_guard_waits_for_the_row_is_seen(string isolation)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = OpenUnder(isolation).With("stale");
        await using NpgsqlConnection other = await Fleet.OpenAsync();
        await using NpgsqlTransaction takeOver = await other.BeginTransactionAsync();
        await MoveTokenAsync(other);

        Task<int> save = ledger.SaveChangesGuardedAsync(task);
        await UntilSomebodyWaitsAsync();
        await takeOver.CommitAsync();

        await Assert.ThrowsAsync<ReservationLostException>(() => save.WithinLimit());
        Assert.Null(await SavedAsync());
    }

    [Theory]
    [MemberData(nameof(Isolations))]
    public async Task A_wish_that_is_written_while_the_guard_waits_does_not_fail_the_save(string isolation)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = OpenUnder(isolation, Fleet.Proxy.ConnectionString).With("first");
        await using NpgsqlConnection other = await Fleet.OpenAsync();
        await using NpgsqlTransaction wish = await other.BeginTransactionAsync();
        await new NpgsqlCommand("update nodelock_nodes set reservation_wanted_until = now()", other)
            .ExecuteNonQueryAsync();
        using WatchedRequests guards = Fleet.Proxy.WatchRequests(GuardStatement);

        Task<int> save = ledger.SaveChangesGuardedAsync(task);
        await UntilSomebodyWaitsAsync();
        await wish.CommitAsync();

        Assert.Equal(1, await save.WithinLimit());
        Assert.Equal("first", await SavedAsync());
        Assert.Equal(isolation == "read committed" ? 1 : 2, guards.Matches);
    }

    [Theory]
    [InlineData("update nodelock_nodes set reservation = null where id = $1", "says that it is free")]
    [InlineData("delete from nodelock_nodes where id = $1", "row is gone")]
    [InlineData("update nodelock_nodes set reservation_token = reservation_token + 1 where id = $1", "names holder")]
    public async Task A_row_that_no_longer_has_the_reservation_refuses_the_save(string change, string because)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("stale");
        await Fleet.ExecuteAsync(change, Node.ToString());

        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Null(await SavedAsync());
        await LostAsync(task, because);
    }

    [Fact]
    public async Task A_node_with_a_key_of_numbers_is_guarded_by_the_context_of_the_reservations_too()
    {
        TestConductor a = await StartAsync(new ConductorSetup { NodesAreMachines = true });
        int machine = await Fleet.AddMachineAsync();
        await using TaskScope task = await a.AcquireOnceAsync(machine);
        await using FleetContext context = new(new DbContextOptionsBuilder<FleetContext>()
            .UseNpgsql(Fleet.ConnectionString).Options);
        context.Add(new Machine { Id = 1000 });

        Assert.Equal(1, await context.SaveChangesGuardedAsync(task));
        context.Add(new Machine { Id = 1001 });
        await Fleet.ExecuteAsync("update nodelock_machine set reservation_token = reservation_token + 1");
        await Assert.ThrowsAsync<ReservationLostException>(() => context.SaveChangesGuardedAsync(task));

        Assert.Equal(1000, await Fleet.ScalarAsync("select max(id) from machines"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task In_a_transaction_of_the_caller_the_save_is_the_callers_to_commit(bool commit)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("first");

        await using (IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync())
        {
            Assert.Equal(1, await ledger.SaveChangesGuardedAsync(task));
            Assert.Null(await SavedAsync());
            if (commit) await transaction.CommitAsync();
        }

        Assert.Equal(commit ? "first" : null, await SavedAsync());
    }

    [Fact]
    public async Task In_a_transaction_of_the_caller_a_stale_save_writes_nothing()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using TaskScope taken = await TakeOverAsync(a);
        await using Ledger ledger = Open().With("stale");
        await using IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync();

        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));
        await transaction.CommitAsync();

        Assert.Null(await SavedAsync());
    }

    [Fact]
    public async Task Under_the_contexts_retries_a_callers_transaction_is_guarded_in_its_strategy()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Ledger.Open(Fleet.ConnectionString, Retries).With("first");

        await ledger.Database.CreateExecutionStrategy().ExecuteAsync(async () =>
        {
            await using IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync();
            await ledger.SaveChangesGuardedAsync(task);
            await transaction.CommitAsync();
        });

        Assert.Equal("first", await SavedAsync());
    }

    [Fact]
    public async Task A_save_that_fails_leaves_nothing_and_can_be_mended_and_saved_again()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("insert into entries (text) values ('taken')");
        await using Ledger ledger = Open().With("new").With("taken");

        await Assert.ThrowsAsync<DbUpdateException>(() => ledger.SaveChangesGuardedAsync(task));
        Assert.Equal("taken", await SavedAsync());
        ledger.Entries.Local.Single(e => e.Text == "taken").Text = "mended";
        Assert.Equal(2, await ledger.SaveChangesGuardedAsync(task));

        Assert.Equal("taken new mended", await SavedAsync());
        Assert.True(ledger.Database.AutoSavepointsEnabled);
    }

    [Fact]
    public async Task A_cancelled_wait_for_the_row_saves_nothing_and_loses_nothing()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("first");
        await using NpgsqlConnection other = await Fleet.OpenAsync();
        await using NpgsqlTransaction inHand = await other.BeginTransactionAsync();
        await new NpgsqlCommand("select from nodelock_nodes for update", other).ExecuteNonQueryAsync();
        using CancellationTokenSource source = new();

        Task<int> save = ledger.SaveChangesGuardedAsync(task, source.Token);
        await UntilSomebodyWaitsAsync();
        await source.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => save.WithinLimit());
        await inHand.RollbackAsync();
        Assert.Equal(1, await ledger.SaveChangesGuardedAsync(task));
        Assert.Equal("first", await SavedAsync());
    }
}
