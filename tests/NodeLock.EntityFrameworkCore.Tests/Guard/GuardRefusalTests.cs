using System.Transactions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.DependencyInjection;
using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Guard;

/// <summary>Guards that cannot be are refused in words that say what to do, and nothing is lost by it.</summary>
public sealed class GuardRefusalTests(PostgresFixture postgres) : GuardTest(postgres)
{
    private readonly PostgresFixture postgres = postgres;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_context_of_another_database_is_refused_and_both_are_named(bool hasTables)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        string name = $"elsewhere_{Guid.NewGuid():N}";
        string elsewhere = await postgres.Server.CreateDatabaseAsync(name);
        try
        {
            if (hasTables) await using (TestFleet other = await TestFleet.CreateAsync(elsewhere))
            {
                await other.AddNodeAsync(Node);
            }

            await using Ledger ledger = Ledger.Open(elsewhere).With("astray");
            foreach (Func<Task> write in new Func<Task>[]
            {
                () => ledger.SaveChangesGuardedAsync(task),
                () => ledger.SaveChangesAndReleaseAsync(task),
                async () =>
                {
                    await using IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync();
                    await ledger.Database.EnsureReservedAsync(task);
                },
            })
            {
                InvalidOperationException refused = await Assert.ThrowsAsync<InvalidOperationException>(write);
                Assert.Contains($"database nodelock_test_{name}", refused.Message, StringComparison.Ordinal);
                Assert.Contains(a.Repository.Location, refused.Message, StringComparison.Ordinal);
            }

            Assert.False(task.Lost.IsCancellationRequested);
            task.EnsureHeld();
        }
        finally
        {
            await postgres.Server.DropDatabaseAsync(name);
        }
    }

    [Fact]
    public async Task A_scope_in_memory_is_refused()
    {
        await StartAsync();
        ServiceCollection services = new();
        services.AddNodeLock().UseInMemory();
        await using ServiceProvider provider = services.BuildServiceProvider();
        TaskManager manager = provider.GetRequiredService<TaskManager>();
        await using TaskScope task = await manager.AcquireAsync(Node, "test");
        await using Ledger ledger = Open().With("first");

        InvalidOperationException refused =
            await Assert.ThrowsAsync<InvalidOperationException>(() => ledger.SaveChangesGuardedAsync(task));
        Assert.Contains("UseEntityFrameworkCore", refused.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(() => ledger.SaveChangesAndReleaseAsync(task));
        await Assert.ThrowsAsync<InvalidOperationException>(() => ledger.Database.EnsureReservedAsync(task));

        task.EnsureHeld();
        Assert.Null(await SavedAsync());
    }

    [Fact]
    public async Task A_context_that_is_not_postgresqls_is_refused()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using DbContext context = new(new DbContextOptionsBuilder().Options);

        await Assert.ThrowsAsync<InvalidOperationException>(() => context.SaveChangesGuardedAsync(task));

        task.EnsureHeld();
    }

    [Fact]
    public async Task A_scope_that_is_disposed_is_refused()
    {
        TestConductor a = await StartAsync();
        TaskScope task = await a.AcquireOnceAsync(Node);
        await task.DisposeAsync();
        await using Ledger ledger = Open().With("late");

        await Assert.ThrowsAsync<ObjectDisposedException>(() => ledger.SaveChangesGuardedAsync(task));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => ledger.SaveChangesAndReleaseAsync(task));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => ledger.Database.EnsureReservedAsync(task));

        Assert.Null(await SavedAsync());
    }

    [Fact]
    public async Task Without_a_transaction_there_is_nothing_to_ensure()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open();

        InvalidOperationException refused = await Assert.ThrowsAsync<InvalidOperationException>(
            () => ledger.Database.EnsureReservedAsync(task));

        Assert.Contains("BeginTransactionAsync", refused.Message, StringComparison.Ordinal);
        task.EnsureHeld();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_release_in_a_transaction_of_somebody_else_is_refused(bool isAmbient)
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("first");
        using (isAmbient ? new TransactionScope(TransactionScopeAsyncFlowOption.Enabled) : null)
        await using (isAmbient ? null : await ledger.Database.BeginTransactionAsync())
        {
            InvalidOperationException refused = await Assert.ThrowsAsync<InvalidOperationException>(
                () => ledger.SaveChangesAndReleaseAsync(task));
            Assert.Contains("SaveChangesGuardedAsync", refused.Message, StringComparison.Ordinal);
        }

        task.EnsureHeld();
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
        Assert.Equal(1, await ledger.SaveChangesAndReleaseAsync(task));
    }

    [Fact]
    public async Task A_database_that_is_away_is_the_providers_own_error()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Ledger.Open("Host=127.0.0.1;Port=1;Timeout=2;Username=x;Database=x").With("first");
        await using Ledger retrying =
            Ledger.Open("Host=127.0.0.1;Port=1;Timeout=2;Username=x;Database=x", Retries).With("first");

        await Assert.ThrowsAsync<NpgsqlException>(() => ledger.SaveChangesGuardedAsync(task));
        await Assert.ThrowsAsync<NpgsqlException>(() => retrying.SaveChangesGuardedAsync(task));
        await Assert.ThrowsAsync<NpgsqlException>(() => ledger.SaveChangesAndReleaseAsync(task));

        task.EnsureHeld();
    }
}
