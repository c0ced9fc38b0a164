using Xunit;

namespace NodeLock.Tests;

/// <summary>Any number may share a node; all of one process use one entry in the store.</summary>
public sealed class SharingTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager other;
    private int releases;

    public SharingTests()
    {
        other = world.NewManager();
        world.Way.OnRelease = (_, carryOut) =>
        {
            Interlocked.Increment(ref releases);
            return carryOut();
        };
    }

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task Readers_of_one_process_share_one_entry_and_the_last_one_releases_it()
    {
        TaskScope first = await World.ReadAsync(world.Manager, "first");
        TaskScope second = await World.ReadAsync(world.Manager, "second");

        Assert.Equal((first.FencingToken, ReservationMode.Shared), (second.FencingToken, second.Mode));
        Assert.Equal([(ReserveAction.Share, 0L), (ReserveAction.Join, first.FencingToken)],
            world.Way.Requests.Select(r => (r.Action, r.KnownToken)));
        Assert.Equal([world.Manager.Holder], (await world.FindAsync(1))?.Holders);
        await first.DisposeAsync();
        Assert.Equal(0, releases);
        second.EnsureHeld();
        Assert.NotNull(await world.FindAsync(1));
        await second.DisposeAsync();
        Assert.Equal(1, releases);
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Readers_of_several_conductors_share_a_node_and_no_writer_gets_it()
    {
        await using TaskScope mine = await World.ReadAsync(world.Manager);
        await using TaskScope theirs = await World.ReadAsync(other);

        Assert.Equal(new[] { other.Holder, world.Manager.Holder }.Order(), (await world.FindAsync(1))!.Holders.Order());
        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(
            () => World.WriteAsync(world.NewManager(), retry: LockRetry.None));
        Assert.Equal(ReservationMode.Shared, e.Reservation?.Mode);
        mine.EnsureHeld();
        theirs.EnsureHeld();
    }

    [Fact]
    public async Task A_reader_gets_nothing_beside_a_writer()
    {
        await using TaskScope writer = await World.WriteAsync(other);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(
            () => World.ReadAsync(world.Manager, retry: LockRetry.None));

        Assert.Equal(other.Holder, e.Holder);
        Assert.Null(await world.Manager.TryAcquireAsync(1, "test", ReservationMode.Shared));
    }

    [Fact]
    public async Task Trying_to_share_joins_those_who_do_and_passes_nobody_who_waits()
    {
        await using TaskScope first = await World.ReadAsync(world.Manager);
        TaskScope? second = await world.Manager.TryAcquireAsync(1, "try", ReservationMode.Shared);
        Assert.Equal(first.FencingToken, second?.FencingToken);
        Task<TaskScope> writer = World.WriteAsync(world.Manager);
        int asked = world.Way.Requests.Count;

        Assert.Null(await world.Manager.TryAcquireAsync(1, "try", ReservationMode.Shared));

        Assert.Equal(asked, world.Way.Requests.Count);
        world.Time.Advance(World.Second * 2);
        await Assert.ThrowsAsync<NodeLockedException>(() => writer.WithinLimit());
        await second!.DisposeAsync();
    }

    [Fact]
    public async Task A_writer_in_line_gets_what_the_last_reader_leaves_without_a_release()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        TaskScope second = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(world.Manager);
        await first.DisposeAsync();
        Assert.False(writer.IsCompleted);

        await second.DisposeAsync();

        await using TaskScope task = await writer.WithinLimit();
        Assert.Equal(0, releases);
        Assert.Equal((ReserveAction.Reserve, second.FencingToken),
            (world.Way.Requests[^1].Action, world.Way.Requests[^1].KnownToken));
        Assert.Equal(ReservationMode.Exclusive, (await world.FindAsync(1))?.Mode);
    }

    [Fact]
    public async Task Readers_behind_a_waiting_writer_wait_for_it_and_then_share()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(world.Manager);
        Task<TaskScope>[] behind = [.. Enumerable.Range(0, 3).Select(_ => World.ReadAsync(world.Manager))];
        Assert.Single(world.Way.Requests);

        await first.DisposeAsync();
        TaskScope task = await writer.WithinLimit();
        Assert.All(behind, b => Assert.False(b.IsCompleted));
        await task.DisposeAsync();

        TaskScope[] readers = await Task.WhenAll(behind).WithinLimit();
        Assert.Single(readers.Select(r => r.FencingToken).Distinct());
        Assert.Equal(0, releases);
        Assert.Equal([world.Manager.Holder], (await world.FindAsync(1))?.Holders);
        foreach (TaskScope reader in readers) await reader.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task The_purpose_in_the_store_is_that_of_the_first_who_shares_and_each_scope_has_its_own()
    {
        await using TaskScope first = await World.ReadAsync(world.Manager, "first");
        await using TaskScope second = await World.ReadAsync(world.Manager, "second");

        Assert.Equal(("first", "second"), (first.Purpose, second.Purpose));
        Assert.Equal("first", (await world.FindAsync(1))?.Purpose);
    }

    [Fact]
    public async Task All_who_share_are_lost_with_their_conductor_and_each_loss_is_told_once()
    {
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        TaskScope[] readers = [await World.ReadAsync(world.Manager), await World.ReadAsync(world.Manager)];
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(75));
        await using TaskScope? writer = await other.TryAcquireAsync(1, "after the death");

        Assert.NotNull(writer);
        Assert.All(readers, r => Assert.True(r.Lost.IsCancellationRequested));
        Assert.Equal(2, world.Log.With(4).Count);
        foreach (TaskScope reader in readers) await reader.DisposeAsync();
        writer.EnsureHeld();
        Assert.Equal(writer.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_conductor_that_starts_over_shares_anew_though_lost_scopes_are_not_disposed_yet()
    {
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        TaskScope lost = await World.ReadAsync(world.Manager);
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(75));
        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(10));

        TaskScope? anew = await world.Manager.TryAcquireAsync(1, "anew", ReservationMode.Shared);
        await lost.DisposeAsync();

        anew!.EnsureHeld();
        Assert.Equal(anew.FencingToken, (await world.FindAsync(1))?.FencingToken);
        await anew.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task What_is_taken_from_all_who_share_is_lost_for_each()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        TaskScope second = await World.ReadAsync(world.Manager);
        await world.Store.ReleaseAsync(world.Manager.Holder,
            new HeldNode(1, first.FencingToken, ReservationMode.Shared), World.Second);

        world.Pass(TimeSpan.FromSeconds(10));

        Assert.Throws<ReservationLostException>(first.EnsureHeld);
        Assert.Throws<ReservationLostException>(second.EnsureHeld);
        await first.DisposeAsync();
        await second.DisposeAsync();
    }

    [Fact]
    public async Task A_mode_that_does_not_exist_is_refused()
    {
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
            () => world.Manager.TryAcquireAsync(1, "test", (ReservationMode)7).WithinLimit());
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => world.Manager.AcquireAsync(1,
            new AcquireOptions { Purpose = "test", Mode = (ReservationMode)7 }).WithinLimit());
    }
}
