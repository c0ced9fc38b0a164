using Xunit;

namespace NodeLock.Tests;

public sealed class TaskManagerTests : IAsyncDisposable
{
    private readonly World world = new([1, 2, 3]);

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task Trying_for_a_free_node_gets_it()
    {
        await using TaskScope? task = await world.Manager.TryAcquireAsync(1, "sync");

        Assert.NotNull(task);
        Assert.Equal("sync", (await world.FindAsync(1))?.Purpose);
    }

    [Fact]
    public async Task Trying_for_a_node_held_elsewhere_asks_once_and_answers_null()
    {
        await using TaskScope held = await world.NewManager().AcquireAsync(1, "in the way");

        Task<TaskScope?> attempt = world.Manager.TryAcquireAsync(1, "sync").AsTask();

        Assert.True(attempt.IsCompleted);
        Assert.Null(await attempt);
        Assert.Single(world.Way.Requests);
    }

    [Fact]
    public async Task Trying_for_a_node_held_or_waited_for_in_this_process_asks_nobody()
    {
        await using TaskScope held = await world.Manager.AcquireAsync(1, "in the way");
        await using TaskScope elsewhere = await world.NewManager().AcquireAsync(2, "in the way");
        Task<TaskScope> waiting = world.Manager.AcquireAsync(2, "waiting").AsTask();
        int asked = world.Way.Requests.Count;

        Assert.Null(await world.Manager.TryAcquireAsync(1, "sync"));
        Assert.Null(await world.Manager.TryAcquireAsync(2, "sync"));

        Assert.Equal(asked, world.Way.Requests.Count);
        world.Time.Advance(World.Second * 2);
        await Assert.ThrowsAsync<NodeLockedException>(() => waiting.WithinLimit());
    }

    [Fact]
    public async Task Trying_for_a_node_that_does_not_exist_throws()
    {
        NodeNotFoundException e = await Assert.ThrowsAsync<NodeNotFoundException>(
            () => world.Manager.TryAcquireAsync(9, "sync").WithinLimit());

        Assert.Equal((NodeId)9, e.NodeId);
    }

    [Fact]
    public async Task One_node_held_keeps_nobody_from_another()
    {
        await using TaskScope one = await world.Manager.AcquireAsync(1, "test");
        Task<TaskScope> two = world.Manager.AcquireAsync(2, "test").AsTask();

        Assert.True(two.IsCompletedSuccessfully);
        await (await two).DisposeAsync();
    }

    [Fact]
    public async Task Reservations_are_found_and_listed_by_whichever_conductor()
    {
        TaskManager other = world.NewManager();
        await using TaskScope two = await world.Manager.AcquireAsync(2, "second");
        await using TaskScope one = await other.AcquireAsync(1, "first");

        Reservation? found = await world.Manager.GetReservationAsync(1);
        IReadOnlyList<Reservation> list = await world.Manager.ListReservationsAsync();

        Assert.Equal((other.Holder, "first"), (Assert.Single(found!.Holders), found.Purpose));
        Assert.Equal([((NodeId)1, "first"), (2, "second")], list.Select(r => (r.NodeId, r.Purpose)));
        Assert.Null(await world.Manager.GetReservationAsync(3));
        await Assert.ThrowsAsync<NodeNotFoundException>(() => world.Manager.GetReservationAsync(9).WithinLimit());
    }

    [Fact]
    public async Task A_hand_over_gives_a_new_token_and_the_new_purpose_and_the_row_never_shows_free_between()
    {
        int releases = 0;
        world.Way.OnRelease = (_, carryOut) =>
        {
            releases++;
            return carryOut();
        };
        TaskScope task = await world.Manager.AcquireAsync(1, "0");
        Task<TaskScope>[] line = [.. Enumerable.Range(1, 5)
            .Select(i => world.Manager.AcquireAsync(1, $"{i}").AsTask())];
        List<string?> found = [];
        world.Way.OnReserve = async (_, carryOut) =>
        {
            found.Add((await world.FindAsync(1))?.Purpose);
            return await carryOut();
        };

        for (int i = 0; i < 5; i++)
        {
            TaskScope before = task;
            await before.DisposeAsync();
            task = await line[i].WithinLimit();
            Assert.True(task.FencingToken > before.FencingToken);
            Assert.Equal((task.FencingToken, $"{i + 1}"),
                ((await world.FindAsync(1))?.FencingToken, (await world.FindAsync(1))?.Purpose));
        }

        Assert.Equal(["0", "1", "2", "3", "4"], found);
        Assert.Equal(0, releases);
        await task.DisposeAsync();
        Assert.Equal(1, releases);
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Under_the_lock_of_two_conductors_a_plain_counter_counts_right()
    {
        TaskManager[] managers = [world.Manager, world.NewManager()];
        int counter = 0;
        Task[] all = [.. Enumerable.Range(0, 200).Select(i => Task.Run(async () =>
        {
            await using TaskScope task = await managers[i % 2].AcquireAsync(1,
                new AcquireOptions { Purpose = "count", Retry = LockRetry.Patient });
            int read = counter;
            await Task.Yield();
            counter = read + 1;
        }))];

        Task end = Task.WhenAll(all);
        await world.UntilAsync(() => end.IsCompleted, "the end of all");
        await end;

        Assert.Equal(200, counter);
    }

    [Fact]
    public async Task After_dispose_nothing_is_acquired_and_a_second_dispose_is_no_error()
    {
        TaskManager manager = world.NewManager();
        TaskScope held = await manager.AcquireAsync(1, "test");
        Task<TaskScope> waiting = manager.AcquireAsync(1, "waiting").AsTask();

        await manager.DisposeAsync();
        await manager.DisposeAsync();

        await Assert.ThrowsAsync<ConductorStoppingException>(() => waiting.WithinLimit());
        ConductorStoppingException e = await Assert.ThrowsAsync<ConductorStoppingException>(
            () => manager.AcquireAsync(2, "test").WithinLimit());
        Assert.Equal(Environment.MachineName, e.ConductorName);
        Assert.Contains(e.ConductorName, e.Message);
        Assert.True(held.Lost.IsCancellationRequested);
        Assert.Throws<ReservationLostException>(held.EnsureHeld);
        await held.DisposeAsync();
        Assert.Single(world.Log.With(21));
    }

    [Fact]
    public async Task A_log_that_fails_costs_nobody_a_scope()
    {
        world.Log.Written = _ => throw new StoreException("the log is closed");

        await using (TaskScope task = await world.Manager.AcquireAsync(1, "test")) task.EnsureHeld();
        world.Pass(TimeSpan.FromSeconds(60));

        Assert.Null(await world.FindAsync(1));
        Assert.NotEmpty(world.Log.All);
    }

    [Fact]
    public async Task The_synchronous_dispose_does_the_same()
    {
        TaskManager manager = world.NewManager();
        await using (await manager.AcquireAsync(1, "test")) { }

        using (manager) { }

        Assert.False(world.Memory.Conductors[manager.Holder].IsAlive);
    }
}
