using System.Diagnostics.Metrics;
using Xunit;

namespace NodeLock.Tests;

/// <summary>The four ways in which Ironic's TaskManager leaks a reservation, or releases one that is in use.</summary>
public sealed class IronicLeaksTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_database_error_after_the_reserve_was_committed_leaves_the_node_to_the_same_conductor()
    {
        world.Way.LoseAnswers();
        await Assert.ThrowsAsync<StoreException>(() => World.WriteAsync(world.Manager));
        Assert.Equal([world.Manager.Holder], (await world.FindAsync(1))?.Holders);
        world.Way.OnReserve = null;

        await using TaskScope task = await World.WriteAsync(world.Manager, retry: LockRetry.None);

        task.EnsureExclusive();
    }

    [Fact]
    public async Task A_database_error_after_the_reserve_was_committed_keeps_no_other_conductor_out_for_long()
    {
        TaskManager other = world.NewManager();
        world.Way.LoseAnswers();
        await Assert.ThrowsAsync<StoreException>(() => World.WriteAsync(world.Manager));

        world.Pass(TimeSpan.FromSeconds(20));

        await using TaskScope? task = await other.TryAcquireAsync(1, "mended");
        Assert.NotNull(task);
    }

    [Fact]
    public async Task Whatever_is_thrown_between_the_grant_and_the_scope_leaks_nothing()
    {
        using MeterListener listener = new()
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == "NodeLock") self.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<int>((_, _, _, _) => throw new NotAnOrdinaryException());
        listener.SetMeasurementEventCallback<double>((_, _, _, _) => throw new NotAnOrdinaryException());
        listener.Start();
        world.Log.Written = _ => throw new NotAnOrdinaryException();

        await using (TaskScope task = await World.WriteAsync(world.Manager)) task.EnsureExclusive();

        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Whatever_the_start_of_spawned_work_throws_the_node_is_released()
    {
        TaskScope task = await World.WriteAsync(world.Manager);

        Task work = task.Spawn((_, _) => throw new NotAnOrdinaryException());

        await Assert.ThrowsAsync<NotAnOrdinaryException>(() => work.WithinLimit());
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task Nothing_that_fails_beside_running_work_releases_the_node_under_it()
    {
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource<TaskScope> began = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task? work = null;
        await Assert.ThrowsAsync<InvalidDataException>(async () =>
        {
            await using TaskScope task = await World.WriteAsync(world.Manager);
            work = task.Spawn((own, _) =>
            {
                began.SetResult(own);
                return goOn.Task;
            });
            throw new InvalidDataException("the notification after the start failed");
        });
        TaskScope own = await began.Task.WithinLimit();

        world.Pass(TimeSpan.FromSeconds(60));

        own.EnsureExclusive();
        Assert.Equal(own.FencingToken, (await world.FindAsync(1))?.FencingToken);
        Assert.Null(await world.NewManager().TryAcquireAsync(1, "under the work"));
        goOn.SetResult();
        await work!.WithinLimit();
        Assert.Null(await world.FindAsync(1));
    }

    private sealed class NotAnOrdinaryException : Exception;
}
