using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Guard;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>Calls that cannot be meant: each is told what is wrong with it, and costs nobody a reservation.</summary>
public sealed class BadUseTests(PostgresFixture postgres) : GuardTest(postgres)
{
    [Fact]
    public async Task A_scope_that_was_released_is_not_upgraded()
    {
        TestConductor a = await StartAsync();
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        TaskScope task = await a.ShareOnceAsync(Node);
        await task.DisposeAsync();
        await using TaskScope other = await b.AcquireOnceAsync(Node);

        await Assert.ThrowsAsync<ObjectDisposedException>(() => task.UpgradeAsync("write").AsTask());
        await Assert.ThrowsAsync<ObjectDisposedException>(() => task.DowngradeAsync().AsTask());
        Assert.Throws<ObjectDisposedException>(task.EnsureHeld);
        Assert.Throws<ObjectDisposedException>(() => { _ = task.Spawn((_, _) => Task.CompletedTask); });

        other.EnsureHeld();
        Assert.Equal((b.Holder, other.FencingToken), (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
    }

    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task A_dispose_while_spawned_work_runs_takes_nothing_from_the_work(ReservationMode mode)
    {
        TestConductor a = await StartAsync();
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        TaskScope task = mode == ReservationMode.Exclusive ? await a.AcquireOnceAsync(Node)
            : await a.ShareOnceAsync(Node);
        TaskCompletionSource<TaskScope> begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task work = task.Spawn(async (own, _) =>
        {
            begun.SetResult(own);
            await goOn.Task;
            own.EnsureHeld();
        });
        TaskScope running = await begun.Task.WithinLimit();

        await task.DisposeAsync();
        task.Dispose();

        running.EnsureHeld();
        await Assert.ThrowsAsync<NodeLockedException>(() => b.AcquireOnceAsync(Node));
        goOn.SetResult();
        await work.WithinLimit();
        await using TaskScope next = await b.AcquireOnceAsync(Node);
        next.EnsureHeld();
    }

    [Fact]
    public async Task What_needs_the_node_exclusively_says_so_to_one_who_shares_it()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.ShareOnceAsync(Node);
        await using Ledger ledger = Open().With("written by a reader");

        foreach (InvalidOperationException refused in new[]
        {
            Assert.Throws<InvalidOperationException>(task.EnsureExclusive),
            await Assert.ThrowsAsync<InvalidOperationException>(() => ledger.SaveChangesGuardedAsync(task)),
            await Assert.ThrowsAsync<InvalidOperationException>(() => ledger.SaveChangesAndReleaseAsync(task)),
        })
        {
            Assert.Contains(nameof(TaskScope.UpgradeAsync), refused.Message, StringComparison.Ordinal);
        }

        Assert.Null(await SavedAsync());
        task.EnsureHeld();
        Assert.Equal([$"{a.Holder} {task.FencingToken}"], await Fleet.SharersOfAsync(Node));
        await task.UpgradeAsync("write");
        await ledger.SaveChangesGuardedAsync(task);
        Assert.Equal("written by a reader", await SavedAsync());
    }

    [Fact]
    public async Task Two_changes_of_one_scope_at_once_are_refused_and_the_first_goes_on()
    {
        TestConductor a = await StartAsync();
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope beside = await b.ShareOnceAsync(Node);
        await using TaskScope task = await a.ShareOnceAsync(Node);
        Task upgrade = task.UpgradeAsync("write", TestConductor.Patient).AsTask();

        await Assert.ThrowsAsync<InvalidOperationException>(() => task.UpgradeAsync("write too").AsTask());
        await Assert.ThrowsAsync<InvalidOperationException>(() => task.DowngradeAsync().AsTask());

        await beside.DisposeAsync();
        await upgrade.WithinLimit();
        task.EnsureExclusive();
    }

    [Fact]
    public async Task A_dispose_while_an_upgrade_waits_ends_both()
    {
        TestConductor a = await StartAsync();
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope beside = await b.ShareOnceAsync(Node);
        TaskScope task = await a.ShareOnceAsync(Node);
        Task upgrade = task.UpgradeAsync("write", TestConductor.Patient).AsTask();

        await task.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => upgrade.WithinLimit());
        await Fleet.UntilAsync("select cardinality(reservation_shared) = 1 from nodelock_nodes where id = $1",
            Node.ToString());
        beside.EnsureHeld();
    }

    [Fact]
    public async Task A_nested_acquire_of_ones_own_node_is_refused_in_time_and_says_why()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);

        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(() => a.AcquireOnceAsync(Node));

        Assert.True(locked.IsHeldByThisProcess);
        await Assert.ThrowsAsync<NodeLockedException>(() => a.ShareOnceAsync(Node));
        task.EnsureHeld();
    }
}
