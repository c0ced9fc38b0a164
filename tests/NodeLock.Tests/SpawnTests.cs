using Microsoft.Extensions.Logging;
using Xunit;

namespace NodeLock.Tests;

/// <summary>Work that goes on after its caller takes the reservation along, and gives it back however it ends.</summary>
public sealed class SpawnTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public async ValueTask DisposeAsync()
    {
        goOn.TrySetResult();
        await world.DisposeAsync();
    }

    [Fact]
    public async Task The_work_gets_a_scope_of_its_own_for_the_same_reservation_and_the_callers_is_spent()
    {
        TaskScope task = await World.WriteAsync(world.Manager, "deploy");
        (long token, int asked) = (task.FencingToken, world.Way.Requests.Count);
        TaskCompletionSource<(TaskScope, CancellationToken)> began = new();

        Task work = task.Spawn(async (own, lost) =>
        {
            began.SetResult((own, lost));
            await goOn.Task;
        });
        (TaskScope own, CancellationToken lost) = await began.Task.WithinLimit();

        Assert.NotSame(task, own);
        Assert.Equal((token, "deploy", ReservationMode.Exclusive, own.Lost),
            (own.FencingToken, own.Purpose, own.Mode, lost));
        own.EnsureExclusive();
        Assert.Equal(asked, world.Way.Requests.Count);
        Assert.Throws<ObjectDisposedException>(task.EnsureHeld);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => task.UpgradeAsync().WithinLimit());
        Assert.Throws<ObjectDisposedException>(() => { _ = task.Spawn((_, _) => Task.CompletedTask); });
        goOn.SetResult();
        await work.WithinLimit();
        Assert.Throws<ObjectDisposedException>(own.EnsureHeld);
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task The_callers_dispose_releases_nothing_while_the_work_runs_nor_after()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        Task work;
        await using (task) work = task.Spawn((_, _) => goOn.Task);
        task.Dispose();
        Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);

        goOn.SetResult();
        await work.WithinLimit();
        await using TaskScope next = await World.WriteAsync(world.Manager);
        await task.DisposeAsync();

        next.EnsureHeld();
        Assert.Equal(next.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task Work_that_fails_releases_the_node_is_logged_and_hands_its_exception_to_who_awaits_it()
    {
        TaskScope task = await World.WriteAsync(world.Manager, "deploy");

        Task work = task.Spawn(async (_, _) =>
        {
            await goOn.Task;
            throw new InvalidDataException("no image");
        });
        goOn.SetResult();

        await Assert.ThrowsAsync<InvalidDataException>(() => work.WithinLimit());
        Assert.Null(await world.FindAsync(1));
        LogLine line = Assert.Single(world.Log.With(14));
        Assert.Equal(LogLevel.Warning, line.Level);
        Assert.IsType<InvalidDataException>(line.Exception);
        Assert.Contains($"node 1 for \"deploy\", fencing token {task.FencingToken}", line.Message);
    }

    [Fact]
    public async Task Work_that_throws_before_it_is_a_task_fails_in_the_same_way()
    {
        TaskScope task = await World.WriteAsync(world.Manager);

        Task work = task.Spawn((_, _) => throw new InvalidDataException("at once"));

        await Assert.ThrowsAsync<InvalidDataException>(() => work.WithinLimit());
        Assert.Single(world.Log.With(14));
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Work_that_is_no_task_at_all_fails_and_releases()
    {
        TaskScope task = await World.WriteAsync(world.Manager);

        Task none = null!;
        Task work = task.Spawn((_, _) => none);

        await Assert.ThrowsAsync<NullReferenceException>(() => work.WithinLimit());
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Work_that_is_cancelled_releases_the_node()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        using CancellationTokenSource cancellation = new();

        Task work = task.Spawn((_, _) => goOn.Task.WaitAsync(cancellation.Token));
        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => work.WithinLimit());
        Assert.True(work.IsCanceled);
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task The_failure_of_work_that_nobody_awaits_is_logged_and_not_unobserved()
    {
        int unobserved = 0;
        void Count(object? sender, UnobservedTaskExceptionEventArgs e)
        {
            if (e.Exception.InnerException is InvalidDataException) Interlocked.Increment(ref unobserved);
        }

        TaskScheduler.UnobservedTaskException += Count;
        await SpawnAndForgetAsync();
        await Eventually.TrueAsync(() => world.Log.With(14).Count == 1 && world.FindAsync(1).Result is null, "the end");

        GC.Collect();
        GC.WaitForPendingFinalizers();

        TaskScheduler.UnobservedTaskException -= Count;
        Assert.Equal(0, unobserved);

        async Task SpawnAndForgetAsync() =>
            _ = (await World.WriteAsync(world.Manager)).Spawn((_, _) => throw new InvalidDataException("unseen"));
    }

    [Fact]
    public async Task Work_may_dispose_its_scope_before_it_ends()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        TaskCompletionSource released = new();

        Task work = task.Spawn(async (own, _) =>
        {
            await own.DisposeAsync();
            released.SetResult();
            await goOn.Task;
        });
        await released.Task.WithinLimit();

        await using TaskScope next = await World.WriteAsync(world.Manager, "next");
        goOn.SetResult();
        await work.WithinLimit();
        next.EnsureHeld();
        Assert.Equal(next.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task Those_in_line_get_the_node_when_the_work_ends_and_not_before()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        Task<TaskScope> next = World.WriteAsync(world.Manager);
        Task work = task.Spawn((_, _) => goOn.Task);
        await task.DisposeAsync();
        Assert.False(next.IsCompleted);

        goOn.SetResult();
        await work.WithinLimit();

        await (await next.WithinLimit()).DisposeAsync();
    }

    [Fact]
    public async Task Shared_scopes_spawn_work_too_and_work_may_upgrade_and_spawn_again()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        Task? inner = null;

        Task outer = task.Spawn(async (own, lost) =>
        {
            await own.UpgradeAsync("write", cancellationToken: lost);
            inner = own.Spawn(async (last, _) =>
            {
                last.EnsureExclusive();
                await goOn.Task;
            });
        });
        await outer.WithinLimit();

        Assert.Equal((ReservationMode.Exclusive, "write"),
            ((await world.FindAsync(1))!.Mode, (await world.FindAsync(1))!.Purpose));
        goOn.SetResult();
        await inner!.WithinLimit();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Nothing_is_spawned_on_a_scope_that_is_disposed_or_lost()
    {
        int ran = 0;
        TaskScope disposed = await World.WriteAsync(world.Manager);
        await disposed.DisposeAsync();
        TaskScope lost = await World.WriteAsync(world.Manager);
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));

        Assert.Throws<ObjectDisposedException>(() => { _ = disposed.Spawn(RunAsync); });
        Assert.Throws<ReservationLostException>(() => { _ = lost.Spawn(RunAsync); });
        Assert.Throws<ArgumentNullException>(() => { _ = lost.Spawn(null!); });

        await lost.DisposeAsync();
        Assert.Equal(0, ran);

        Task RunAsync(TaskScope own, CancellationToken token)
        {
            Interlocked.Increment(ref ran);
            return Task.CompletedTask;
        }
    }

    [Fact]
    public async Task Nothing_is_spawned_while_a_change_of_the_scope_is_under_way()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        await using TaskScope theirs = await World.ReadAsync(world.NewManager());
        Task upgrade = task.UpgradeAsync("write", LockRetry.Patient).AsTask();

        Assert.Throws<InvalidOperationException>(() => { _ = task.Spawn((_, _) => Task.CompletedTask); });

        await task.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => upgrade.WithinLimit());
    }

    [Fact]
    public async Task The_work_is_told_when_its_node_is_lost()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        Task work = task.Spawn((_, lost) => goOn.Task.WaitAsync(lost));
        World.Cut(world.Way);

        world.Pass(TimeSpan.FromSeconds(55));

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => work.WithinLimit());
    }

    [Fact]
    public async Task A_scope_whose_work_was_spawned_is_not_reported_as_dropped()
    {
        Task work = await SpawnAsync();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        goOn.SetResult();
        await work.WithinLimit();
        GC.Collect();
        GC.WaitForPendingFinalizers();

        Assert.Empty(world.Log.With(5));

        async Task<Task> SpawnAsync() => (await World.WriteAsync(world.Manager)).Spawn((_, _) => goOn.Task);
    }
}
