using Xunit;

namespace NodeLock.Tests;

/// <summary>An exclusive scope becomes shared with no gap in which anybody else could write.</summary>
public sealed class DowngradeTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager other;

    public DowngradeTests() => other = world.NewManager();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task It_takes_one_statement_and_others_may_share_at_once()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager, "write");
        long token = task.FencingToken;

        await task.DowngradeAsync();

        Assert.Equal([ReserveAction.Reserve, ReserveAction.Downgrade], world.Way.Requests.Select(r => r.Action));
        Assert.Equal((ReservationMode.Shared, "write"), (task.Mode, task.Purpose));
        Assert.True(task.FencingToken > token);
        Assert.Single(world.Log.With(13));
        await using TaskScope? theirs = await other.TryAcquireAsync(1, "share", ReservationMode.Shared);
        await using TaskScope? mine = await world.Manager.TryAcquireAsync(1, "share", ReservationMode.Shared);
        Assert.NotNull(theirs);
        Assert.Equal(task.FencingToken, mine?.FencingToken);
        Assert.Null(await other.TryAcquireAsync(1, "write"));
        task.EnsureHeld();
        Assert.Throws<InvalidOperationException>(task.EnsureExclusive);
    }

    [Fact]
    public async Task Readers_in_line_share_when_it_is_done_and_a_writer_behind_them_waits()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        Task<TaskScope> reader = World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(world.Manager);

        await task.DowngradeAsync();

        TaskScope second = await reader.WithinLimit();
        Assert.False(writer.IsCompleted);
        await task.DisposeAsync();
        Assert.False(writer.IsCompleted);
        await second.DisposeAsync();
        await (await writer.WithinLimit()).DisposeAsync();
    }

    [Fact]
    public async Task A_shared_scope_stays_as_it_is_without_a_statement()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        long stamp = task.FencingToken;

        await task.DowngradeAsync();

        Assert.Equal((stamp, ReservationMode.Shared), (task.FencingToken, task.Mode));
        Assert.Single(world.Way.Requests);
    }

    [Fact]
    public async Task Up_and_down_and_up_again_it_stays_held_and_leaves_nothing()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        for (int i = 0; i < 3; i++)
        {
            await task.UpgradeAsync($"write {i}");
            Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
            await task.DowngradeAsync();
            Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
        }

        world.Pass(TimeSpan.FromSeconds(20));
        task.EnsureHeld();
        await task.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task From_the_sending_on_the_scope_is_exclusive_no_more()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers();

        Task downgrade = task.DowngradeAsync().AsTask();

        Assert.Throws<InvalidOperationException>(task.EnsureExclusive);
        task.EnsureHeld();
        answered.SetResult();
        await downgrade.WithinLimit();
        Assert.Throws<InvalidOperationException>(task.EnsureExclusive);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Without_an_answer_it_is_shared_all_the_same_and_asked_again_it_succeeds(bool carriedOut)
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);
        await DowngradeUnansweredAsync(task, carriedOut);

        Assert.Equal(ReservationMode.Shared, task.Mode);
        Assert.Throws<InvalidOperationException>(task.EnsureExclusive);
        world.Pass(TimeSpan.FromSeconds(20));
        task.EnsureHeld();
        await task.DowngradeAsync();

        Assert.Equal((task.FencingToken, ReservationMode.Shared),
            ((await world.FindAsync(1))!.FencingToken, (await world.FindAsync(1))!.Mode));
        await using TaskScope? theirs = await other.TryAcquireAsync(1, "share", ReservationMode.Shared);
        Assert.NotNull(theirs);
        world.Pass(TimeSpan.FromSeconds(20));
        task.EnsureHeld();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_an_unanswered_one_left_is_given_back_within_two_heartbeats_of_the_dispose(bool carriedOut)
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        await DowngradeUnansweredAsync(task, carriedOut);

        await task.DisposeAsync();
        world.Pass(TimeSpan.FromSeconds(20));

        Assert.Null(await world.FindAsync(1));
        await using TaskScope? next = await world.Manager.TryAcquireAsync(1, "next");
        Assert.NotNull(next);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task After_an_unanswered_one_the_scope_can_be_upgraded_again(bool carriedOut)
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);
        await DowngradeUnansweredAsync(task, carriedOut);

        await task.UpgradeAsync("write again");

        task.EnsureExclusive();
        Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
        world.Pass(TimeSpan.FromSeconds(20));
        task.EnsureExclusive();
    }

    [Fact]
    public async Task A_copy_that_arrives_late_takes_nothing_from_those_who_hold_the_node_since()
    {
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskScope task = await World.WriteAsync(world.Manager);
        Task? late = null;
        world.Way.OnReserve = (_, carryOut) =>
        {
            late = LateAsync(carryOut);
            throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => task.DowngradeAsync().WithinLimit());
        world.Way.OnReserve = null;
        await task.DisposeAsync();
        await using TaskScope next = await World.WriteAsync(other);

        goOn.SetResult();
        await late!.WithinLimit();

        next.EnsureExclusive();
        Assert.Equal([other.Holder], (await world.FindAsync(1))?.Holders);

        async Task LateAsync(Func<ValueTask<ReserveAnswer>> carryOut)
        {
            await goOn.Task;
            await carryOut();
        }
    }

    [Fact]
    public async Task A_row_in_somebodys_hand_is_asked_for_again_until_the_release_timeout()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);
        world.Way.OnReserve = (_, _) => new(new ReserveAnswer.RowInHand());
        Task downgrade = task.DowngradeAsync().AsTask();
        world.Pass(TimeSpan.FromSeconds(4.9));
        Assert.False(downgrade.IsCompleted);
        world.Pass(World.Second);

        TimeoutException e = await Assert.ThrowsAsync<TimeoutException>(() => downgrade.WithinLimit());

        Assert.Contains("has had the row of node 1 in hand", e.Message);
        world.Way.OnReserve = null;
        await task.DowngradeAsync();
        Assert.Equal(ReservationMode.Shared, (await world.FindAsync(1))?.Mode);
    }

    [Fact]
    public async Task What_was_taken_away_is_lost()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        await world.Store.BreakAsync(1, task.FencingToken, World.Second);
        await using TaskScope theirs = await World.WriteAsync(other);

        await Assert.ThrowsAsync<ReservationLostException>(() => task.DowngradeAsync().WithinLimit());

        await task.DisposeAsync();
        theirs.EnsureExclusive();
        Assert.Equal(theirs.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_scope_that_is_disposed_or_lost_is_not_downgraded()
    {
        TaskScope disposed = await World.WriteAsync(world.Manager);
        await disposed.DisposeAsync();
        TaskScope lost = await World.WriteAsync(world.Manager);
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));

        await Assert.ThrowsAsync<ObjectDisposedException>(() => disposed.DowngradeAsync().WithinLimit());
        await Assert.ThrowsAsync<ReservationLostException>(() => lost.DowngradeAsync().WithinLimit());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => lost.DowngradeAsync(new CancellationToken(canceled: true)).WithinLimit());

        Assert.DoesNotContain(world.Way.Requests, r => r.Action == ReserveAction.Downgrade);
        await lost.DisposeAsync();
    }

    private async Task DowngradeUnansweredAsync(TaskScope task, bool carriedOut)
    {
        world.Way.OnReserve = async (_, carryOut) =>
        {
            if (carriedOut) await carryOut();
            throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => task.DowngradeAsync().WithinLimit());
        world.Way.OnReserve = null;
    }
}
