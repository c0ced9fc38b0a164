using System.Collections.Concurrent;
using Xunit;

namespace NodeLock.Tests;

/// <summary>The nodes of a dead conductor that requires a fence are free only when each of them is fenced.</summary>
public sealed class FencingTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly FenceOfATest fence = new();
    private readonly StoreWithFaults deadWay;
    private readonly StoreWithFaults fencerWay;
    private readonly TaskManager dead;
    private readonly TaskManager fencer;
    private TaskScope? held;

    public FencingTests()
    {
        deadWay = new StoreWithFaults(world.Memory);
        fencerWay = new StoreWithFaults(world.Memory);
        dead = world.NewManager(deadWay, fence: fence);
        fencer = world.NewManager(fencerWay, fence: fence);
    }

    public async ValueTask DisposeAsync()
    {
        fence.OnFence = (_, _) => Task.CompletedTask;
        if (held is not null) await held.DisposeAsync();
        await world.DisposeAsync();
    }

    [Fact]
    public async Task A_node_stays_locked_until_its_fence_has_returned_and_is_shown_as_waiting_for_it()
    {
        TaskCompletionSource returns = fence.Hold();
        await KillAsync();
        await world.UntilAsync(() => !fence.Calls.IsEmpty, "the fence");

        Assert.Null(await world.Manager.TryAcquireAsync(1, "too early"));
        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(
            () => World.WriteAsync(fencer, retry: LockRetry.None));
        Assert.Equal(ReservationState.WaitingForFence, e.Reservation?.State);
        Assert.Contains("dead and waiting for its fence", e.Message);
        Assert.Equal(ReservationState.WaitingForFence,
            Assert.Single(await fencer.ListReservationsAsync(), r => r.NodeId == 1).State);
        returns.SetResult();

        await world.UntilAsync(() => IsFree(1), "the node is free");
        await using TaskScope? next = await world.Manager.TryAcquireAsync(1, "after the fence");
        Assert.NotNull(next);
        await Eventually.TrueAsync(() => world.Log.With(48).Count == 1, "all are fenced");
    }

    [Fact]
    public async Task First_the_reservation_is_revoked_then_the_fence_runs_then_the_node_is_freed()
    {
        Reservation? during = null;
        fence.OnFence = async (_, _) => during = await world.FindAsync(1);
        await KillAsync("flash firmware");
        await world.UntilAsync(() => IsFree(1), "the node is free");

        NodeToFence node = Assert.Single(fence.Calls).Node;
        Assert.Equal(((NodeId)1, held!.Holding.Registration.Holder, "flash firmware", held.ReservedAt),
            (node.NodeId, node.DeadHolder, node.Purpose, node.ReservedAt));
        Assert.True(node.FencingToken > held.FencingToken);
        Assert.Equal((node.FencingToken, node.DeadHolder), (during?.FencingToken, during?.Holders[0]));
        Assert.Contains($"under fencing token {node.FencingToken}", Assert.Single(world.Log.With(44)).Message);
        Assert.Single(world.Log.With(45));
    }

    [Fact]
    public async Task A_fence_that_fails_is_tried_again_after_1_2_4_seconds_and_so_on_up_to_a_minute()
    {
        fence.OnFence = (_, _) => throw new StoreException("the power strip does not answer");
        await KillAsync();
        await Eventually.TrueAsync(() =>
        {
            if (fence.Calls.Count < 8) world.Pass(World.Second / 4);
            return fence.Calls.Count == 8;
        }, "eight fences");

        DateTimeOffset[] at = [.. fence.Calls.Select(c => c.At)];
        double[] pauses = [.. at.Zip(at.Skip(1), (a, b) => (b - a).TotalSeconds)];
        Assert.All(pauses.Zip([1, 2, 4, 8, 16, 32, 60]),
            p => Assert.InRange(p.First, p.Second, p.Second + 3.5)); // the thread pool may come late
        Assert.False(IsFree(1));
        Assert.Equal(at.Length, fence.Calls.Select(c => c.Node.FencingToken).Distinct().Count());
        Assert.InRange(world.Log.With(46).Count, 7, 8);
        Assert.IsType<StoreException>(world.Log.With(46)[0].Exception);
        fence.OnFence = (_, _) => Task.CompletedTask;
        await world.UntilAsync(() => IsFree(1), "the node is free");
    }

    [Fact]
    public async Task A_fence_is_told_when_the_trust_of_its_conductor_ends_and_another_one_fences()
    {
        TaskCompletionSource returns = fence.Hold();
        await KillAsync();
        await world.UntilAsync(() => !fence.Calls.IsEmpty, "the fence");
        CancellationToken trust = fence.Calls.Single().Token;
        FenceOfATest second = new();
        TaskManager other = world.NewManager(fence: second);
        await using (await other.AcquireAsync(9, "to be alive")) { }
        Assert.False(trust.IsCancellationRequested);
        World.Cut(fencerWay);

        world.Pass(TimeSpan.FromSeconds(55));
        Assert.True(trust.IsCancellationRequested);
        await world.UntilAsync(() => IsFree(1), "the other fences");

        await using TaskScope next = await World.WriteAsync(world.Manager);
        Assert.True(Assert.Single(second.Calls, c => c.Node.NodeId == 1).Node.FencingToken
            > fence.Calls.Single().Node.FencingToken);
        returns.SetResult(); // the first one comes back late, and frees nothing
        world.Pass(TimeSpan.FromSeconds(30));
        next.EnsureHeld();
        Assert.Equal(next.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_fence_is_told_when_its_conductor_stops()
    {
        fence.OnFence = (_, token) => Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, token);
        await KillAsync();
        await world.UntilAsync(() => !fence.Calls.IsEmpty, "the fence");

        Task stop = Task.Run(() => fencer.DisposeAsync().AsTask());
        await world.UntilAsync(() => stop.IsCompleted, "the end of the fencer");

        Assert.True(fence.Calls.First().Token.IsCancellationRequested);
        Assert.Empty(world.Log.With(46));
        Assert.False(IsFree(1));
    }

    [Fact]
    public async Task Of_several_conductors_one_fences_and_each_node_once()
    {
        TaskManager other = world.NewManager(fence: fence);
        await using (await other.AcquireAsync(9, "to be alive")) { }
        await using TaskScope second = await dead.AcquireAsync(2, "second");
        TaskCompletionSource returns = fence.Hold();
        await KillAsync();
        await world.UntilAsync(() => fence.Calls.Count == 2, "both are being fenced");

        world.Pass(TimeSpan.FromSeconds(60));
        Assert.Equal<NodeId>([1, 2], fence.Calls.Select(c => c.Node.NodeId).OrderBy(n => n.ToString(), StringComparer.Ordinal));
        returns.SetResult();

        await world.UntilAsync(() => IsFree(1) && IsFree(2), "both are free");
        world.Pass(TimeSpan.FromSeconds(60));
        Assert.Equal(2, fence.Calls.Count);
    }

    [Fact]
    public async Task Not_more_than_16_fences_run_at_once()
    {
        List<TaskScope> many = [];
        for (int node = 100; node < 140; node++) many.Add(await dead.AcquireAsync(node, "one of many"));
        TaskCompletionSource returns = fence.Hold();
        await KillAsync();
        await world.UntilAsync(() => fence.Calls.Count == 16, "16 are being fenced");
        world.Pass(TimeSpan.FromSeconds(30));
        Assert.Equal(16, fence.Calls.Count);

        returns.SetResult();
        await world.UntilAsync(() => world.Log.With(48).Count == 1, "all are fenced");

        Assert.Equal(41, fence.Calls.Count);
        foreach (TaskScope scope in many) await scope.DisposeAsync();
    }

    [Fact]
    public async Task A_fence_that_takes_long_is_warned_about()
    {
        TaskCompletionSource returns = fence.Hold();
        await KillAsync();
        await world.UntilAsync(() => !fence.Calls.IsEmpty, "the fence");
        world.Pass(TimeSpan.FromSeconds(290)); // some time may have passed before it was seen
        Assert.Empty(world.Log.With(47));

        await world.UntilAsync(() => world.Log.With(47).Count > 0, "the warning");

        Assert.Contains("node 1", world.Log.With(47)[0].Message);
        Assert.True(world.Time.GetUtcNow() - fence.Calls.First().At >= TimeSpan.FromMinutes(5));
        returns.SetResult();
        await world.UntilAsync(() => IsFree(1), "the node is free");
    }

    [Fact]
    public async Task Without_a_living_conductor_that_can_fence_the_node_stays_locked()
    {
        await using (await world.Manager.AcquireAsync(9, "to be alive")) { }
        held = await dead.AcquireAsync(1, "test");
        World.Cut(deadWay);

        world.Pass(TimeSpan.FromSeconds(300));

        Assert.Empty(fence.Calls);
        Assert.Equal(ReservationState.WaitingForFence, (await world.FindAsync(1))?.State);
        Assert.Null(await world.Manager.TryAcquireAsync(1, "not fenced"));
    }

    [Fact]
    public async Task A_node_that_an_operator_broke_meanwhile_is_not_fenced_again()
    {
        fence.OnFence = (_, _) => throw new StoreException("the power strip does not answer");
        await KillAsync();
        await world.UntilAsync(() => world.Log.With(46).Count == 1, "the first failure");

        long token = (await world.FindAsync(1))!.FencingToken;
        Assert.True(await fencer.BreakAsync(1, token, "pulled the plug by hand"));
        await world.UntilAsync(() => world.Log.With(48).Count == 1, "all are fenced");

        Assert.Single(fence.Calls);
    }

    [Fact]
    public async Task A_store_that_is_away_during_the_fence_is_asked_again()
    {
        int failures = 0;
        fencerWay.OnRelease = (held, carryOut) =>
            held.NodeId == 1 && failures++ < 2 ? throw new StoreException("away") : carryOut();
        await KillAsync();

        await world.UntilAsync(() => IsFree(1), "the node is free");

        Assert.Equal(3, fence.Calls.Count);
    }

    [Fact]
    public async Task A_conductor_with_a_fence_registers_as_one_that_requires_it()
    {
        await using (await dead.AcquireAsync(1, "start")) { }
        await using (await world.Manager.AcquireAsync(1, "start")) { }

        Assert.True(world.Memory.Conductors[dead.Holder].RequiresFence);
        Assert.False(world.Memory.Conductors[world.Manager.Holder].RequiresFence);
    }

    private bool IsFree(NodeId node)
    {
        lock (world.Memory.Sync) return world.Memory.Rows.GetValueOrDefault(node)?.ToReservation() is null;
    }

    private async Task KillAsync(string purpose = "test")
    {
        fence.Time = world.Time;
        await using (await fencer.AcquireAsync(9, "to be alive")) { }
        held = await dead.AcquireAsync(1, purpose);
        World.Cut(deadWay);
        world.Pass(TimeSpan.FromSeconds(75));
        Assert.True(held.Lost.IsCancellationRequested);
    }
}

/// <summary>Remembers how it was called, and does what the test says.</summary>
internal sealed class FenceOfATest : INodeFence
{
    public ConcurrentQueue<(NodeToFence Node, CancellationToken Token, DateTimeOffset At)> Calls { get; } = [];

    public Func<NodeToFence, CancellationToken, Task> OnFence { get; set; } = (_, _) => Task.CompletedTask;

    public ManualTime? Time { get; set; }

    public Task FenceAsync(NodeToFence node, CancellationToken cancellationToken)
    {
        Calls.Enqueue((node, cancellationToken, Time?.GetUtcNow() ?? default));
        return OnFence(node, cancellationToken);
    }

    /// <summary>Fences hang until this is set, whatever their token says.</summary>
    public TaskCompletionSource Hold()
    {
        TaskCompletionSource returns = new(TaskCreationOptions.RunContinuationsAsynchronously);
        OnFence = (_, _) => returns.Task;
        return returns;
    }
}
