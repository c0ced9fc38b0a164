using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Guard;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P5 and P6: nothing of a conductor that was declared dead revives, in either mode, and what is repeated
/// changes nothing.</summary>
public sealed class DeadForEverTests(PostgresFixture postgres) : GuardTest(postgres)
{
    private const string Me = "direct/1";

    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(5);

    [Theory]
    [InlineData("dead", ReserveAction.Reserve)]
    [InlineData("dead", ReserveAction.Share)]
    [InlineData("dead", ReserveAction.Join)]
    [InlineData("dead", ReserveAction.Upgrade)]
    [InlineData("dead", ReserveAction.Downgrade)]
    [InlineData("fenced", ReserveAction.Reserve)]
    [InlineData("fenced", ReserveAction.Share)]
    [InlineData("fenced", ReserveAction.Join)]
    [InlineData("fenced", ReserveAction.Upgrade)]
    [InlineData("fenced", ReserveAction.Downgrade)]
    [InlineData("left", ReserveAction.Reserve)]
    [InlineData("left", ReserveAction.Share)]
    [InlineData("left", ReserveAction.Join)]
    [InlineData("left", ReserveAction.Upgrade)]
    [InlineData("left", ReserveAction.Downgrade)]
    public async Task One_that_is_over_gets_nothing_whatever_it_names(string state, ReserveAction action)
    {
        INodeLockRepository store = Fleet.Create(new ConductorSetup()).Repository;
        using IConductorStore line = store.Connect(Limit);
        Assert.True(line.Register(new ConductorEntry(Me, "direct", "here", 1, Lease, RequiresFence: false)));
        ReserveAction before = action is ReserveAction.Reserve or ReserveAction.Downgrade
            ? ReserveAction.Reserve : ReserveAction.Share;
        long token = Assert.IsType<ReserveAnswer.Granted>(await AskAsync(store, before, 0)).FencingToken;
        Assert.NotNull(line.Renew(Me, Lease));
        Assert.NotNull(line.Renew(Me, Lease)); // P5
        await Fleet.ExecuteAsync("update nodelock_conductors set state = $2 where holder = $1", Me, state);
        object? row = await RowAsync();

        Assert.Null(line.Renew(Me, Lease));
        Assert.False(line.Register(new ConductorEntry(Me, "direct", "here", 1, Lease, RequiresFence: false)));
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await AskAsync(store, action, token));
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await AskAsync(store, ReserveAction.Reserve, 0));
        Assert.IsType<ReserveAnswer.ConductorNotAlive>(await AskAsync(store, ReserveAction.Share, 0));
        ReserveRequest many = new(ReserveAction.Reserve, Node, Me, token, "many");
        foreach (Atomicity atomicity in Enum.GetValues<Atomicity>())
            Assert.IsType<ReserveAnswer.ConductorNotAlive>(
                Assert.Single(await store.ReserveManyAsync([many], atomicity, Limit)));

        Assert.Equal(row, await RowAsync());
        Assert.Equal(state, await Fleet.ScalarAsync("select state from nodelock_conductors where holder = $1", Me));
    }

    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task A_release_that_is_repeated_changes_nothing_for_those_who_came_after(ReservationMode mode)
    {
        INodeLockRepository store = Fleet.Create(new ConductorSetup()).Repository;
        using IConductorStore line = store.Connect(Limit);
        Assert.True(line.Register(new ConductorEntry(Me, "direct", "here", 1, Lease, RequiresFence: false)));
        ReserveAction action = mode == ReservationMode.Shared ? ReserveAction.Share : ReserveAction.Reserve;
        long token = Assert.IsType<ReserveAnswer.Granted>(await AskAsync(store, action, 0)).FencingToken;
        HeldNode first = new(Node, token, mode);
        for (int i = 0; i < 2; i++) await store.ReleaseAsync(Me, first, Limit);
        Assert.IsType<ReserveAnswer.Granted>(await AskAsync(store, action, 0));
        object? row = await RowAsync();

        await store.ReleaseAsync(Me, first, Limit);
        store.Release(Me, first, Limit);
        Assert.Empty(await store.ReleaseManyAsync(Me, [first], Limit));
        Assert.Equal(0, line.Release(Me, [first]));

        Assert.Equal(row, await RowAsync());
    }

    /// <summary>It does not know yet that it was declared dead: its next heartbeat is far away.</summary>
    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task A_scope_of_one_that_was_declared_dead_neither_changes_its_mode_nor_writes(ReservationMode mode)
    {
        TestConductor a = await StartAsync();
        TaskScope task = mode == ReservationMode.Shared ? await a.ShareOnceAsync(Node) : await a.AcquireOnceAsync(Node);
        string dead = a.Holder;
        await using TaskScope taken = await TakeOverAsync(a);
        Assert.False(task.Lost.IsCancellationRequested);
        object? row = await RowAsync();

        if (mode == ReservationMode.Exclusive)
        {
            await using Ledger ledger = Open().With("written by the dead");
            await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));
        }
        else
        {
            await Assert.ThrowsAsync<ReservationLostException>(() => task.UpgradeAsync("write").AsTask());
        }

        await task.Lost.FiredAsync();
        await task.DisposeAsync();
        await Assert.ThrowsAsync<NodeLockedException>(() => a.AcquireOnceAsync(Node));
        await Assert.ThrowsAsync<NodeLockedException>(() => a.ShareOnceAsync(Node));

        Assert.NotEqual(dead, a.Holder);
        Assert.Equal(row, await RowAsync());
        Assert.Null(await SavedAsync());
        taken.EnsureHeld();
    }

    [Fact]
    public async Task A_downgrade_by_one_that_was_declared_dead_lets_nobody_in()
    {
        TestConductor a = await StartAsync();
        TaskScope task = await a.AcquireOnceAsync(Node);
        await using TaskScope taken = await TakeOverAsync(a);
        object? row = await RowAsync();

        await Assert.ThrowsAsync<ReservationLostException>(() => task.DowngradeAsync().AsTask());

        await task.DisposeAsync();
        Assert.Equal(row, await RowAsync());
        taken.EnsureHeld();
    }

    private static ValueTask<ReserveAnswer> AskAsync(INodeLockRepository store, ReserveAction action, long named) =>
        store.ReserveAsync(new ReserveRequest(action, Node, Me, named, "direct"), Limit);

    /// <summary>Who has the node, in either mode; wishes of those who wait aside.</summary>
    private Task<object?> RowAsync() => Fleet.ScalarAsync("select concat_ws('|', reservation, reservation_token, "
        + "reservation_purpose, reserved_at, reservation_shared) from nodelock_nodes where id = $1", Node.ToString());
}
