using Xunit;

namespace NodeLock.Tests;

/// <summary>What a store is told to judge a write by, and a transaction of the caller that releases the node.</summary>
public sealed class GuardTests : IAsyncDisposable
{
    private readonly World world = new();
    private int releases;

    public GuardTests() => world.Way.OnRelease = (_, carryOut) =>
    {
        releases++;
        return carryOut();
    };

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_guard_tells_who_holds_which_node_with_which_token()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);

        ReservationGuard guard = task.Guard();

        Assert.Equal((world.Manager.Holder, new HeldNode(1, task.FencingToken), TimeSpan.FromSeconds(60)),
            (guard.Holder, guard.Held, guard.LeaseDuration));
        Assert.Same(world.Way, guard.Repository);
    }

    [Fact]
    public async Task There_is_no_guard_of_a_scope_that_is_shared_lost_or_disposed()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        Assert.Throws<InvalidOperationException>(task.Guard);
        await task.UpgradeAsync();
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));

        Assert.Throws<ReservationLostException>(task.Guard);

        await task.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(task.Guard);
    }

    [Fact]
    public async Task What_the_store_denies_is_lost()
    {
        TaskScope task = await World.WriteAsync(world.Manager);

        ReservationLostException e = task.Guard().Lost("its row says otherwise");

        Assert.Contains("its row says otherwise", e.Message);
        await Eventually.TrueAsync(() => task.Lost.IsCancellationRequested, "Lost fires");
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        await task.DisposeAsync();
    }

    [Fact]
    public async Task A_transaction_that_released_the_node_leaves_the_scope_spent_and_the_gate_open()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        Task<TaskScope> next = World.WriteAsync(world.Manager);

        Assert.Equal(42, await task.ReleaseInAsync(ReleaseAsync, default));

        Assert.Throws<ObjectDisposedException>(task.EnsureHeld);
        await task.DisposeAsync();
        await using TaskScope writer = await next.WithinLimit();
        Assert.Equal(0, world.Way.Requests[^1].KnownToken);
        Assert.Equal(0, releases);
        writer.EnsureExclusive();
    }

    [Fact]
    public async Task A_transaction_that_throws_leaves_the_scope_as_it_was()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);

        await Assert.ThrowsAsync<StoreException>(() => task.ReleaseInAsync<int>(
            (_, _) => throw new StoreException("conflict"), default).WithinLimit());

        task.EnsureExclusive();
        Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_dispose_while_the_transaction_runs_leaves_the_release_to_it()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        TaskCompletionSource goOn = new();
        Task<int> transaction = task.ReleaseInAsync(async (guard, _) =>
        {
            await goOn.Task;
            return await ReleaseAsync(guard, default);
        }, default).AsTask();

        await task.DisposeAsync();
        Assert.NotNull(await world.FindAsync(1));
        goOn.SetResult();
        await transaction.WithinLimit();

        Assert.Null(await world.FindAsync(1));
        Assert.Equal(0, releases);
        await using TaskScope? next = await world.Manager.TryAcquireAsync(1, "next");
        Assert.NotNull(next);
    }

    [Fact]
    public async Task A_dispose_while_a_transaction_runs_that_then_throws_releases_the_node()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        TaskCompletionSource goOn = new();
        Task<int> transaction = task.ReleaseInAsync<int>(async (_, _) =>
        {
            await goOn.Task;
            throw new StoreException("conflict");
        }, default).AsTask();

        await task.DisposeAsync();
        goOn.SetResult();

        await Assert.ThrowsAsync<StoreException>(() => transaction.WithinLimit());
        Assert.Equal(1, releases);
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task A_transaction_that_says_that_its_outcome_is_unknown_has_lost_the_node()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);

        await Assert.ThrowsAsync<InvalidOperationException>(() => task.ReleaseInAsync<int>(async (guard, cancellation) =>
        {
            await ReleaseAsync(guard, cancellation);
            guard.Lost("nobody knows");
            throw new InvalidOperationException("unknown");
        }, default).WithinLimit());

        Assert.Equal("nobody knows", Assert.Throws<ReservationLostException>(task.EnsureHeld).Reason);
    }

    [Fact]
    public async Task No_transaction_begins_for_a_scope_that_is_shared_or_lost_or_being_changed()
    {
        await using TaskScope shared = await World.ReadAsync(world.Manager);
        await Assert.ThrowsAsync<InvalidOperationException>(
            () => shared.ReleaseInAsync(ReleaseAsync, default).WithinLimit());
        await shared.UpgradeAsync();
        TaskCompletionSource<int> goOn = new();
        Task<int> first = shared.ReleaseInAsync((_, _) => goOn.Task, default).AsTask();
        Assert.Throws<ObjectDisposedException>(shared.EnsureHeld); // somebody else may have the node at any moment
        await Assert.ThrowsAsync<ObjectDisposedException>(
            () => shared.ReleaseInAsync(ReleaseAsync, default).WithinLimit());
        goOn.SetException(new StoreException("conflict"));
        await Assert.ThrowsAsync<StoreException>(() => first.WithinLimit());
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));

        await Assert.ThrowsAsync<ReservationLostException>(
            () => shared.ReleaseInAsync(ReleaseAsync, default).WithinLimit());
    }

    /// <summary>As the transaction of a store does it.</summary>
    private async Task<int> ReleaseAsync(ReservationGuard guard, CancellationToken cancellationToken)
    {
        await world.Store.ReleaseAsync(guard.Holder, guard.Held, World.Second);
        return 42;
    }
}
