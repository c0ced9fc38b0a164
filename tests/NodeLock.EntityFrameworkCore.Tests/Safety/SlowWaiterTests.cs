using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P12: after a wait the waiter's own claim is looked at again before success is reported.</summary>
public sealed class SlowWaiterTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("waited for");

    [Fact]
    public async Task A_waiter_whose_conductor_was_declared_dead_gets_the_node_only_under_a_new_name()
    {
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TestConductor a = await Fleet.StartBehindProxyAsync();
        string dead = a.Holder;
        Task<TaskScope> waiter;
        await using (await b.AcquireOnceAsync(Node))
        {
            waiter = await WaitAsync(a);
            await Fleet.DeclareDeadAsync(dead);
        }

        await using TaskScope task = await waiter;
        string? holder = await Fleet.HolderOfAsync(Node);

        Assert.NotEqual(dead, holder);
        Assert.Equal((a.Holder, task.FencingToken), (holder, await Fleet.TokenOfAsync(Node)));
        Assert.Equal("alive",
            await Fleet.ScalarAsync("select state from nodelock_conductors where holder = $1", holder!));
        Assert.DoesNotContain(dead, (await Fleet.ChangesOfAsync(Node)).Select(c => c.NewHolder));
    }

    [Fact]
    public async Task A_waiter_whose_conductor_cannot_renew_is_never_told_that_it_has_the_node()
    {
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b", Options = ConductorSetup.Hurried });
        TestConductor a =
            await Fleet.StartBehindProxyAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        string dead = a.Holder;
        Task<TaskScope> waiter;
        await using (await b.AcquireOnceAsync(Node))
        {
            waiter = await WaitAsync(a);
            using (Fleet.Proxy.HoldRequests(r => r.IsRenewal()))
            {
                await b.LoggedAsync(40); // its lease ran out, and the other one declared it dead
                await Assert.ThrowsAnyAsync<NpgsqlException>(() => waiter);
            }
        }

        Assert.DoesNotContain(dead, (await Fleet.ChangesOfAsync(Node)).Select(c => c.NewHolder));
        await using TaskScope task = await a.AcquireWhenBackAsync(Node);
        Assert.NotEqual(dead, a.Holder);
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
    }

    /// <summary>Begins an acquire that waits.</summary>
    private async Task<Task<TaskScope>> WaitAsync(TestConductor a)
    {
        WatchedRequests asked = Fleet.Proxy.WatchRequests(Node.ToString());
        Task<TaskScope> waiter = a.AcquirePatientlyAsync(Node);
        await asked.WaitForMatchesAsync(2, Limit);
        return waiter;
    }
}
