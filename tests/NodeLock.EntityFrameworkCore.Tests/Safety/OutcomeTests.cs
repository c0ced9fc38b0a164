using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P23: "taken", "database away", "lost", "no such node" and "cancelled" are different answers.</summary>
public sealed class OutcomeTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("outcome");

    [Fact]
    public async Task A_node_that_another_conductor_holds_is_locked_and_says_by_whom()
    {
        TestConductor a = await Fleet.StartAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope task = await b.AcquireOnceAsync(Node, "power on");

        NodeLockedException locked =
            await Assert.ThrowsAsync<NodeLockedException>(() => a.AcquireOnceAsync(Node, "power off"));

        Assert.Equal((Node, "power off", b.Holder, "power on", task.ReservedAt, task.FencingToken, false, 1),
            (locked.NodeId, locked.Purpose, locked.Holder, locked.HolderPurpose, locked.Since,
                locked.HolderFencingToken, locked.IsHeldByThisProcess, locked.Attempts));
        Assert.Null(await a.Manager.TryAcquireAsync(Node, "power off"));
    }

    [Fact]
    public async Task A_session_that_is_killed_under_a_reserve_is_the_databases_own_error()
    {
        TestConductor a = await Fleet.StartAsync();
        await Fleet.AddNodeAsync(Node);
        await using HeldUpGrants held = await HeldUpGrants.BeginAsync(Fleet, "killed");
        Task<TaskScope> acquire = a.AcquireOnceAsync(Node, "killed");
        await HeldUpGrants.ReachedAsync(Fleet);

        await Fleet.ExecuteAsync("""
            select pg_terminate_backend(pid) from pg_stat_activity
            where wait_event = 'advisory' and datname = current_database()
            """);

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => acquire);
        Assert.Empty(await Fleet.ChangesOfAsync(Node));
    }

    [Fact]
    public async Task A_store_that_does_not_answer_is_a_timeout()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(new ConductorSetup
        {
            Options = o => o.HeartbeatInterval = TimeSpan.FromSeconds(1),
        });
        await Fleet.AddNodeAsync(Node);
        using HeldRequests held = Fleet.Proxy.HoldRequests(r => r.IsReserveOf(Node));

        TimeoutException timeout = await Assert.ThrowsAsync<TimeoutException>(() => a.AcquireOnceAsync(Node));

        Assert.Contains($"node {Node}", timeout.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("declared dead")]
    [InlineData("taken away")]
    public async Task A_node_that_was_lost_says_so(string how)
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        await using TaskScope task = await a.AcquireOnceAsync(Node, "power on");

        if (how == "declared dead") await Fleet.DeclareDeadAsync(a.Holder);
        else await Fleet.ExecuteAsync("update nodelock_nodes set reservation = null, reservation_token = 900");
        await task.Lost.FiredAsync();

        ReservationLostException lost = Assert.Throws<ReservationLostException>(task.EnsureHeld);
        Assert.Equal((Node, "power on", task.FencingToken), (lost.NodeId, lost.Purpose, lost.FencingToken));
        Assert.Contains(how, lost.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_does_not_exist_is_not_found_and_nothing_is_written()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { NodesAreMachines = true });

        NodeNotFoundException missing =
            await Assert.ThrowsAsync<NodeNotFoundException>(() => a.AcquireOnceAsync(4711));
        await Assert.ThrowsAsync<NodeNotFoundException>(async () => await a.Manager.TryAcquireAsync(4711, "test"));
        await Assert.ThrowsAsync<NodeNotFoundException>(async () => await a.Manager.GetReservationAsync(4711));

        Assert.Equal((NodeId)4711, missing.NodeId);
        Assert.Equal(1L, await Fleet.ScalarAsync("select count(*) from nodelock_machine"));
    }

    [Fact]
    public async Task A_machine_that_is_deleted_under_its_holder_is_lost_and_then_not_found()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup
        {
            NodesAreMachines = true,
            Options = ConductorSetup.Hurried,
        });
        int machine = await Fleet.AddMachineAsync();
        await using TaskScope task = await a.AcquireOnceAsync(machine);

        await Fleet.ExecuteAsync("delete from machines where id = $1", machine);
        await task.Lost.FiredAsync();

        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        await task.DisposeAsync();
        await Assert.ThrowsAsync<NodeNotFoundException>(() => a.AcquireOnceAsync(machine));
        await Fleet.ExecuteAsync("insert into machines values ($1)", machine);
        await using TaskScope again = await a.AcquireOnceAsync(machine);
        Assert.True(again.FencingToken > task.FencingToken);
    }

    [Theory]
    [InlineData("before it asks")]
    [InlineData("while it waits")]
    [InlineData("while its answer is on the way")]
    public async Task A_cancelled_acquire_is_cancelled_and_holds_nothing(string when)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await Fleet.AddNodeAsync(Node);
        using CancellationTokenSource source = new();
        AcquireOptions options = new() { Purpose = "test", Retry = TestConductor.Patient };
        if (when == "before it asks") await source.CancelAsync();
        await using TaskScope? other = when == "while it waits" ? await b.AcquireOnceAsync(Node) : null;
        using HeldRequests held = Fleet.Proxy.HoldRequests(
            r => when == "while its answer is on the way" && r.IsReserveOf(Node));
        using WatchedRequests asked = Fleet.Proxy.WatchRequests(Node.ToString());

        Task<TaskScope> acquire = a.Manager.AcquireAsync(Node, options, source.Token).AsTask();
        if (when != "before it asks") await asked.WaitForMatchAsync(Limit);
        await source.CancelAsync();

        OperationCanceledException cancelled =
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => acquire.WithinLimit());
        Assert.Equal(source.Token, cancelled.CancellationToken);
        held.Release();
        if (other is not null) await other.DisposeAsync();
        await using TaskScope next = await b.AcquirePatientlyAsync(Node);
        next.EnsureHeld();
    }
}
