using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Xunit;

namespace NodeLock.Tests;

public sealed class LiveOptionsTests : IAsyncDisposable
{
    private readonly IConfigurationRoot configuration;
    private readonly ServiceProvider services;
    private readonly ManualTime time = new();
    private readonly LogLines log = new();
    private readonly TaskManager manager;

    public LiveOptionsTests()
    {
        configuration = new ConfigurationBuilder().AddInMemoryCollection(
            [new("NodeLock:NodeLockedRetryAttempts", "1"), new("NodeLock:ConductorName", "first")]).Build();
        services = new ServiceCollection().AddSingleton<TimeProvider>(time).AddSingleton<ILoggerFactory>(log)
            .AddNodeLock(configuration.GetSection("NodeLock")).UseInMemory().Services.BuildServiceProvider();
        manager = services.GetRequiredService<TaskManager>();
    }

    public ValueTask DisposeAsync() => services.DisposeAsync();

    [Fact]
    public async Task An_edited_retry_takes_effect_at_the_next_acquire()
    {
        await using TaskScope held = await manager.AcquireAsync(1, "in the way");
        Assert.Equal(1, await AttemptsAsync());

        Edit("NodeLockedRetryAttempts", "2");

        Assert.Equal(2, await AttemptsAsync());
        Assert.Empty(log.With(50));
    }

    [Fact]
    public async Task An_acquire_that_waits_already_keeps_what_it_began_with()
    {
        Edit("NodeLockedRetryAttempts", "2");
        await using TaskScope held = await manager.AcquireAsync(1, "in the way");
        Task<TaskScope> waiting = manager.AcquireAsync(1, "test").AsTask();

        Edit("NodeLockedRetryAttempts", "9");
        time.Advance(World.Second);

        Assert.Equal(2, (await Assert.ThrowsAsync<NodeLockedException>(() => waiting.WithinLimit())).Attempts);
    }

    [Theory]
    [InlineData("NodeLockedRetryAttempts", "0", "2")]
    [InlineData("NodeLockedRetryAttempts", "often", "2")]
    [InlineData("LeaseDuration", "00:00:20", "00:01:00")]
    [InlineData("NodeLockedRetryInterval", "soon", "00:00:01")]
    public async Task A_bad_value_is_refused_and_logged_once_and_the_last_good_ones_stay(string setting, string value,
        string good)
    {
        await using TaskScope held = await manager.AcquireAsync(1, "in the way");
        Edit("NodeLockedRetryAttempts", "2");

        Edit(setting, value);
        configuration.Reload(); // one edit of a file may be announced twice

        Assert.Equal(2, await AttemptsAsync());
        Assert.Equal(2, await AttemptsAsync());
        LogLine line = Assert.Single(log.With(50));
        Assert.Equal(LogLevel.Error, line.Level);
        Assert.Contains(setting, line.Message);

        configuration[$"NodeLock:{setting}"] = good;
        Edit("NodeLockedRetryAttempts", "3");
        Assert.Equal(3, await AttemptsAsync());
        Assert.Single(log.With(50));
    }

    [Fact]
    public void The_name_of_the_conductor_holds_until_restart()
    {
        Assert.StartsWith("first/", manager.Holder);

        Edit("ConductorName", "second");

        Assert.StartsWith("first/", manager.Holder);
    }

    [Fact]
    public async Task The_release_timeout_holds_until_restart()
    {
        StoreWithFaults way = new(new InMemoryNodeLockRepository(time));
        await using ServiceProvider own = new ServiceCollection().AddSingleton<TimeProvider>(time)
            .AddNodeLock(configuration.GetSection("NodeLock")).UseRepository(_ => way).Services.BuildServiceProvider();
        TaskScope task = await own.GetRequiredService<TaskManager>().AcquireAsync(1, "test");
        TaskCompletionSource released = new();
        way.OnRelease = (_, _) => new(released.Task);

        Edit("ReleaseTimeout", "00:00:01");
        Task dispose = task.DisposeAsync().AsTask();
        time.Advance(TimeSpan.FromSeconds(5) - World.Tick);
        Assert.False(dispose.IsCompleted);
        time.Advance(World.Tick);

        await dispose.WithinLimit();
        released.SetResult();
    }

    [Fact]
    public async Task After_the_end_the_configuration_is_followed_no_more()
    {
        await manager.DisposeAsync();

        Edit("NodeLockedRetryAttempts", "0");

        Assert.Empty(log.With(50));
    }

    [Fact]
    public async Task A_keyed_registration_follows_its_own_section()
    {
        await using ServiceProvider both = new ServiceCollection().AddSingleton<TimeProvider>(time)
            .AddNodeLock(configuration.GetSection("NodeLock")).UseInMemory().Services
            .AddKeyedNodeLock("images", configuration.GetSection("Images")).UseInMemory().Services
            .BuildServiceProvider();
        TaskManager images = both.GetRequiredKeyedService<TaskManager>("images");
        await using TaskScope held = await images.AcquireAsync(1, "in the way");

        configuration["Images:NodeLockedRetryAttempts"] = "1";
        Edit("NodeLockedRetryAttempts", "7");

        Assert.Equal(1, (await Assert.ThrowsAsync<NodeLockedException>(
            () => images.AcquireAsync(1, "test").WithinLimit())).Attempts);
    }

    private void Edit(string setting, string value)
    {
        configuration[$"NodeLock:{setting}"] = value;
        configuration.Reload();
    }

    private async Task<int> AttemptsAsync()
    {
        Task<TaskScope> acquire = manager.AcquireAsync(1, "test").AsTask();
        time.Advance(TimeSpan.FromSeconds(10));
        return (await Assert.ThrowsAsync<NodeLockedException>(() => acquire.WithinLimit())).Attempts;
    }
}
