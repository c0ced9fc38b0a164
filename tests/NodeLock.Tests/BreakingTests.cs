using Microsoft.Extensions.Logging;
using Xunit;

namespace NodeLock.Tests;

/// <summary>An operator takes a node away from whoever has it, by exactly what was seen.</summary>
public sealed class BreakingTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager other;

    public BreakingTests() => other = world.NewManager();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task By_its_token_a_reservation_is_broken_and_the_node_is_free_at_once()
    {
        TaskScope task = await World.WriteAsync(other, "hangs");

        Assert.True(await world.Manager.BreakAsync(1, task.FencingToken, "hangs since Tuesday"));

        await using TaskScope? next = await world.Manager.TryAcquireAsync(1, "next");
        Assert.True(next?.FencingToken > task.FencingToken);
        LogLine line = Assert.Single(world.Log.With(16));
        Assert.Equal(LogLevel.Warning, line.Level);
        Assert.Contains($"node 1 with fencing token {task.FencingToken}: hangs since Tuesday", line.Message);
        await task.DisposeAsync();
        next!.EnsureHeld();
        Assert.Equal(next.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_token_that_has_moved_on_breaks_nothing()
    {
        TaskScope first = await World.WriteAsync(other);
        long stale = first.FencingToken;
        await first.DisposeAsync();
        Assert.False(await world.Manager.BreakAsync(1, stale, "it is free"));
        await using TaskScope second = await World.WriteAsync(other);

        Assert.False(await world.Manager.BreakAsync(1, stale, "stale"));
        Assert.False(await world.Manager.BreakAsync(1, second.FencingToken + 1, "of the future"));
        Assert.False(await world.Manager.BreakAsync(2, second.FencingToken, "of another node"));

        world.Pass(TimeSpan.FromSeconds(20));
        second.EnsureExclusive();
        Assert.Empty(world.Log.With(16));
    }

    [Fact]
    public async Task A_second_break_by_the_same_token_takes_nothing_from_the_next_holder()
    {
        TaskScope task = await World.WriteAsync(other);
        Assert.True(await world.Manager.BreakAsync(1, task.FencingToken, "hangs"));
        await using TaskScope next = await World.WriteAsync(world.NewManager());

        Assert.False(await world.Manager.BreakAsync(1, task.FencingToken, "again"));

        next.EnsureExclusive();
        Assert.Equal(next.FencingToken, (await world.FindAsync(1))?.FencingToken);
        await task.DisposeAsync();
    }

    [Fact]
    public async Task The_holder_in_another_process_learns_it_within_a_heartbeat()
    {
        TaskScope task = await World.WriteAsync(other);
        Assert.True(await world.Manager.BreakAsync(1, task.FencingToken, "hangs"));
        task.EnsureHeld();

        world.Pass(TimeSpan.FromSeconds(10));

        Assert.True(task.Lost.IsCancellationRequested);
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        await task.DisposeAsync();
    }

    [Fact]
    public async Task The_holder_in_the_same_process_learns_it_at_once_and_why()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        await using TaskScope kept = await world.Manager.AcquireAsync(2, "kept");

        Assert.True(await world.Manager.BreakAsync(1, task.FencingToken, "hangs"));

        ReservationLostException e = Assert.Throws<ReservationLostException>(task.EnsureHeld);
        Assert.Equal("it was broken: hangs", e.Reason);
        await Eventually.TrueAsync(() => task.Lost.IsCancellationRequested, "Lost fires");
        kept.EnsureHeld();
        await task.DisposeAsync();
    }

    [Fact]
    public async Task A_sharer_is_broken_by_its_name_and_the_others_stay()
    {
        TaskScope theirs = await World.ReadAsync(other);
        TaskScope[] mine = [await World.ReadAsync(world.Manager), await World.ReadAsync(world.Manager)];
        string holder = world.Manager.Holder;

        Assert.True(await world.Manager.BreakAsync(1, holder, "reads for ever"));

        Assert.All(mine, m => Assert.Throws<ReservationLostException>(m.EnsureHeld));
        theirs.EnsureHeld();
        Assert.Equal([other.Holder], (await world.FindAsync(1))?.Holders);
        Assert.Contains($"node 1 by {holder}: reads for ever", Assert.Single(world.Log.With(17)).Message);
        Assert.False(await world.Manager.BreakAsync(1, holder, "again"));
        foreach (TaskScope scope in mine) await scope.DisposeAsync();
        theirs.EnsureHeld();
        await theirs.DisposeAsync();
        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task A_sharer_in_another_process_learns_it_within_a_heartbeat()
    {
        TaskScope theirs = await World.ReadAsync(other);
        Assert.True(await world.Manager.BreakAsync(1, other.Holder, "reads for ever"));
        await using TaskScope writer = await World.WriteAsync(world.Manager);

        world.Pass(TimeSpan.FromSeconds(10));

        Assert.True(theirs.Lost.IsCancellationRequested);
        await theirs.DisposeAsync();
        writer.EnsureExclusive();
    }

    [Fact]
    public async Task To_break_one_mode_does_not_touch_the_other()
    {
        await using TaskScope reader = await World.ReadAsync(other);
        await using TaskScope writer = await other.AcquireAsync(2, "write");

        Assert.False(await world.Manager.BreakAsync(1, reader.FencingToken, "not exclusive"));
        Assert.False(await world.Manager.BreakAsync(2, other.Holder, "not shared"));

        world.Pass(TimeSpan.FromSeconds(20));
        reader.EnsureHeld();
        writer.EnsureExclusive();
    }

    [Fact]
    public async Task What_a_broken_scope_leaves_is_not_named_by_the_next_in_line()
    {
        TaskScope task = await World.WriteAsync(world.Manager);
        Task<TaskScope> next = World.WriteAsync(world.Manager, retry: LockRetry.Patient);
        Assert.True(await world.Manager.BreakAsync(1, task.FencingToken, "hangs"));
        await using TaskScope theirs = await World.WriteAsync(other);

        await task.DisposeAsync();
        world.Pass(World.Second * 2);

        Assert.False(next.IsCompleted);
        theirs.EnsureExclusive();
        Assert.Equal(theirs.FencingToken, (await world.FindAsync(1))?.FencingToken);
        await theirs.DisposeAsync();
        await world.UntilAsync(() => next.IsCompleted, "the next in line");
        await (await next).DisposeAsync();
    }

    [Fact]
    public async Task Without_a_reason_a_holder_or_an_id_nothing_is_broken()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);
        long token = task.FencingToken;

        foreach (string? reason in new[] { null, "", " ", new string('x', 501) })
        {
            await Assert.ThrowsAnyAsync<ArgumentException>(
                () => world.Manager.BreakAsync(1, token, reason!).WithinLimit());
            await Assert.ThrowsAnyAsync<ArgumentException>(
                () => world.Manager.BreakAsync(1, world.Manager.Holder, reason!).WithinLimit());
        }

        await Assert.ThrowsAnyAsync<ArgumentException>(() => world.Manager.BreakAsync(1, " ", "test").WithinLimit());
        await Assert.ThrowsAnyAsync<ArgumentException>(
            () => world.Manager.BreakAsync(default, token, "test").WithinLimit());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => world.Manager.BreakAsync(1, token, "test", new CancellationToken(true)).WithinLimit());
        task.EnsureExclusive();
        Assert.NotNull(await world.FindAsync(1));
    }
}
