using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Xunit;

namespace NodeLock.Tests;

public sealed class TaskScopeTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_scope_tells_what_it_holds()
    {
        await using TaskScope task = await world.Manager.AcquireAsync(1, "power on");
        Reservation? found = await world.FindAsync(1);

        Assert.Equal(((NodeId)1, ReservationMode.Exclusive, "power on"), (task.NodeId, task.Mode, task.Purpose));
        Assert.Equal((found?.FencingToken, found?.ReservedAt), (task.FencingToken, task.ReservedAt));
        Assert.Equal([world.Manager.Holder], found?.Holders);
        Assert.False(task.Lost.IsCancellationRequested);
        task.EnsureHeld();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Dispose_releases_the_node_once_however_often_it_is_called(bool synchronously)
    {
        int releases = 0;
        world.Way.OnRelease = (_, carryOut) =>
        {
            releases++;
            return carryOut();
        };
        TaskScope task = await world.Manager.AcquireAsync(1, "test");

        for (int i = 0; i < 3; i++)
        {
            if (synchronously) task.Dispose();
            else await task.DisposeAsync();
        }

        Assert.Equal(1, releases);
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task A_second_dispose_takes_nothing_from_the_next_holder()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        task.Dispose();
        await using TaskScope next = await world.Manager.AcquireAsync(1, "next");

        await task.DisposeAsync();
        task.Dispose();

        Assert.Equal(next.FencingToken, (await world.FindAsync(1))?.FencingToken);
        next.EnsureHeld();
    }

    [Fact]
    public async Task After_dispose_EnsureHeld_says_that_the_scope_is_disposed()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        await task.DisposeAsync();

        Assert.Throws<ObjectDisposedException>(task.EnsureHeld);
    }

    [Fact]
    public async Task Lost_stays_readable_after_dispose_and_does_not_fire_then()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        CancellationToken lost = task.Lost;
        await task.DisposeAsync();
        World.Cut(world.Way);

        world.Pass(TimeSpan.FromSeconds(120));

        Assert.False(task.Lost.IsCancellationRequested);
        Assert.False(lost.IsCancellationRequested);
        Assert.Empty(world.Log.With(4));
    }

    [Fact]
    public async Task A_lost_scope_stays_lost_after_a_renewal_and_after_its_dispose()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));
        Assert.True(task.Lost.IsCancellationRequested);

        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(2));
        await using TaskScope believed = await world.Manager.AcquireAsync(2, "the lease is renewed");

        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        await task.DisposeAsync();
        Assert.True(task.Lost.IsCancellationRequested);
        Assert.Single(world.Log.With(4));
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task EnsureHeld_judges_at_the_call_also_when_no_timer_got_round_to_it()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        world.Time.Jump(TimeSpan.FromSeconds(54));

        Assert.Throws<ReservationLostException>(task.EnsureHeld);

        await Eventually.TrueAsync(() => task.Lost.IsCancellationRequested, "Lost fires");
        await task.DisposeAsync();
    }

    [Fact]
    public async Task Dispose_does_not_throw_when_the_store_is_away_nor_hide_the_exception_of_the_body()
    {
        world.Way.OnRelease = (_, _) => throw new StoreException("away");
        Task body = Task.Run(async () =>
        {
            await using TaskScope task = await world.Manager.AcquireAsync(1, "test");
            throw new InvalidDataException("the body's own");
        });

        await world.UntilAsync(() => body.IsCompleted, "the end of the body");

        await Assert.ThrowsAsync<InvalidDataException>(() => body);
        Assert.NotEmpty(world.Log.With(6));
    }

    [Fact]
    public async Task The_synchronous_dispose_does_not_throw_either_and_leaves_the_rest_to_the_background()
    {
        int releases = 0;
        world.Way.OnRelease = (_, carryOut) => ++releases < 3 ? throw new StoreException("away") : carryOut();
        TaskScope task = await world.Manager.AcquireAsync(1, "test");

        task.Dispose();
        Assert.NotNull(await world.FindAsync(1));
        world.Time.Advance(World.Second);

        Assert.Null(await world.FindAsync(1));
        Assert.Equal(3, releases);
    }

    [Fact]
    public async Task Dispose_takes_at_most_the_release_timeout_and_the_heartbeat_does_the_rest()
    {
        world.Way.OnRelease = (_, _) => new(
            new TaskCompletionSource().Task.WaitAsync(TimeSpan.FromSeconds(6), world.Time));
        TaskScope task = await world.Manager.AcquireAsync(1, "test");

        Task dispose = task.DisposeAsync().AsTask();
        world.Time.Advance(TimeSpan.FromSeconds(5) - World.Tick);
        Assert.False(dispose.IsCompleted);
        world.Time.Advance(World.Tick);
        await dispose.WithinLimit();

        Assert.NotNull(await world.FindAsync(1));
        world.Pass(TimeSpan.FromSeconds(20));
        Assert.Null(await world.FindAsync(1));
        Assert.Single(world.Log.With(25));
    }

    [Fact]
    public async Task A_scope_that_is_dropped_is_reported_once_and_stays_reserved()
    {
        long token = Drop("forgotten");

        await Eventually.TrueAsync(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return world.Log.With(5).Count > 0;
        }, "the report");

        GC.Collect();
        GC.WaitForPendingFinalizers();
        LogLine line = Assert.Single(world.Log.With(5));
        Assert.Equal(LogLevel.Error, line.Level);
        Assert.Contains("node 1", line.Message);
        Assert.Contains("\"forgotten\"", line.Message);
        Assert.Contains($"fencing token {token}", line.Message);
        world.Pass(TimeSpan.FromSeconds(120));
        Assert.Equal(token, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_log_that_fails_does_not_end_the_process_when_a_scope_is_dropped()
    {
        int reports = 0;
        world.Log.Written = line =>
        {
            if (line.Id != 5) return;
            Interlocked.Increment(ref reports);
            throw new StoreException("the log is closed");
        };
        Drop("forgotten");

        await Eventually.TrueAsync(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return Volatile.Read(ref reports) > 0;
        }, "the report");

        await using TaskScope task = await world.Manager.AcquireAsync(2, "the process goes on");
        task.EnsureHeld();
    }

    [Fact]
    public async Task A_scope_that_was_disposed_is_not_reported()
    {
        await DisposeOneAsync();

        GC.Collect();
        GC.WaitForPendingFinalizers();

        Assert.Empty(world.Log.With(5));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private long Drop(string purpose) =>
        world.Manager.AcquireAsync(1, purpose).AsTask().GetAwaiter().GetResult().FencingToken;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private async Task DisposeOneAsync()
    {
        await using (await world.Manager.AcquireAsync(1, "test"))
        using (await world.Manager.AcquireAsync(2, "test"))
            Assert.NotNull(await world.FindAsync(1));
    }
}
