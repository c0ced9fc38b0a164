using Xunit;

namespace NodeLock.Tests;

/// <summary>How an upgrade ends that gets nothing: cancelled, disposed, lost, or not answered.</summary>
public sealed class UpgradeEndsTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager other;
    private readonly CancellationTokenSource cancellation = new();

    public UpgradeEndsTests() => other = world.NewManager();

    public async ValueTask DisposeAsync()
    {
        await world.DisposeAsync();
        cancellation.Dispose();
    }

    [Fact]
    public async Task Cancelled_between_two_attempts_it_ends_at_once_and_the_scope_stays_shared()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        await using TaskScope theirs = await World.ReadAsync(other);
        Task upgrade = task.UpgradeAsync("write", LockRetry.Patient, cancellation.Token).AsTask();
        Assert.False(upgrade.IsCompleted);

        await cancellation.CancelAsync();

        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => upgrade.WithinLimit());
        Assert.Equal(cancellation.Token, e.CancellationToken);
        Assert.Equal(ReservationMode.Shared, task.Mode);
        task.EnsureHeld();
    }

    [Fact]
    public async Task The_wish_that_one_has_left_is_not_in_the_way_of_the_next_of_its_scope()
    {
        LockRetry rarely = new(5, TimeSpan.FromSeconds(20));
        await using TaskScope task = await World.ReadAsync(world.Manager);
        TaskScope theirs = await World.ReadAsync(other);
        Task upgrade = task.UpgradeAsync("write", rarely, cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => upgrade.WithinLimit());

        Task again = task.UpgradeAsync("write", rarely).AsTask();
        Assert.False(again.IsCompleted);
        await theirs.DisposeAsync();
        world.Pass(TimeSpan.FromSeconds(20));

        await again.WithinLimit();
        task.EnsureExclusive();
    }

    [Fact]
    public async Task One_that_waits_hears_at_once_that_its_scope_is_lost()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        await using TaskScope theirs = await World.ReadAsync(other);
        Task upgrade = task.UpgradeAsync("write", new LockRetry(100, TimeSpan.FromHours(1))).AsTask();
        Assert.False(upgrade.IsCompleted);

        Assert.True(await other.BreakAsync(1, world.Manager.Holder, "test"));
        world.Pass(TimeSpan.FromSeconds(11)); // its next heartbeat

        await Assert.ThrowsAsync<ReservationLostException>(() => upgrade.WithinLimit());
    }

    [Fact]
    public async Task Cancelled_with_a_request_on_its_way_the_answer_is_waited_for()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task upgrade = task.UpgradeAsync("write", LockRetry.Patient, cancellation.Token).AsTask();

        await cancellation.CancelAsync();
        Assert.False(upgrade.IsCompleted);
        answered.SetResult();

        await upgrade.WithinLimit();
        task.EnsureExclusive();
        Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task Cancelled_beforehand_it_asks_for_nothing()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => task.UpgradeAsync("write", null, new CancellationToken(canceled: true)).WithinLimit());

        Assert.Single(world.Way.Requests);
        await task.UpgradeAsync("write");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_dispose_ends_one_that_waits_and_releases_the_node(bool synchronously)
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        TaskScope theirs = await World.ReadAsync(other);
        Task upgrade = task.UpgradeAsync("write", LockRetry.Patient).AsTask();

        if (synchronously) task.Dispose();
        else await task.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => upgrade.WithinLimit());
        Assert.Equal([other.Holder], (await world.FindAsync(1))?.Holders);
        await theirs.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task A_dispose_while_the_request_is_on_its_way_releases_what_it_is_granted()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task upgrade = task.UpgradeAsync("write").AsTask();

        await task.DisposeAsync();
        Assert.NotNull(await world.FindAsync(1));
        answered.SetResult();

        await upgrade.ContinueWith(_ => { }, TaskScheduler.Default).WithinLimit();
        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the node is free");
        Assert.Throws<ObjectDisposedException>(task.EnsureHeld);
        await using TaskScope next = await World.WriteAsync(world.Manager);
        next.EnsureExclusive();
    }

    [Fact]
    public async Task A_disposed_scope_is_not_upgraded()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        await task.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => task.UpgradeAsync("write").WithinLimit());

        Assert.Single(world.Way.Requests);
    }

    [Fact]
    public async Task A_lost_scope_is_not_upgraded()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));

        await Assert.ThrowsAsync<ReservationLostException>(() => task.UpgradeAsync("write").WithinLimit());

        Assert.Single(world.Way.Requests);
        await task.DisposeAsync();
    }

    [Fact]
    public async Task One_that_waits_when_the_trust_window_closes_is_lost()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        await using TaskScope theirs = await World.ReadAsync(other);
        Task upgrade = task.UpgradeAsync("write", LockRetry.Patient).AsTask();
        World.Cut(world.Way);

        world.Pass(TimeSpan.FromSeconds(60));

        await Assert.ThrowsAsync<ReservationLostException>(() => upgrade.WithinLimit());
        Assert.True(task.Lost.IsCancellationRequested);
        await task.DisposeAsync();
    }

    [Fact]
    public async Task A_grant_that_comes_when_the_trust_window_has_closed_is_not_believed_and_given_back()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(53));
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task upgrade = task.UpgradeAsync("write").AsTask();
        world.Pass(TimeSpan.FromSeconds(2));

        answered.SetResult();

        await Assert.ThrowsAsync<ReservationLostException>(() => upgrade.WithinLimit());
        Assert.Throws<ReservationLostException>(task.EnsureExclusive);
        await task.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Where_its_entry_was_broken_the_scope_is_lost()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        await world.Store.BreakAsync(1, world.Manager.Holder, World.Second);
        await using TaskScope theirs = await World.WriteAsync(other);

        ReservationLostException e = await Assert.ThrowsAsync<ReservationLostException>(
            () => task.UpgradeAsync("write").WithinLimit());

        Assert.Contains("it was taken away", e.Message);
        await Eventually.TrueAsync(() => task.Lost.IsCancellationRequested, "Lost fires");
        await task.DisposeAsync();
        theirs.EnsureExclusive();
        Assert.Equal(theirs.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task Without_an_answer_the_scope_stays_shared_and_usable_and_a_later_upgrade_succeeds()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager, "reading");
        world.Way.OnReserve = async (_, carryOut) =>
        {
            await carryOut();
            return await new TaskCompletionSource<ReserveAnswer>().Task;
        };
        Task upgrade = task.UpgradeAsync("write").AsTask();
        world.Pass(TimeSpan.FromSeconds(10));
        await Assert.ThrowsAsync<TimeoutException>(() => upgrade.WithinLimit());

        world.Way.OnReserve = null;
        world.Pass(TimeSpan.FromSeconds(20));
        task.EnsureHeld();
        Assert.Equal((ReservationMode.Shared, "reading"), (task.Mode, task.Purpose));
        await task.UpgradeAsync("write");

        task.EnsureExclusive();
        Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
        world.Pass(TimeSpan.FromSeconds(20));
        task.EnsureExclusive();
    }

    [Fact]
    public async Task What_an_unanswered_one_left_is_given_back_within_two_heartbeats_of_the_dispose()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        world.Way.LoseAnswers();
        await Assert.ThrowsAsync<StoreException>(() => task.UpgradeAsync("write").WithinLimit());
        Assert.Equal(ReservationMode.Exclusive, (await world.FindAsync(1))?.Mode);
        task.EnsureHeld();

        await task.DisposeAsync();
        world.Pass(TimeSpan.FromSeconds(20));

        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task What_an_unanswered_one_left_is_named_by_the_next_in_line()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        world.Way.LoseAnswers(r => r.Action == ReserveAction.Upgrade);
        await Assert.ThrowsAsync<StoreException>(() => task.UpgradeAsync("write").WithinLimit());
        Task<TaskScope> next = World.WriteAsync(world.Manager);

        await task.DisposeAsync();

        await using TaskScope writer = await next.WithinLimit();
        Assert.Equal(writer.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task While_the_process_stops_nobody_waits_for_an_upgrade()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        await using TaskScope theirs = await World.ReadAsync(other);
        Task upgrade = task.UpgradeAsync("write", LockRetry.Patient).AsTask();

        world.Manager.BeginStop();

        await Assert.ThrowsAsync<ConductorStoppingException>(() => upgrade.WithinLimit());
        task.EnsureHeld();
        await task.DisposeAsync();
    }
}
