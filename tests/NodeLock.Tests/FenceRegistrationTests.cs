using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace NodeLock.Tests;

/// <summary>A fence that comes from the container.</summary>
public sealed class FenceRegistrationTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Theory]
    [InlineData(null)]
    [InlineData("images")]
    public void A_second_fence_is_refused(string? key)
    {
        ServiceCollection services = new();
        NodeLockBuilder builder = (key is null ? services.AddNodeLock() : services.AddKeyedNodeLock(key))
            .AddFence<ScopedFenceOfATest>();

        string message = Assert.Throws<InvalidOperationException>(
            () => builder.AddFence<ScopedFenceOfATest>()).Message;

        Assert.Contains("has a fence already", message);
        Assert.Contains(key ?? "NodeLock", message);
    }

    [Fact]
    public async Task It_is_made_in_a_scope_of_its_own_for_each_node_and_disposed_with_it()
    {
        StoreWithFaults way = new(world.Memory);
        TaskManager dead = world.NewManager(way, fence: new FenceOfATest());
        ServiceCollection services = new();
        services.AddSingleton<TimeProvider>(world.Time).AddSingleton<Fences>().AddScoped<PowerStrip>();
        services.AddNodeLock().UseRepository(_ => new StoreWithFaults(world.Memory)).AddFence<ScopedFenceOfATest>();
        await using ServiceProvider provider = services.BuildServiceProvider(validateScopes: true);
        TaskManager fencer = provider.GetRequiredService<TaskManager>();
        await using (await fencer.AcquireAsync(9, "to be alive")) { }
        Assert.True(world.Memory.Conductors[fencer.Holder].RequiresFence);
        TaskScope[] held = [await dead.AcquireAsync(1, "one"), await dead.AcquireAsync(2, "two")];
        World.Cut(way);

        world.Pass(TimeSpan.FromSeconds(75));
        await world.UntilAsync(() => world.IsAllFree, "both are fenced");

        Fences fences = provider.GetRequiredService<Fences>();
        Assert.Equal<NodeId>([1, 2], fences.Fenced.Keys.OrderBy(n => n.ToString(), StringComparer.Ordinal));
        Assert.Equal(2, fences.Fenced.Values.Distinct().Count());
        await Eventually.TrueAsync(() => fences.Fenced.Values.All(strip => strip.IsDisposed), "their scopes end");
        foreach (TaskScope scope in held) await scope.DisposeAsync();
        Task end = Task.Run(() => fencer.DisposeAsync().AsTask());
        await world.UntilAsync(() => end.IsCompleted, "the end");
    }

    [Fact]
    public async Task Kinds_have_fences_of_their_own()
    {
        ServiceCollection services = new();
        services.AddNodeLock().UseRepository(_ => world.Memory);
        services.AddKeyedNodeLock("images").UseRepository(_ => world.Memory).AddFence<ScopedFenceOfATest>();
        services.AddSingleton<TimeProvider>(world.Time);
        await using ServiceProvider provider = services.BuildServiceProvider();
        TaskManager plain = provider.GetRequiredService<TaskManager>();
        TaskManager images = provider.GetRequiredKeyedService<TaskManager>("images");
        await using (await plain.AcquireAsync(1, "start")) { }
        await using (await images.AcquireAsync(1, "start")) { }

        Assert.False(world.Memory.Conductors[plain.Holder].RequiresFence);
        Assert.True(world.Memory.Conductors[images.Holder].RequiresFence);
    }

    private sealed class Fences
    {
        public ConcurrentDictionary<NodeId, PowerStrip> Fenced { get; } = [];
    }

    private sealed class PowerStrip : IDisposable
    {
        public bool IsDisposed { get; private set; }

        public void Dispose() => IsDisposed = true;
    }

    private sealed class ScopedFenceOfATest(Fences fences, PowerStrip strip) : INodeFence
    {
        public Task FenceAsync(NodeToFence node, CancellationToken cancellationToken)
        {
            Assert.False(strip.IsDisposed);
            fences.Fenced[node.NodeId] = strip;
            return Task.CompletedTask;
        }
    }
}
