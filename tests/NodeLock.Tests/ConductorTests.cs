using Microsoft.Extensions.Logging;
using Xunit;

namespace NodeLock.Tests;

public sealed class ConductorTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task The_conductor_starts_on_first_use_where_there_is_no_host()
    {
        Assert.Empty(world.Log.All);
        Assert.Empty(world.Memory.Conductors);

        await using TaskScope task = await world.Manager.AcquireAsync(1, "test");

        LogLine line = Assert.Single(world.Log.With(20));
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Contains(world.Manager.Holder, line.Message);
        Assert.Equal(world.Manager.Holder, Assert.Single(world.Memory.Conductors).Key);
    }

    [Fact]
    public void A_holder_is_the_name_and_128_random_bits()
    {
        NodeLockOptions options = new() { ConductorName = "rack-7" };
        string[] holders = [.. Enumerable.Range(0, 100).Select(_ => world.NewManager(options: options).Holder)];

        Assert.All(holders, h => Assert.Matches("^rack-7/[0-9a-f]{32}$", h));
        Assert.Equal(100, holders.Distinct().Count());
    }

    [Fact]
    public async Task While_the_store_is_away_an_acquire_fails_with_its_own_exception_and_one_warning_tells()
    {
        StoreException away = new("no route to host");
        world.Way.BeforeStatement = _ => throw away;

        Assert.Same(away, await Assert.ThrowsAsync<StoreException>(AcquireAsync));
        world.Pass(TimeSpan.FromSeconds(100));
        Assert.Same(away, await Assert.ThrowsAsync<StoreException>(AcquireAsync));
        LogLine line = Assert.Single(world.Log.With(30));
        Assert.Equal(LogLevel.Warning, line.Level);
        Assert.Same(away, line.Exception);
        Assert.Contains("memory", line.Message);

        world.Way.BeforeStatement = null;
        await using (await world.Manager.AcquireAsync(1, "test")) { }
        Assert.Equal(LogLevel.Information, Assert.Single(world.Log.With(31)).Level);

        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(20));
        Assert.Equal(2, world.Log.With(30).Count);

        Task<TaskScope> AcquireAsync() => world.Manager.AcquireAsync(1, "test").WithinLimit();
    }

    [Fact]
    public async Task A_store_that_is_not_set_up_is_an_error_in_the_log_once_and_for_every_acquire()
    {
        world.Way.BeforeStatement = _ => throw new InvalidOperationException("There is no table; create it.");

        for (int i = 0; i < 3; i++)
        {
            Assert.Contains("create it", (await Assert.ThrowsAsync<InvalidOperationException>(
                () => world.Manager.AcquireAsync(1, "test").WithinLimit())).Message);
        }

        LogLine line = Assert.Single(world.Log.With(32));
        Assert.Equal(LogLevel.Error, line.Level);
        Assert.Contains("There is no table; create it.", line.Message);
    }

    [Fact]
    public async Task A_registration_that_was_not_answered_is_given_up_and_a_new_holder_drawn()
    {
        string first = world.Manager.Holder;
        world.Way.BeforeStatement = statement =>
        {
            if (statement == "Register") throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => world.Manager.AcquireAsync(1, "test").WithinLimit());
        world.Way.BeforeStatement = null;

        await using TaskScope task = await world.Manager.AcquireAsync(1, "test");

        Assert.NotEqual(first, world.Manager.Holder);
        Assert.False(world.Memory.Conductors.ContainsKey(first));
    }

    [Fact]
    public async Task A_lease_that_is_over_at_the_store_is_renewed_for_whoever_asks()
    {
        await using (await world.Manager.AcquireAsync(1, "test")) { }
        string holder = world.Manager.Holder;
        world.StoreTime.Advance(TimeSpan.FromSeconds(61));

        await using TaskScope task = await world.Manager.AcquireAsync(1, "test");

        Assert.Equal(holder, world.Manager.Holder);
        task.EnsureHeld();
    }

    [Fact]
    public async Task A_store_that_contradicts_itself_is_not_asked_for_ever()
    {
        world.Way.OnReserve = (_, _) => new(new ReserveAnswer.ConductorNotAlive());

        InvalidOperationException e = await Assert.ThrowsAsync<InvalidOperationException>(
            () => world.Manager.AcquireAsync(1, "test").WithinLimit());

        Assert.Contains("keeps answering ConductorNotAlive", e.Message);
        Assert.Equal(4, world.Way.Requests.Count);
    }

    [Fact]
    public async Task A_conductor_declared_dead_loses_its_scopes_and_starts_over_under_a_new_holder()
    {
        TaskManager other = world.NewManager();
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        Task<TaskScope> behind = world.Manager.AcquireAsync(1,
            new AcquireOptions { Purpose = "behind", Retry = LockRetry.Patient }).AsTask();
        string dead = world.Manager.Holder;
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(75));
        Assert.Contains(dead, Assert.Single(world.Log.With(40)).Message);

        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(2));

        Assert.NotEqual(dead, world.Manager.Holder);
        LogLine line = Assert.Single(world.Log.With(22));
        Assert.Contains(dead, line.Message);
        Assert.Contains(world.Manager.Holder, line.Message);
        Assert.True(task.Lost.IsCancellationRequested);
        await using TaskScope next = await behind.WithinLimit();
        next.EnsureHeld();
        Assert.Equal([world.Manager.Holder], (await world.FindAsync(1))?.Holders);

        await task.DisposeAsync();
        Assert.Equal(next.FencingToken, (await world.FindAsync(1))?.FencingToken);
        Assert.Throws<ObjectDisposedException>(task.EnsureHeld);
    }

    [Fact]
    public async Task A_conductor_whose_entry_is_gone_starts_over_at_once()
    {
        TaskScope task = await world.Manager.AcquireAsync(1, "test");
        string erased = world.Manager.Holder;
        world.Memory.Conductors.Remove(erased);

        world.Pass(TimeSpan.FromSeconds(10));

        Assert.True(task.Lost.IsCancellationRequested);
        Assert.Contains("declared dead", Assert.Single(world.Log.With(4)).Message);
        Assert.NotEqual(erased, world.Manager.Holder);
        await task.DisposeAsync();
        await using TaskScope next = await world.Manager.AcquireAsync(2, "under the new holder");
        next.EnsureHeld();
    }

    [Fact]
    public async Task A_node_held_for_long_is_warned_about_once()
    {
        await using TaskScope task = await world.Manager.AcquireAsync(1, "firmware");

        world.Pass(TimeSpan.FromMinutes(5));
        Assert.Empty(world.Log.With(7));
        world.Pass(TimeSpan.FromMinutes(2));

        LogLine line = Assert.Single(world.Log.With(7));
        Assert.Equal(LogLevel.Warning, line.Level);
        Assert.Contains("Node 1 has been held for \"firmware\"", line.Message);
    }

    [Fact]
    public async Task A_long_wait_is_warned_about_once()
    {
        using CancellationTokenSource cancellation = new();
        await using TaskScope held = await world.Manager.AcquireAsync(1, "firmware");
        Task<TaskScope> waiting = world.Manager.AcquireAsync(1,
            new AcquireOptions { Purpose = "power on", Retry = new LockRetry(100, TimeSpan.FromSeconds(7)) },
            cancellation.Token).AsTask();

        world.Time.Advance(TimeSpan.FromSeconds(10) - World.Tick);
        Assert.Empty(world.Log.With(8));
        world.Time.Advance(World.Tick);

        LogLine line = Assert.Single(world.Log.With(8));
        Assert.Equal(LogLevel.Warning, line.Level);
        Assert.Contains("node 1 for \"power on\" after 10.0 s", line.Message);
        Assert.Contains("for \"firmware\"", line.Message);
        world.Time.Advance(TimeSpan.FromSeconds(40));
        Assert.Single(world.Log.With(8));
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WithinLimit());
    }

    [Fact]
    public async Task A_dispose_during_a_heartbeat_waits_for_it_and_ends()
    {
        await using (await world.Manager.AcquireAsync(1, "test")) { }
        using ManualResetEventSlim beats = new();
        using ManualResetEventSlim goOn = new();
        world.Way.OnRenew = renew =>
        {
            beats.Set();
            goOn.Wait(Eventually.Limit);
            return renew();
        };
        Task heartbeat = Task.Run(() => world.Time.Advance(TimeSpan.FromSeconds(10)));
        Assert.True(beats.Wait(Eventually.Limit));
        Task dispose = Task.Run(() => world.Manager.DisposeAsync().AsTask());
        await Eventually.TrueAsync(() => IsStopping(world.Manager), "the conductor is stopping");

        goOn.Set();

        await dispose.WithinLimit();
        await heartbeat.WithinLimit();
        Assert.Single(world.Log.With(21));
    }

    private static bool IsStopping(TaskManager manager) =>
        manager.TryAcquireAsync(9, "to see").AsTask().Exception?.InnerException is ConductorStoppingException;
}
