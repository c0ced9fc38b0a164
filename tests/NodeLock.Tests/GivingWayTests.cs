using Xunit;

namespace NodeLock.Tests;

/// <summary>A process that knows first that a node is free would always be quicker than another one that waits for it:
/// it lets that try first.</summary>
public sealed class GivingWayTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager other;

    public GivingWayTests() => other = world.NewManager();

    private static NodeLockOptions Unheard => new() { ListenForReleases = false };

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task Another_conductor_gets_the_node_though_here_the_line_never_ends()
    {
        TaskManager listening = await world.NewListeningManagerAsync();
        TaskScope held = await World.WriteAsync(world.Manager, retry: LockRetry.Patient);
        Task<TaskScope> elsewhere = World.WriteAsync(listening, retry: LockRetry.Patient);
        Queue<Task<TaskScope>> line = [];
        int turns = 0;
        while (!elsewhere.IsCompleted)
        {
            while (line.Count < 3) line.Enqueue(World.WriteAsync(world.Manager, retry: LockRetry.Patient));
            await held.DisposeAsync();
            await Eventually.TrueAsync(() => line.Peek().IsCompleted || elsewhere.IsCompleted, "somebody has it");
            if (!line.Peek().IsCompleted) break;
            held = await line.Dequeue();
            turns++;
            Assert.InRange(turns, 0, 1000); // each time that this gives way, it is a fair race
        }

        await (await elsewhere.WithinLimit()).DisposeAsync();
        foreach (Task<TaskScope> waiting in line)
        {
            await world.UntilAsync(() => waiting.IsCompleted, "those here go on");
            await (await waiting).DisposeAsync();
        }
    }

    [Fact]
    public async Task Without_notifications_it_is_for_one_interval()
    {
        await using TaskManager a = world.NewManager(options: Unheard);
        await using TaskManager b = world.NewManager(options: Unheard);
        TaskScope held = await World.WriteAsync(a);
        Task<TaskScope> waiting = World.WriteAsync(b, retry: new LockRetry(2, World.Second));
        await held.DisposeAsync();
        held = await World.WriteAsync(a); // nobody was known to wait when it was granted
        await held.DisposeAsync();

        Task<TaskScope> again = World.WriteAsync(a);
        Assert.False(again.IsCompleted);

        world.Pass(World.Second);
        await (await waiting.WithinLimit()).DisposeAsync();
        await world.UntilAsync(() => again.IsCompleted, "the one who gave way");
        await (await again).DisposeAsync();
    }

    [Fact]
    public async Task One_who_will_not_ask_again_does_not_give_way()
    {
        await using TaskManager a = world.NewManager(options: Unheard);
        await WantedByAnotherAsync(a);

        await using TaskScope? tried = await a.TryAcquireAsync(1, "now or never");

        Assert.NotNull(tried);
    }

    [Fact]
    public async Task Who_gives_way_says_so_when_its_time_is_over()
    {
        await using TaskManager a = world.NewManager(options: Unheard);
        await WantedByAnotherAsync(a);
        Task<TaskScope> waiting = World.WriteAsync(a, retry: new LockRetry(5, World.Second / 10));
        TaskScope elsewhere = await World.WriteAsync(other, retry: LockRetry.None);

        world.Pass(World.Second);

        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(() => waiting.WithinLimit());
        Assert.Equal(elsewhere.FencingToken, locked.HolderFencingToken); // the last attempt asked
        await elsewhere.DisposeAsync();
    }

    [Fact]
    public async Task A_process_alone_never_gives_way()
    {
        for (int i = 0; i < 100; i++)
        {
            TaskScope held = await World.WriteAsync(world.Manager);
            Task<TaskScope> next = World.WriteAsync(world.Manager);
            await held.DisposeAsync();
            await using TaskScope task = await next.WithinLimit();
        }
    }

    [Fact]
    public async Task Those_whose_time_is_up_together_do_not_all_ask()
    {
        await using TaskScope elsewhere = await World.WriteAsync(other);
        int asked = 0;
        world.Way.OnReserve = (_, carryOut) =>
        {
            Interlocked.Increment(ref asked);
            return carryOut();
        };
        Task<TaskScope>[] waiting = [.. Enumerable.Range(0, 50).Select(_ => World.WriteAsync(world.Manager))];

        await world.UntilAsync(() => waiting.All(w => w.IsCompleted), "all have given up");

        Assert.InRange(asked, 1, 6); // three attempts, and what the clock of a busy machine adds
        foreach (Task<TaskScope> one in waiting) await Assert.ThrowsAsync<NodeLockedException>(() => one);
    }

    /// <summary>Has another conductor meet a scope here, which ends then.</summary>
    private async Task WantedByAnotherAsync(TaskManager manager)
    {
        TaskScope held = await World.WriteAsync(manager);
        using CancellationTokenSource gone = new();
        Task<TaskScope> elsewhere =
            World.WriteAsync(world.NewManager(options: Unheard), cancellationToken: gone.Token);
        await held.DisposeAsync();
        await (await World.WriteAsync(manager)).DisposeAsync();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => elsewhere);
    }
}
