using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>Who waits for a node of another conductor is woken when it is free, long before it would ask again.</summary>
public sealed class WakingTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    // Nobody who is not woken gets the node within the limit of these tests.
    private static readonly LockRetry Rarely = new(3, TimeSpan.FromMinutes(10));
    private static readonly NodeId Node = new("wanted");

    [Fact]
    public async Task By_a_release()
    {
        (TestConductor a, TestConductor b) = await TwoAsync();
        TaskScope held = await a.AcquireOnceAsync(Node);
        Task<TaskScope> waiting = await WaitsAsync(b);

        await held.DisposeAsync();

        await (await waiting.WaitAsync(Patience.Limit)).DisposeAsync();
    }

    [Fact]
    public async Task By_a_break()
    {
        (TestConductor a, TestConductor b) = await TwoAsync();
        TaskScope held = await a.AcquireOnceAsync(Node);
        Task<TaskScope> waiting = await WaitsAsync(b);

        Assert.True(await b.Manager.BreakAsync(Node, held.FencingToken, "it hangs"));

        await (await waiting.WaitAsync(Patience.Limit)).DisposeAsync();
    }

    [Fact]
    public async Task By_the_sweep_after_a_death()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Name = "a" });
        await a.AcquireOnceAsync(Node);
        string dead = a.Holder;
        TestConductor b = await Fleet.StartAsync(
            new ConductorSetup { Name = "b", Options = ConductorSetup.Hurried });
        await ListensAsync(b);
        Task<TaskScope> waiting = await WaitsAsync(b);

        await Fleet.DeclareDeadAsync(dead);

        TaskScope task = await waiting.WaitAsync(Patience.Limit);
        Assert.Equal(b.Holder, await Fleet.HolderOfAsync(Node));
        await task.DisposeAsync();
    }

    [Fact]
    public async Task Again_after_its_connection_was_ended()
    {
        (TestConductor a, TestConductor b) = await TwoAsync();
        await Fleet.ExecuteAsync("""
            select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = 'NodeLock listener' and datname = current_database()
            """);
        await Fleet.UntilAsync("select not exists (select from pg_stat_activity where "
            + "application_name = 'NodeLock listener' and datname = current_database())");
        await ListensAsync(b, connections: 2);
        TaskScope held = await a.AcquireOnceAsync(Node);
        Task<TaskScope> waiting = await WaitsAsync(b);

        await held.DisposeAsync();

        await (await waiting.WaitAsync(Patience.Limit)).DisposeAsync();
    }

    private async Task<(TestConductor A, TestConductor B)> TwoAsync()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Name = "a" });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await ListensAsync(b, connections: 2);
        return (a, b);
    }

    private Task ListensAsync(TestConductor conductor, int connections = 1) => Fleet.UntilAsync(
        "select count(*) >= $1 and $2 <> '' from pg_stat_activity where application_name = 'NodeLock listener' "
        + "and datname = current_database() and state = 'idle' and query like 'listen%'",
        connections, conductor.Holder);

    /// <summary>Somebody who has met the holder, and has said so in the row.</summary>
    private async Task<Task<TaskScope>> WaitsAsync(TestConductor conductor)
    {
        Task<TaskScope> waiting = conductor.Manager.AcquireAsync(
            Node, new AcquireOptions { Purpose = "waits", Retry = Rarely }).AsTask();
        await Fleet.UntilAsync(
            "select reservation_wanted_until > clock_timestamp() from nodelock_nodes where id = $1", Node.ToString());
        Assert.False(waiting.IsCompleted);
        return waiting;
    }
}
