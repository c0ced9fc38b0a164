using System.Diagnostics;
using System.Transactions;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>What a user's transaction does to NodeLock's statements, and they to it: as little as can be.</summary>
public sealed class UserTransactionTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("in hand");
    private static readonly NodeId Other = new("in nobody's hand");

    [Fact]
    public async Task An_acquire_of_a_row_in_hand_answers_in_time_and_says_why()
    {
        TestConductor a = await Fleet.StartAsync();
        await Fleet.AddNodeAsync(Node);
        await using NpgsqlConnection user = await TakeInHandAsync();

        long began = Stopwatch.GetTimestamp();
        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(() => a.AcquireOnceAsync(Node));
        TimeSpan took = Stopwatch.GetElapsedTime(began);

        Assert.InRange(took, TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(5));
        Assert.Contains("a database transaction has its row in hand", locked.Message, StringComparison.Ordinal);
        Assert.Null(locked.Reservation);
        Assert.Null(await a.Manager.TryAcquireAsync(Node, "test"));
        await using TaskScope other = await a.AcquireOnceAsync(Other);
    }

    [Fact]
    public async Task An_acquire_that_waits_gets_the_node_when_the_transaction_ends()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();
        await Fleet.AddNodeAsync(Node);
        await using NpgsqlConnection user = await TakeInHandAsync();
        using WatchedRequests asked = Fleet.Proxy.WatchRequests(Node.ToString());
        Task<TaskScope> acquire = a.AcquirePatientlyAsync(Node);
        await asked.WaitForMatchesAsync(3, Limit);

        await user.CloseAsync();

        await using TaskScope task = await acquire;
        task.EnsureHeld();
    }

    [Fact]
    public async Task A_first_reserve_of_a_node_whose_row_is_being_made_or_deleted_answers_in_time()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { NodesAreMachines = true });
        int machine = await Fleet.AddMachineAsync();
        await using NpgsqlConnection user = await Fleet.OpenAsync();
        await new NpgsqlCommand($"begin; delete from machines where id = {machine}", user).ExecuteNonQueryAsync();

        await Assert.ThrowsAsync<NodeLockedException>(() => a.AcquireOnceAsync(machine));
        await new NpgsqlCommand("rollback", user).ExecuteNonQueryAsync();
        await new NpgsqlCommand($"begin; insert into nodelock_machine (id) values ({machine})", user)
            .ExecuteNonQueryAsync();
        await Assert.ThrowsAsync<NodeLockedException>(() => a.AcquireOnceAsync(machine));
        await new NpgsqlCommand("rollback", user).ExecuteNonQueryAsync();

        await using TaskScope task = await a.AcquireOnceAsync(machine);
        task.EnsureHeld();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_release_goes_on_in_the_background_and_holds_up_no_other_node(bool synchronously)
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup
        {
            Options = o =>
            {
                ConductorSetup.Hurried(o);
                o.LeaseDuration = TimeSpan.FromSeconds(20); // nothing here is about its end
                o.ReleaseTimeout = TimeSpan.FromSeconds(1);
            },
        });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope held = await a.AcquireOnceAsync(new NodeId("held on"));
        TaskScope task = await a.AcquireOnceAsync(Node);
        await using NpgsqlConnection user = await TakeInHandAsync();

        long began = Stopwatch.GetTimestamp();
        if (synchronously) await Task.Run(task.Dispose).WithinLimit();
        else await task.DisposeAsync();
        TimeSpan took = Stopwatch.GetElapsedTime(began);

        Assert.True(took < TimeSpan.FromSeconds(8), $"A dispose that may take a second took {took}.");
        await using (await a.AcquireOnceAsync(Other)) await Assert.ThrowsAsync<NodeLockedException>(
            () => b.AcquireOnceAsync(Node));
        await using (await b.AcquireOnceAsync(Other)) held.EnsureHeld();

        // Neither renewals nor the look at what is held wait for the row.
        object? before = await Fleet.ScalarAsync("select clock_timestamp()");
        await Fleet.UntilAsync(
            "select heartbeat_at > $1 + interval '5 seconds' from nodelock_conductors where holder = $2",
            before!, a.Holder);
        held.EnsureHeld();
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));

        await user.CloseAsync();
        await Fleet.FreeAsync(Node);
        await using TaskScope next = await b.AcquirePatientlyAsync(Node);
        next.EnsureHeld();
    }

    [Theory]
    [InlineData(TransactionScopeAsyncFlowOption.Enabled)]
    [InlineData(TransactionScopeAsyncFlowOption.Suppress)]
    public async Task An_acquire_in_a_transaction_scope_that_is_rolled_back_stands(TransactionScopeAsyncFlowOption flow)
    {
        TestConductor a = await Fleet.StartAsync();
        TaskScope task = InTransactionScope(flow, () => a.AcquireOnceAsync(Node));

        task.EnsureHeld();
        Assert.Equal((a.Holder, task.FencingToken),
            (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
        await task.DisposeAsync();
        Assert.Null(await Fleet.HolderOfAsync(Node));
    }

    [Fact]
    public async Task A_conductor_that_begins_in_a_transaction_scope_takes_no_part_in_it()
    {
        TestConductor a = Fleet.Create(new ConductorSetup { Options = ConductorSetup.Hurried });
        TaskScope task = InTransactionScope(TransactionScopeAsyncFlowOption.Enabled, () => a.AcquireOnceAsync(Node));

        await Fleet.UntilAsync("select heartbeat_at > started_at from nodelock_conductors where holder = $1", a.Holder);
        task.EnsureHeld();
        await task.DisposeAsync();
    }

    /// <summary>P14, for the release that runs on the thread of the transaction.</summary>
    [Theory]
    [InlineData(TransactionScopeAsyncFlowOption.Enabled, false)]
    [InlineData(TransactionScopeAsyncFlowOption.Enabled, true)]
    [InlineData(TransactionScopeAsyncFlowOption.Suppress, false)]
    [InlineData(TransactionScopeAsyncFlowOption.Suppress, true)]
    public async Task A_dispose_in_a_transaction_scope_that_is_rolled_back_stands(
        TransactionScopeAsyncFlowOption flow, bool synchronously)
    {
        TestConductor a = await Fleet.StartAsync();
        TaskScope task = await a.AcquireOnceAsync(Node);

        InTransactionScope(flow, async () =>
        {
            if (synchronously) task.Dispose();
            else await task.DisposeAsync();
            return true;
        });

        Assert.Null(await Fleet.HolderOfAsync(Node));
        Assert.Equal([a.Holder, null], (await Fleet.ChangesOfAsync(Node)).Select(c => c.NewHolder));
    }

    [Fact]
    public async Task A_transaction_that_is_doomed_does_not_keep_a_dispose_from_releasing()
    {
        TestConductor a = await Fleet.StartAsync();
        TaskScope task = await a.AcquireOnceAsync(Node);

        InTransactionScope(TransactionScopeAsyncFlowOption.Enabled, () =>
        {
            Transaction.Current!.Rollback();
            task.Dispose();
            return Task.FromResult(true);
        });

        Assert.Null(await Fleet.HolderOfAsync(Node));
    }

    // On one thread from begin to end, since a transaction that does not flow cannot change threads.
    private static T InTransactionScope<T>(TransactionScopeAsyncFlowOption flow, Func<Task<T>> body)
    {
        using TransactionScope scope = new(TransactionScopeOption.Required, flow);
        return body().GetAwaiter().GetResult(); // without Complete, so that everything in it is rolled back
    }

    /// <summary>A session of somebody's with the node's row in hand until it is closed.</summary>
    private async Task<NpgsqlConnection> TakeInHandAsync()
    {
        NpgsqlConnection user = await Fleet.OpenAsync();
        await new NpgsqlCommand($"begin; select from nodelock_nodes where id = '{Node}' for update", user)
            .ExecuteNonQueryAsync();
        return user;
    }
}
