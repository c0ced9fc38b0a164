using Xunit;

namespace NodeLock.Tests;

/// <summary>Answers to those who share that come late, or not at all, are not believed and leak nothing.</summary>
public sealed class SharingAnswersTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly CancellationTokenSource cancellation = new();

    public async ValueTask DisposeAsync()
    {
        await world.DisposeAsync();
        cancellation.Dispose();
    }

    [Fact]
    public async Task A_join_answered_after_the_last_reader_left_goes_on_with_the_entry_that_was_left_for_it()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task<TaskScope> joining = World.ReadAsync(world.Manager);

        await first.DisposeAsync();
        Assert.NotNull(await world.FindAsync(1));
        answered.SetResult();

        TaskScope task = await joining.WithinLimit();
        task.EnsureHeld();
        Assert.Equal(first.FencingToken, task.FencingToken);
        await task.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task A_join_answered_after_an_upgrade_is_not_believed()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers(r => r.Action == ReserveAction.Join);
        Task<TaskScope> joining = World.ReadAsync(world.Manager, retry: LockRetry.Patient);

        await first.UpgradeAsync("write");
        answered.SetResult();
        world.Pass(TimeSpan.FromSeconds(3));

        Assert.False(joining.IsCompleted);
        first.EnsureExclusive();
        await first.DisposeAsync();
        await using TaskScope task = await joining.WithinLimit();
        Assert.True(task.FencingToken > first.FencingToken);
        Assert.Equal(ReservationMode.Shared, (await world.FindAsync(1))?.Mode);
    }

    [Fact]
    public async Task A_join_refused_after_the_last_reader_left_gives_the_entry_back_for_the_writer_who_waits()
    {
        TaskManager other = world.NewManager();
        TaskScope first = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(other, retry: new LockRetry(4, World.Second));
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task<TaskScope> joining = World.ReadAsync(world.Manager, retry: LockRetry.Patient,
            cancellationToken: cancellation.Token);

        await first.DisposeAsync();
        Assert.NotNull(await world.FindAsync(1));
        answered.SetResult();

        // The writer may have been told at once.
        await Eventually.TrueAsync(() => world.FindAsync(1).Result is not { Mode: ReservationMode.Shared },
            "the entry is given back");
        world.Pass(World.Second);
        await using TaskScope task = await writer.WithinLimit();
        Assert.False(joining.IsCompleted);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining.WithinLimit());
        task.EnsureExclusive();
    }

    [Fact]
    public async Task A_share_that_is_cancelled_on_its_way_is_left_to_finish_and_released()
    {
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task<TaskScope> share = World.ReadAsync(world.Manager, cancellationToken: cancellation.Token);

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => share.WithinLimit());
        Assert.NotNull(await world.FindAsync(1));
        answered.SetResult();

        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the node is free");
    }

    [Fact]
    public async Task A_join_that_is_cancelled_on_its_way_takes_nothing_from_those_who_share()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task<TaskScope> joining = World.ReadAsync(world.Manager, cancellationToken: cancellation.Token);

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining.WithinLimit());
        answered.SetResult();
        world.Pass(TimeSpan.FromSeconds(20));

        first.EnsureHeld();
        Assert.Equal(first.FencingToken, (await world.FindAsync(1))?.FencingToken);
        await first.DisposeAsync();
        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the node is free");
    }

    [Fact]
    public async Task A_join_that_is_cancelled_when_the_last_reader_has_left_releases_what_was_left_for_it()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task<TaskScope> joining = World.ReadAsync(world.Manager, cancellationToken: cancellation.Token);
        await first.DisposeAsync();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining.WithinLimit());
        answered.SetResult();

        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the node is free");
    }

    [Theory]
    [InlineData(ReservationMode.Shared, ReserveAction.Share)]
    [InlineData(ReservationMode.Exclusive, ReserveAction.Reserve)]
    public async Task What_a_share_left_whose_answer_was_lost_is_named_by_the_next(
        ReservationMode next, ReserveAction action)
    {
        world.Way.LoseAnswers();
        await Assert.ThrowsAsync<StoreException>(() => World.ReadAsync(world.Manager));
        long left = Assert.IsType<Reservation>(await world.FindAsync(1)).FencingToken;
        world.Way.OnReserve = null;

        TaskScope? task = await world.Manager.TryAcquireAsync(1, "next", next);

        Assert.Equal([(ReserveAction.Share, 0L), (action, 0L), (action, left)],
            world.Way.Requests.Select(r => (r.Action, r.KnownToken)));
        task!.EnsureHeld();
        await task.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task What_a_share_left_whose_answer_was_lost_is_given_back_within_two_heartbeats()
    {
        world.Way.LoseAnswers();
        await Assert.ThrowsAsync<StoreException>(() => World.ReadAsync(world.Manager));
        Assert.NotNull(await world.FindAsync(1));

        world.Pass(TimeSpan.FromSeconds(20));

        Assert.Null(await world.FindAsync(1));
        Assert.Single(world.Log.With(25));
    }

    [Fact]
    public async Task A_join_whose_answer_was_lost_fails_alone_and_leaves_nothing()
    {
        await using TaskScope first = await World.ReadAsync(world.Manager);
        world.Way.LoseAnswers();

        await Assert.ThrowsAsync<StoreException>(() => World.ReadAsync(world.Manager));
        world.Way.OnReserve = null;

        first.EnsureHeld();
        await using TaskScope second = await World.ReadAsync(world.Manager);
        Assert.Equal(first.FencingToken, second.FencingToken);
    }

    [Fact]
    public async Task Where_the_entry_to_be_joined_was_taken_away_nothing_is_granted_beside_a_stranger()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        await world.Store.BreakAsync(1, world.Manager.Holder, World.Second);
        await using TaskScope writer = await World.WriteAsync(world.NewManager());

        Assert.Null(await world.Manager.TryAcquireAsync(1, "join", ReservationMode.Shared));

        Assert.Equal(ReserveAction.Join, world.Way.Requests[^1].Action);
        world.Pass(TimeSpan.FromSeconds(10));
        Assert.True(first.Lost.IsCancellationRequested);
        await first.DisposeAsync();
        writer.EnsureExclusive();
        Assert.Equal(writer.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_grant_to_share_that_comes_when_the_trust_window_has_closed_is_not_believed()
    {
        await using (await World.ReadAsync(world.Manager)) { }
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(53));
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task<TaskScope> share = World.ReadAsync(world.Manager);
        world.Pass(TimeSpan.FromSeconds(2));

        answered.SetResult();

        await Assert.ThrowsAsync<ReservationLostException>(() => share.WithinLimit());
        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the entry is given back");
    }
}
