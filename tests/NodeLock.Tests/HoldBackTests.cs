using Xunit;

namespace NodeLock.Tests;

/// <summary>The readers of one conductor hold back while a writer of another one waits, or it would never get the
/// node.</summary>
public sealed class HoldBackTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager other;

    // Not woken: whoever is goes on while the test passes time.
    public HoldBackTests() => other = world.NewManager(options: new NodeLockOptions { ListenForReleases = false });

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_writer_elsewhere_gets_the_node_though_readers_keep_joining_before_the_last_one_leaves()
    {
        TaskScope reader = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(other, retry: new LockRetry(5, World.Second));
        for (int i = 0; i < 50 && !writer.IsCompleted; i++)
        {
            if (await world.Manager.TryAcquireAsync(1, "join", ReservationMode.Shared) is { } next)
            {
                await reader.DisposeAsync();
                reader = next;
            }
            else if (i == 5)
                await reader.DisposeAsync(); // its time is up, as every reader's is

            world.Pass(World.Second / 10);
        }

        await using TaskScope task = await writer.WithinLimit();
        task.EnsureExclusive();
        Assert.Null(await world.Manager.TryAcquireAsync(1, "beside", ReservationMode.Shared));
        await reader.DisposeAsync();
    }

    [Fact]
    public async Task A_writer_elsewhere_gets_the_node_though_readers_come_one_right_after_the_other()
    {
        TaskScope? reader = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(other, retry: new LockRetry(6, World.Second));
        int readers = 0;
        for (int i = 0; i < 50 && !writer.IsCompleted; i++)
        {
            if (reader is not null) await reader.DisposeAsync();
            reader = await world.Manager.TryAcquireAsync(1, "again", ReservationMode.Shared);
            if (reader is not null) readers++;
            world.Pass(World.Second / 10);
        }

        await using TaskScope task = await writer.WithinLimit();
        task.EnsureExclusive();
        Assert.InRange(readers, 0, 25);
        if (reader is not null) await reader.DisposeAsync();
    }

    [Fact]
    public async Task Without_the_wish_of_the_writer_readers_right_after_the_other_are_all_served()
    {
        for (int i = 0; i < 50; i++)
        {
            await using TaskScope? reader =
                await world.Manager.TryAcquireAsync(1, "again", ReservationMode.Shared);
            Assert.NotNull(reader);
            Assert.Null(await other.TryAcquireAsync(1, "leaves no wish"));
            world.Pass(World.Second / 10);
        }
    }

    [Fact]
    public async Task One_who_holds_back_asks_nobody_and_shares_when_the_wish_is_over()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(other, retry: new LockRetry(2, World.Second));
        Assert.Null(await world.Manager.TryAcquireAsync(1, "refused by the wish", ReservationMode.Shared));
        int asked = world.Way.Requests.Count;

        Assert.Null(await world.Manager.TryAcquireAsync(1, "holds back", ReservationMode.Shared));
        Assert.Equal(asked, world.Way.Requests.Count);
        world.Pass(World.Second);
        await Assert.ThrowsAsync<NodeLockedException>(() => writer.WithinLimit());
        world.Pass(World.Second);

        await using TaskScope? second = await world.Manager.TryAcquireAsync(1, "now", ReservationMode.Shared);
        Assert.NotNull(second);
        await first.DisposeAsync();
    }

    [Fact]
    public async Task What_the_last_reader_leaves_is_released_and_not_handed_to_one_who_holds_back()
    {
        TaskScope first = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(other, retry: new LockRetry(5, World.Second));
        Task<TaskScope> behind = World.ReadAsync(world.Manager, retry: LockRetry.Patient);

        await first.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
        world.Pass(World.Second);

        TaskScope task = await writer.WithinLimit();
        Assert.False(behind.IsCompleted);
        await task.DisposeAsync();
        await world.UntilAsync(() => behind.IsCompleted, "the reader's turn");
        await (await behind).DisposeAsync();
    }

    [Fact]
    public async Task A_locked_reader_is_told_that_a_writer_waits()
    {
        await using TaskScope first = await World.ReadAsync(world.Manager);
        Task<TaskScope> writer = World.WriteAsync(other);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(
            () => World.ReadAsync(world.NewManager(), retry: LockRetry.None));

        Assert.Contains("a writer waits", e.Message);
        world.Pass(World.Second * 2);
        await Assert.ThrowsAsync<NodeLockedException>(() => writer.WithinLimit());
    }
}
