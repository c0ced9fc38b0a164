using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace NodeLock.Tests;

public sealed class TelemetryTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly ConcurrentQueue<Measurement> measurements = [];
    private readonly MeterListener meters = new();
    private readonly ServiceProvider services;
    private readonly TaskManager manager;

    public TelemetryTests()
    {
        services = new ServiceCollection().AddMetrics().AddSingleton<TimeProvider>(world.Time)
            .AddNodeLock().UseRepository(_ => world.Way).Services.BuildServiceProvider();
        IMeterFactory factory = services.GetRequiredService<IMeterFactory>();
        meters.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == "NodeLock" && instrument.Meter.Scope == factory)
                listener.EnableMeasurementEvents(instrument);
        };
        meters.SetMeasurementEventCallback<double>((i, value, tags, _) => Note(i, value, tags));
        meters.SetMeasurementEventCallback<int>((i, value, tags, _) => Note(i, value, tags));
        meters.Start();
        manager = services.GetRequiredService<TaskManager>();
    }

    public async ValueTask DisposeAsync()
    {
        Task end = Task.Run(() => services.DisposeAsync().AsTask());
        await world.UntilAsync(() => end.IsCompleted, "the end of the services");
        await world.DisposeAsync();
        meters.Dispose();
    }

    [Fact]
    public async Task An_acquire_is_measured_with_its_outcome()
    {
        TaskManager other = world.NewManager();
        await using (await other.AcquireAsync(1, "in the way"))
        {
            Task<TaskScope> locked = manager.AcquireAsync(1, "test").AsTask();
            world.Time.Advance(World.Second * 2);
            await Assert.ThrowsAsync<NodeLockedException>(() => locked.WithinLimit());
            await CancelledAsync();
        }

        world.StoreTime.Advance(World.Second * 5); // its own wish is over, for which it would give way
        await using (await manager.AcquireAsync(1, "test")) { }
        world.Way.OnReserve = (_, _) => throw new StoreException("away");
        await Assert.ThrowsAsync<StoreException>(() => manager.AcquireAsync(1, "test").WithinLimit());

        Assert.Equal([("locked", 2), ("cancelled", 0), ("acquired", 0), ("failed", 0)],
            Of("nodelock.acquire.duration").Select(m => (m.Tag("nodelock.outcome"), m.Value)));
        Assert.Equal([("locked", 3), ("cancelled", 1), ("acquired", 1), ("failed", 1)],
            Of("nodelock.acquire.attempts").Select(m => (m.Tag("nodelock.outcome"), m.Value)));

        async Task CancelledAsync()
        {
            using CancellationTokenSource cancellation = new();
            Task<TaskScope> acquire = manager.AcquireAsync(1, "test", cancellation.Token).AsTask();
            await cancellation.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        }
    }

    [Fact]
    public async Task Holds_are_counted_while_they_last_and_measured_when_they_end()
    {
        TaskScope first = await manager.AcquireAsync(1, "test");
        TaskScope second = await manager.AcquireAsync(2, "test");
        Assert.Equal(2, Of("nodelock.held").Sum(m => m.Value));

        world.Time.Advance(World.Second * 3);
        await first.DisposeAsync();
        await first.DisposeAsync();
        Assert.Equal(1, Of("nodelock.held").Sum(m => m.Value));
        world.Time.Advance(World.Second);
        second.Dispose();

        Assert.Equal(0, Of("nodelock.held").Sum(m => m.Value));
        Assert.Equal([3, 4], Of("nodelock.hold.duration").Select(m => m.Value));
    }

    [Fact]
    public async Task Waiters_are_counted_while_they_wait()
    {
        TaskScope held = await manager.AcquireAsync(1, "test");
        Assert.Empty(Of("nodelock.waiting"));
        Task<TaskScope> first = manager.AcquireAsync(1, "test").AsTask();
        Task<TaskScope> second = manager.AcquireAsync(1, "test").AsTask();
        Assert.Equal(2, Of("nodelock.waiting").Sum(m => m.Value));

        await held.DisposeAsync();
        await using TaskScope next = await first.WithinLimit();
        Assert.Equal(1, Of("nodelock.waiting").Sum(m => m.Value));
        world.Time.Advance(World.Second * 2);
        await Assert.ThrowsAsync<NodeLockedException>(() => second.WithinLimit());

        Assert.Equal(0, Of("nodelock.waiting").Sum(m => m.Value));
    }

    [Fact]
    public async Task What_is_lost_and_what_is_taken_over_is_counted()
    {
        StoreWithFaults way = new(world.Memory);
        TaskManager other = world.NewManager(way);
        await using TaskScope theirs = await other.AcquireAsync(1, "test");
        TaskScope ours = await manager.AcquireAsync(2, "test");
        World.Cut(way);
        world.Pass(TimeSpan.FromSeconds(69.9));
        await using TaskScope takenOver = await TakeOverAsync();
        Assert.Equal(1, Of("nodelock.taken_over").Sum(m => m.Value));
        Assert.Empty(Of("nodelock.lost"));

        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(60));

        Assert.Equal(2, Of("nodelock.lost").Sum(m => m.Value));
        await ours.DisposeAsync();

        async Task<TaskScope> TakeOverAsync()
        {
            // Declared dead here, and taken before a sweep does it.
            world.Store.Connect(World.Second).DeclareDead(manager.Holder, DateTimeOffset.MaxValue);
            return await manager.AcquireAsync(1, "take over");
        }
    }

    [Fact]
    public async Task Every_measurement_names_the_kind_and_none_a_node()
    {
        TaskScope task = await manager.AcquireAsync(new NodeId("node-to-hide"), "purpose-to-hide");
        Task<TaskScope> waiting = manager.AcquireAsync(new NodeId("node-to-hide"), "purpose-to-hide").AsTask();
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(60));
        await Assert.ThrowsAsync<NodeLockedException>(() => waiting.WithinLimit());
        await task.DisposeAsync();

        Assert.Equal(["nodelock.acquire.attempts", "nodelock.acquire.duration", "nodelock.held",
            "nodelock.hold.duration", "nodelock.lost", "nodelock.waiting"],
            measurements.Select(m => m.Instrument).Distinct().Order());
        Assert.All(measurements, m => Assert.Equal("memory", m.Tag("nodelock.kind")));
        Assert.All(measurements, m => Assert.DoesNotContain(m.Tags.Values, v => v!.ToString()!.Contains("to-hide")));
    }

    [Fact]
    public async Task An_acquire_is_an_activity_with_the_node_the_outcome_and_the_token()
    {
        ConcurrentQueue<Activity> stopped = [];
        NodeId node = new($"traced {Guid.NewGuid()}");
        using ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == "NodeLock",
            Sample = (ref _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                // Other tests acquire at the same time.
                if (node.ToString().Equals(activity.GetTagItem("nodelock.node"))) stopped.Enqueue(activity);
            },
        };
        ActivitySource.AddActivityListener(listener);

        TaskScope task = await manager.AcquireAsync(node, "power on");
        await Assert.ThrowsAsync<NodeLockedException>(() => manager.AcquireAsync(node,
            new AcquireOptions { Purpose = "power off", Retry = LockRetry.None }).WithinLimit());

        world.Way.OnReserve = (_, _) => throw new StoreException("away");
        await task.DisposeAsync();
        await Assert.ThrowsAsync<StoreException>(() => manager.AcquireAsync(node, "power off").WithinLimit());

        Assert.Equal(3, stopped.Count);
        Assert.Equal((ActivityStatusCode.Error, "away"), (stopped.Last().Status, stopped.Last().StatusDescription));
        Activity acquired = stopped.First();
        Assert.Equal("nodelock.acquire", acquired.OperationName);
        Assert.Equal(("power on", "memory", "acquired", 1, task.FencingToken), (acquired.GetTagItem("nodelock.purpose"),
            acquired.GetTagItem("nodelock.kind"), acquired.GetTagItem("nodelock.outcome"),
            acquired.GetTagItem("nodelock.attempts"), acquired.GetTagItem("nodelock.token")));
        Assert.Equal(("locked", null), (stopped.ElementAt(1).GetTagItem("nodelock.outcome"),
            stopped.ElementAt(1).GetTagItem("nodelock.token")));
    }

    private void Note(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        measurements.Enqueue(new Measurement(instrument.Name, value, new Dictionary<string, object?>(tags.ToArray())));

    private List<Measurement> Of(string instrument) => [.. measurements.Where(m => m.Instrument == instrument)];

    private sealed record Measurement(string Instrument, double Value, Dictionary<string, object?> Tags)
    {
        public string? Tag(string name) => Tags.GetValueOrDefault(name) as string;
    }
}
