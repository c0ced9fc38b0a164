using Xunit;

namespace NodeLock.Tests;

/// <summary>What living conductors do about the dead, and when not yet.</summary>
public sealed class HousekeepingTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_node_of_a_dead_conductor_is_taken_over_within_a_lease_and_a_heartbeat()
    {
        TaskManager other = world.NewManager();
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        TaskScope dead = await world.Manager.AcquireAsync(1, "test");
        world.Pass(TimeSpan.FromSeconds(30));
        World.Cut(world.Way);
        DateTimeOffset cutAt = world.Time.GetUtcNow();
        Task<TaskScope> acquire = other.AcquireAsync(1,
            new AcquireOptions { Purpose = "take over", Retry = LockRetry.Patient }).AsTask();

        while (!acquire.IsCompleted && world.Time.GetUtcNow() < cutAt.AddMinutes(5)) world.Pass(World.Second / 10);

        await using TaskScope task = await acquire.WithinLimit();
        TimeSpan took = world.Time.GetUtcNow() - cutAt;
        Assert.InRange(took, TimeSpan.FromSeconds(50), TimeSpan.FromSeconds(60 + 10 + 2));
        Assert.True(task.FencingToken > dead.FencingToken);
        Assert.True(dead.Lost.IsCancellationRequested);
        Assert.Single(world.Log.With(40));
        await dead.DisposeAsync();
        Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task Nobody_is_declared_dead_before_the_third_renewal()
    {
        await using TaskScope held = await world.Manager.AcquireAsync(1, "test");
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(70));
        List<string> statements = [];
        StoreWithFaults way = new(world.Memory) { BeforeStatement = statements.Add };
        TaskManager late = world.NewManager(way);
        Assert.Null(await late.TryAcquireAsync(1, "too early"));

        world.Pass(TimeSpan.FromSeconds(60));

        int declared = statements.IndexOf("DeclareDead");
        Assert.Equal(3, statements.Take(declared).Count(s => s == "Renew"));
        Assert.Single(world.Log.With(40));
        await using TaskScope? task = await late.TryAcquireAsync(1, "now");
        Assert.NotNull(task);
    }

    [Fact]
    public async Task After_a_jump_of_the_stores_clock_the_living_have_the_time_to_renew()
    {
        StoreWithFaults way = new(world.Memory);
        TaskManager other = world.NewManager(way);
        await using TaskScope held = await world.Manager.AcquireAsync(1, "test");
        await using TaskScope elsewhere = await other.AcquireAsync(2, "test");
        world.Pass(TimeSpan.FromSeconds(60));
        List<string> statements = [];
        way.BeforeStatement = statements.Add;

        world.StoreTime.Advance(TimeSpan.FromSeconds(70));
        world.Pass(TimeSpan.FromSeconds(45));

        Assert.Equal(3, statements.Take(statements.IndexOf("DeclareDead")).Count(s => s == "Renew"));
        Assert.Equal(2, world.Log.With(43).Count);
        Assert.Empty(world.Log.With(40));
        held.EnsureHeld();
        elsewhere.EnsureHeld();
    }

    [Fact]
    public async Task After_an_outage_longer_than_a_lease_the_living_have_the_time_to_renew()
    {
        StoreWithFaults way = new(world.Memory);
        TaskManager other = world.NewManager(way);
        await using (await world.Manager.AcquireAsync(1, "test")) { }
        await using (await other.AcquireAsync(2, "test")) { }
        world.Pass(TimeSpan.FromSeconds(60));
        string[] before = [world.Manager.Holder, other.Holder];
        World.Cut(world.Way);
        World.Cut(way);
        world.Pass(TimeSpan.FromSeconds(100));

        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(15));
        way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(60));

        Assert.Empty(world.Log.With(40));
        Assert.Equal((before[0], before[1]), (world.Manager.Holder, other.Holder));
    }

    [Fact]
    public async Task A_store_clock_that_runs_a_little_ahead_is_no_jump()
    {
        await using TaskScope held = await world.Manager.AcquireAsync(1, "test");
        for (int i = 0; i < 10; i++)
        {
            world.StoreTime.Advance(TimeSpan.FromSeconds(2.9));
            world.Pass(TimeSpan.FromSeconds(10));
        }

        Assert.Empty(world.Log.With(43));
    }

    [Fact]
    public async Task More_nodes_than_a_batch_are_freed_in_one_go()
    {
        await KillAHolderOfAsync(1200);

        Assert.Equal(0, await CountReservedAsync());
        Assert.Contains("Freed 1200 nodes", Assert.Single(world.Log.With(41)).Message);
    }

    [Fact]
    public async Task A_stranger_is_buried_after_a_whole_lease_and_not_before()
    {
        await using TaskScope held = await world.Manager.AcquireAsync(1, "test");
        TaskManager other = world.NewManager();
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        World.Cut(world.Way);
        world.Memory.Conductors.Remove(world.Manager.Holder);

        world.Pass(TimeSpan.FromSeconds(75));
        Assert.Empty(world.Log.With(42));
        Assert.NotNull(await world.FindAsync(1));

        world.Pass(TimeSpan.FromSeconds(120));
        Assert.Contains(world.Manager.Holder, Assert.Single(world.Log.With(42)).Message);
        Assert.Null(await world.FindAsync(1));
        elsewhere.EnsureHeld();
    }

    [Fact]
    public async Task A_stranger_whose_entry_appears_is_left_alone()
    {
        await using TaskScope held = await world.Manager.AcquireAsync(1, "test");
        TaskManager other = world.NewManager();
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        world.Way.OnRenew = _ => world.Store.Connect(World.Second).Renew(other.Holder, TimeSpan.FromSeconds(60));
        InMemoryConductor entry = world.Memory.Conductors[world.Manager.Holder];
        world.Memory.Conductors.Remove(world.Manager.Holder);
        world.Pass(TimeSpan.FromSeconds(50));

        world.Way.OnRenew = null;
        world.Memory.Conductors.Add(world.Manager.Holder, entry);
        entry.ExpiresAt = world.StoreTime.GetUtcNow().AddSeconds(60);
        world.Pass(TimeSpan.FromSeconds(300));

        Assert.Empty(world.Log.With(42));
        held.EnsureHeld();
        Assert.NotNull(await world.FindAsync(1));
    }

    [Fact]
    public async Task Entries_are_forgotten_a_week_after_their_lease()
    {
        await KillAHolderOfAsync(1);
        string dead = world.Manager.Holder;
        Assert.True(world.Memory.Conductors.ContainsKey(dead));

        world.StoreTime.Advance(TimeSpan.FromDays(7));
        world.Pass(TimeSpan.FromSeconds(120));

        Assert.False(world.Memory.Conductors.ContainsKey(dead));
    }

    [Fact]
    public async Task A_failure_of_the_look_after_the_renewal_loses_nothing_and_is_repeated()
    {
        await using TaskScope held = await world.Manager.AcquireAsync(1, "test");
        world.Way.BeforeStatement = statement =>
        {
            if (statement == "FindReservedBy") throw new StoreException("away");
        };

        world.Pass(TimeSpan.FromSeconds(120));

        held.EnsureHeld();
        Assert.NotEmpty(world.Log.With(34));
        Assert.Empty(world.Log.With(30));
    }

    private async Task KillAHolderOfAsync(int nodes)
    {
        TaskManager other = world.NewManager();
        await using (await other.AcquireAsync(0, "to be alive")) { }
        List<TaskScope> held = [];
        for (int node = 1; node <= nodes; node++) held.Add(await world.Manager.AcquireAsync(node, "test"));
        World.Cut(world.Way);
        Assert.Equal(nodes, await CountReservedAsync());

        world.Pass(TimeSpan.FromSeconds(75));

        foreach (TaskScope scope in held) await scope.DisposeAsync();
    }

    private async Task<int> CountReservedAsync() => (await world.Store.ListAsync(default)).Count;
}
