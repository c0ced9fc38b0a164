using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Xunit;

namespace NodeLock.Tests;

/// <summary>How much spawned work may run at once, and what becomes of it at the end of the process.</summary>
public sealed class WorkersTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager manager;
    private readonly List<Task> busy = [];
    private readonly TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public WorkersTests() => manager = world.NewManager(
        options: new NodeLockOptions { WorkerPoolSize = 3, ReservedWorkers = 1 });

    public async ValueTask DisposeAsync()
    {
        goOn.TrySetResult();
        await world.DisposeAsync();
    }

    [Fact]
    public void Workers_are_counted_and_some_are_kept_for_what_is_urgent()
    {
        Workers workers = new(new NodeLockOptions { WorkerPoolSize = 3, ReservedWorkers = 1 });

        Assert.Equal([true, true, false], Enumerable.Range(0, 3).Select(_ => workers.TryEnter(WorkPriority.Normal)));
        Assert.Equal([true, false], Enumerable.Range(0, 2).Select(_ => workers.TryEnter(WorkPriority.Urgent)));
        workers.Leave();
        Assert.False(workers.TryEnter(WorkPriority.Normal));
        Assert.True(workers.TryEnter(WorkPriority.Urgent));
        workers.Leave();
        workers.Leave();
        Assert.True(workers.TryEnter(WorkPriority.Normal));
    }

    [Fact]
    public async Task Without_a_free_worker_the_caller_is_told_so_and_still_holds_the_node()
    {
        await SpawnAsync(1);
        await SpawnAsync(2);
        await using TaskScope task = await manager.AcquireAsync(3, "no room");

        NoFreeWorkerException e = Assert.Throws<NoFreeWorkerException>(
            () => { _ = task.Spawn((_, _) => Task.CompletedTask); });

        Assert.Equal(((NodeId)3, "no room", 3), (e.NodeId, e.Purpose, e.WorkerPoolSize));
        Assert.Contains("1 (ReservedWorkers)", e.Message);
        task.EnsureHeld();
        goOn.SetResult();
        await Task.WhenAll(busy).WithinLimit();
        await task.Spawn((own, _) =>
        {
            own.EnsureHeld();
            return Task.CompletedTask;
        }).WithinLimit();
        Assert.Null(await world.FindAsync(3));
    }

    [Fact]
    public async Task Urgent_work_finds_the_reserved_worker_until_that_is_busy_too()
    {
        await SpawnAsync(1);
        await SpawnAsync(2);
        await Assert.ThrowsAsync<NoFreeWorkerException>(() => SpawnAsync(3));

        await SpawnAsync(4, WorkPriority.Urgent);
        await Assert.ThrowsAsync<NoFreeWorkerException>(() => SpawnAsync(5, WorkPriority.Urgent));

        goOn.SetResult();
        await Task.WhenAll(busy).WithinLimit();
    }

    [Fact]
    public async Task Work_that_failed_leaves_its_worker_free()
    {
        for (int i = 0; i < 10; i++)
        {
            TaskScope task = await manager.AcquireAsync(1, "fails");
            await Assert.ThrowsAsync<StoreException>(
                () => task.Spawn((_, _) => throw new StoreException("no")).WithinLimit());
        }
    }

    [Fact]
    public async Task A_spawn_that_is_refused_takes_no_worker()
    {
        TaskScope lost = await manager.AcquireAsync(9, "lost");
        Assert.True(await manager.BreakAsync(9, lost.FencingToken, "test"));
        for (int i = 0; i < 10; i++)
            Assert.Throws<ReservationLostException>(() => { _ = lost.Spawn((_, _) => Task.CompletedTask); });
        await lost.DisposeAsync();

        await SpawnAsync(1);
        await SpawnAsync(2);

        goOn.SetResult();
        await Task.WhenAll(busy).WithinLimit();
    }

    [Fact]
    public async Task The_end_of_the_host_waits_for_work_that_runs()
    {
        InMemoryNodeLockRepository store = new(world.Time);
        using IHost host = NewHost(store);
        await host.StartAsync();
        TaskScope task = await host.Services.GetRequiredService<TaskManager>().AcquireAsync(1, "work");
        Task work = task.Spawn((_, lost) => goOn.Task.WaitAsync(lost));

        Task stop = host.StopAsync();
        world.Time.Advance(TimeSpan.FromSeconds(120));
        Assert.False(stop.IsCompleted);
        Assert.False(work.IsCompleted);
        goOn.SetResult();

        await stop.WithinLimit();
        await work.WithinLimit();
        Assert.Null(await ((INodeLockRepository)store).FindAsync(1, default));
        Assert.All(store.Conductors.Values, c => Assert.Equal(InMemoryConductorState.Left, c.State));
    }

    [Fact]
    public async Task Work_still_running_when_the_hosts_time_is_over_is_told_that_its_node_is_lost()
    {
        InMemoryNodeLockRepository store = new(world.Time);
        using IHost host = NewHost(store);
        using CancellationTokenSource hostsTime = new();
        await host.StartAsync();
        TaskScope task = await host.Services.GetRequiredService<TaskManager>().AcquireAsync(1, "work");
        Task work = task.Spawn((_, lost) => goOn.Task.WaitAsync(lost));
        Task stop = host.StopAsync(hostsTime.Token);
        Assert.False(work.IsCompleted);

        await hostsTime.CancelAsync();

        await stop.WithinLimit();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => work.WithinLimit());
        Assert.DoesNotContain(store.Conductors.Values, c => c.State == InMemoryConductorState.Left);
    }

    private async Task SpawnAsync(NodeId node, WorkPriority priority = WorkPriority.Normal)
    {
        await using TaskScope task = await manager.AcquireAsync(node, "busy");
        busy.Add(task.Spawn((_, _) => goOn.Task, priority));
    }

    private IHost NewHost(InMemoryNodeLockRepository store)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton<TimeProvider>(world.Time);
        builder.Services.AddNodeLock().UseRepository(_ => new StoreWithFaults(store));
        return builder.Build();
    }
}
