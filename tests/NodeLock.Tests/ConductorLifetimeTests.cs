using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Xunit;

namespace NodeLock.Tests;

/// <summary>The conductor's start and end with the real generic host.</summary>
public sealed class ConductorLifetimeTests : IAsyncDisposable
{
    private readonly ManualTime time = new();
    private readonly LogLines log = new();
    private readonly InMemoryNodeLockRepository store;
    private readonly StoreWithFaults way;
    private readonly IHost host;
    private readonly TaskManager manager;

    public ConductorLifetimeTests()
    {
        store = new InMemoryNodeLockRepository(time);
        way = new StoreWithFaults(store);
        host = NewHost(_ => { });
        manager = host.Services.GetRequiredService<TaskManager>();
    }

    private bool IsAlive => store.Conductors[manager.Holder].IsAlive;

    public ValueTask DisposeAsync()
    {
        host.Dispose();
        return default;
    }

    [Fact]
    public async Task The_conductor_starts_with_the_host()
    {
        await host.StartAsync();

        Assert.True(IsAlive);
        Assert.Contains(manager.Holder, Assert.Single(log.With(20)).Message);
        Assert.Empty(way.Requests);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_store_that_is_away_does_not_keep_the_host_from_starting()
    {
        way.BeforeStatement = _ => throw new StoreException("away");

        await host.StartAsync();

        Assert.Single(log.With(30));
        await Assert.ThrowsAsync<StoreException>(() => manager.AcquireAsync(1, "test").WithinLimit());
        way.BeforeStatement = null;
        time.Advance(World.Second);
        await using (await manager.AcquireAsync(1, "test")) { }
        Assert.Single(log.With(31));
        await host.StopAsync();
    }

    [Fact]
    public async Task An_idle_conductor_leaves_at_once()
    {
        await host.StartAsync();

        await host.StopAsync().WithinLimit();

        Assert.False(IsAlive);
        Assert.Single(log.With(21));
    }

    [Fact]
    public async Task While_the_host_stops_new_acquires_and_waiters_are_sent_away_and_what_runs_goes_on()
    {
        await host.StartAsync();
        TaskScope running = await manager.AcquireAsync(1, "running");
        Task<TaskScope> first = manager.AcquireAsync(1, "waiting").AsTask();
        Task<TaskScope> second = manager.AcquireAsync(1, "waiting").AsTask();

        Task stop = host.StopAsync();

        await Assert.ThrowsAsync<ConductorStoppingException>(() => first.WithinLimit());
        await Assert.ThrowsAsync<ConductorStoppingException>(() => second.WithinLimit());
        await Assert.ThrowsAsync<ConductorStoppingException>(() => manager.AcquireAsync(2, "new").WithinLimit());
        await Assert.ThrowsAsync<ConductorStoppingException>(() => manager.TryAcquireAsync(2, "new").WithinLimit());
        time.Advance(TimeSpan.FromSeconds(120));
        running.EnsureHeld();
        Assert.False(running.Lost.IsCancellationRequested);
        Assert.False(stop.IsCompleted);

        await running.DisposeAsync();

        await stop.WithinLimit();
        Assert.False(IsAlive);
        Assert.False(running.Lost.IsCancellationRequested);
        Assert.Empty(log.With(23));
    }

    [Fact]
    public async Task A_conductor_with_work_running_at_the_end_of_the_hosts_time_loses_it_and_does_not_leave()
    {
        using CancellationTokenSource hostsTime = new();
        await host.StartAsync();
        TaskScope running = await manager.AcquireAsync(1, "running");
        Task stop = host.StopAsync(hostsTime.Token);
        Assert.False(running.Lost.IsCancellationRequested);

        await hostsTime.CancelAsync();
        await stop.WithinLimit();

        Assert.True(running.Lost.IsCancellationRequested);
        Assert.Throws<ReservationLostException>(running.EnsureHeld);
        Assert.True(IsAlive);
        Assert.NotNull(await ((INodeLockRepository)store).FindAsync(1, default));
        DateTimeOffset lease = store.Conductors[manager.Holder].ExpiresAt;
        time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(lease, store.Conductors[manager.Holder].ExpiresAt);
        await running.DisposeAsync();
    }

    [Fact]
    public async Task Work_of_a_hosted_service_that_ends_when_told_is_released_before_the_conductor_leaves()
    {
        // Registered before the conductor, so stopped after it would be if that were a plain hosted service.
        using IHost busy = NewHost(services => services.AddHostedService<Worker>());
        await busy.StartAsync();
        Worker worker = busy.Services.GetServices<IHostedService>().OfType<Worker>().Single();
        await worker.Holds.WithinLimit();

        await busy.StopAsync().WithinLimit();

        Assert.True(worker.HeldToTheEnd);
        Assert.False(Assert.Single(store.Conductors).Value.IsAlive);
        Assert.Empty(Assert.Single(store.Rows).Value.Names);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_end_of_the_last_use_is_told_when_its_release_is_under_way(bool synchronously)
    {
        await host.StartAsync();
        TaskScope task = await manager.AcquireAsync(1, "test");
        Task drain = manager.DrainAsync(CancellationToken.None);
        bool toldBefore = false;
        way.OnRelease = (_, carryOut) =>
        {
            // A wait that is over at once where the fault is, and bounded where it is not.
            toldBefore = SpinWait.SpinUntil(() => drain.IsCompleted, TimeSpan.FromMilliseconds(50));
            return carryOut();
        };

        if (synchronously) task.Dispose();
        else await task.DisposeAsync();

        Assert.False(toldBefore);
        await drain.WithinLimit();
        await host.StopAsync();
    }

    [Fact]
    public async Task What_a_lost_reply_left_is_given_back_before_the_conductor_leaves()
    {
        await host.StartAsync();
        way.OnReserve = async (_, carryOut) =>
        {
            await carryOut();
            throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => manager.AcquireAsync(1, "test").WithinLimit());

        await host.StopAsync().WithinLimit();

        Assert.False(IsAlive);
        Assert.Null(await ((INodeLockRepository)store).FindAsync(1, default));
    }

    [Fact]
    public async Task A_host_that_never_started_ends_without_an_entry_in_the_store()
    {
        host.Dispose();

        Assert.Empty(store.Conductors);
        await Assert.ThrowsAsync<ConductorStoppingException>(() => manager.AcquireAsync(1, "test").WithinLimit());
    }

    private IHost NewHost(Action<IServiceCollection> configure)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton<TimeProvider>(time).AddSingleton<ILoggerFactory>(log);
        configure(builder.Services);
        builder.Services.AddNodeLock().UseRepository(_ => way);
        return builder.Build();
    }

    private sealed class Worker(TaskManager manager) : BackgroundService
    {
        private readonly TaskCompletionSource holds = new();

        public Task Holds => holds.Task;

        public bool HeldToTheEnd { get; private set; }

        protected override async Task ExecuteAsync(CancellationToken stoppingToken)
        {
            await using TaskScope task = await manager.AcquireAsync(99, "background work", stoppingToken);
            holds.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, stoppingToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            task.EnsureHeld();
            HeldToTheEnd = true;
        }
    }
}
