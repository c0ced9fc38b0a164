using System.Collections.Concurrent;
using Xunit;

namespace NodeLock.Tests;

/// <summary>What one fence that hangs or fails means for other nodes, and for the end of its conductor.</summary>
public sealed class FenceRoundsTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly Fence fence = new();
    private readonly StoreWithFaults deadWay;
    private readonly StoreWithFaults fencerWay;
    private readonly TaskManager dead;
    private readonly TaskManager fencer;

    public FenceRoundsTests()
    {
        deadWay = new StoreWithFaults(world.Memory);
        fencerWay = new StoreWithFaults(world.Memory);
        dead = world.NewManager(deadWay, fence: fence);
        fencer = world.NewManager(fencerWay, new NodeLockOptions { LongHoldThreshold = 5 * World.Second }, fence);
    }

    public async ValueTask DisposeAsync()
    {
        fence.Hangs.Clear();
        fence.GoOn.TrySetResult();
        await world.DisposeAsync();
    }

    [Fact]
    public async Task What_a_dead_one_shared_is_free_while_the_fence_of_another_node_fails()
    {
        fence.Fails = true;
        await dead.AcquireAsync(7, "write");
        await World.ReadAsync(dead);
        await KillAsync();
        await world.UntilAsync(() => !fence.Begun.IsEmpty, "the fence");

        await using TaskScope? writer = await world.Manager.TryAcquireAsync(1, "write what was only read");

        Assert.NotNull(writer);
        Assert.Null(await world.Manager.TryAcquireAsync(7, "write what is not fenced"));
    }

    [Fact]
    public async Task One_that_hangs_does_not_keep_the_others_from_being_tried_again_after_an_outage()
    {
        fence.Hangs.Add(7);
        fence.Fails = true;
        await dead.AcquireAsync(7, "write");
        await dead.AcquireAsync(8, "write");
        await KillAsync();
        await world.UntilAsync(() => fence.Begun.Contains(8), "the other's fence");
        fencerWay.BeforeStatement = _ => throw new StoreException("away");
        world.Pass(TimeSpan.FromSeconds(56)); // its trust window closes, its lease does not end
        fencerWay.BeforeStatement = null;
        fence.Fails = false;

        await world.UntilAsync(() => IsFree(8), "the other node is free");
        Assert.Equal(1, fence.Begun.Count(n => n == 7));
    }

    [Fact]
    public async Task More_that_hang_than_may_run_at_once_do_not_hold_up_the_others_for_ever()
    {
        for (int node = 10; node < 30; node++)
        {
            fence.Hangs.Add(node);
            await dead.AcquireAsync(node, "write");
        }

        await dead.AcquireAsync(99, "write");
        await KillAsync();

        await world.UntilAsync(() => IsFree(99), "the node whose fence does not hang");
    }

    [Fact]
    public async Task One_that_is_fencing_does_not_leave_so_that_the_next_fence_begins_when_its_lease_is_over()
    {
        fence.Hangs.Add(7);
        await dead.AcquireAsync(7, "write");
        await KillAsync();
        await world.UntilAsync(() => fence.Begun.Count == 1, "the fence");
        TaskManager second = world.NewManager(fence: fence);
        await using (await second.AcquireAsync(9, "register"))
            world.Pass(TimeSpan.FromSeconds(31));
        string leaving = fencer.Holder;
        DateTimeOffset expires = ExpiresAt(leaving);
        Task end = Task.Run(() => fencer.DisposeAsync().AsTask());
        await world.UntilAsync(() => end.IsCompleted, "the end of the one that is fencing");

        await world.UntilAsync(() => fence.Begun.Count == 2, "the next fence");

        Assert.True(world.StoreTime.GetUtcNow() >= expires, "The second fence began while the first may still run.");
        Assert.Single(world.Log.With(23), line => line.Message.Contains(leaving));
    }

    private async Task KillAsync()
    {
        await using (await fencer.AcquireAsync(1000, "register"))
        {
        }

        World.Cut(deadWay);
    }

    private bool IsFree(NodeId node)
    {
        lock (world.Memory.Sync) return world.Memory.Rows[node].ToReservation() is null;
    }

    private DateTimeOffset ExpiresAt(string holder)
    {
        lock (world.Memory.Sync) return world.Memory.Conductors[holder].ExpiresAt;
    }

    /// <summary>Hangs for some nodes, whatever its token says, and fails for the others as long as it is told to.</summary>
    private sealed class Fence : INodeFence
    {
        public ConcurrentQueue<NodeId> Begun { get; } = [];
        public HashSet<NodeId> Hangs { get; } = [];
        public bool Fails { get; set; }
        public TaskCompletionSource GoOn { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task FenceAsync(NodeToFence node, CancellationToken cancellationToken)
        {
            Begun.Enqueue(node.NodeId);
            if (Hangs.Contains(node.NodeId)) await GoOn.Task;
            else if (Fails) throw new StoreException("the power strip does not answer");
        }
    }
}
