using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L4: whatever keeps a process busy, its heartbeats go on and nothing is lost.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class HeartbeatTests(PostgresFixture postgres, ITestOutputHelper output)
{
    private const int Leases = 2;

    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(1);

    [Fact]
    public async Task Heartbeats_go_on_while_no_thread_of_the_pool_is_free()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "starved");
        await using ConductorProcess child = await ConductorProcess.StartAsync(Settings(yard));
        await child.AskAsync("acquire n", "acquired");
        string holder = await child.HolderAsync();

        await child.AskAsync("starve", "starving");
        await UntilRenewedForAsync(yard, holder);
        await child.AskAsync("ensure n", "held");
        Assert.Equal(["at-last"], await child.AskAsync("feed", "fed"));

        Assert.Equal(0, await child.LossesAsync());
        Assert.Equal(holder, await yard.HolderOfAsync("n"));
    }

    [Fact]
    public async Task Heartbeats_go_on_while_the_user_has_every_connection_of_the_pool()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "exhausted");
        string small = $"{yard.ConnectionString};Maximum Pool Size=1;Timeout=5";
        await using LocalConductor conductor = await LocalConductor.StartAsync(
            Settings(yard) with { ConnectionString = small });
        TaskScope scope = await AcquireAsync(conductor, "n");

        await using (NpgsqlConnection users = new(small))
        {
            await users.OpenAsync();
            await Assert.ThrowsAsync<TimeoutException>(() => AcquireAsync(conductor, "m"));
            await UntilRenewedForAsync(yard, conductor.Manager.Holder);
            scope.EnsureHeld();
        }

        await scope.DisposeAsync();
        Assert.False(scope.Lost.IsCancellationRequested);
        Assert.Null(await yard.HolderOfAsync("n"));
    }

    [Fact]
    public async Task Heartbeats_go_on_with_ten_thousand_nodes_held()
    {
        const int Nodes = 10_000;
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "tenthousand");
        await using LocalConductor conductor = await LocalConductor.StartAsync(Settings(yard));
        TaskScope[] scopes = new TaskScope[Nodes];
        long began = Stopwatch.GetTimestamp();
        await Parallel.ForAsync(0, Nodes, new ParallelOptions { MaxDegreeOfParallelism = 32 },
            async (i, _) => scopes[i] = await AcquireAsync(conductor, $"n{i}"));
        output.WriteLine($"acquired in {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s");

        await UntilRenewedForAsync(yard, conductor.Manager.Holder);

        foreach (TaskScope scope in scopes)
            scope.EnsureHeld();
        Assert.DoesNotContain(scopes, scope => scope.Lost.IsCancellationRequested);
        Assert.Equal(Nodes, await yard.ScalarAsync<long>(
            "select count(*) from nodelock_nodes where reservation = $1", conductor.Manager.Holder));
    }

    [Fact]
    public async Task Heartbeats_go_on_while_callbacks_on_a_loss_take_their_time()
    {
        const int Lost = 6;
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "slowcallbacks");
        await using LocalConductor conductor = await LocalConductor.StartAsync(Settings(yard));
        await using TaskScope kept = await AcquireAsync(conductor, "kept");
        using SemaphoreSlim patience = new(0);
        Tally called = new("callbacks");
        for (int i = 0; i < Lost; i++)
        {
            TaskScope taken = await AcquireAsync(conductor, $"taken{i}");
            taken.Lost.UnsafeRegister(_ =>
            {
                called.Add();
                patience.Wait();
            }, null);
        }

        await yard.ExecuteAsync(
            "update nodelock_nodes set reservation = null, reservation_token = nextval('nodelock_fencing_token') "
            + "where id like 'taken%'");
        await called.ReachAsync(1, Patience.Limit);
        await UntilRenewedForAsync(yard, conductor.Manager.Holder);
        int waiting = called.Count;
        patience.Release(Lost);
        await called.ReachAsync(Lost, Patience.Limit);

        output.WriteLine($"{waiting} callbacks were in the way");
        kept.EnsureHeld();
        Assert.False(kept.Lost.IsCancellationRequested);
    }

    private static ConductorSettings Settings(Yard yard) => new()
    {
        ConnectionString = yard.ConnectionString,
        Lease = Lease,
        Heartbeat = Heartbeat,
    };

    private static Task<TaskScope> AcquireAsync(LocalConductor conductor, string node) =>
        conductor.Manager.AcquireAsync(new NodeId(node), "hold").AsTask();

    /// <summary>Waits until the conductor, under the same holder, has renewed for several leases from now on.</summary>
    private async Task UntilRenewedForAsync(Yard yard, string holder)
    {
        DateTime now = await yard.ScalarAsync<DateTime>("select clock_timestamp()");
        await yard.UntilAsync($"{holder} renewed for {Leases} leases",
            "select heartbeat_at > $2 and state = 'alive' from nodelock_conductors where holder = $1",
            holder, now + (Leases * Lease));
        TimeSpan longest = await yard.ScalarAsync<TimeSpan>(
            """
            select max(gap) from (select at - lag(at) over (order by seq) as gap from yard_conductors
                                  where holder = $1 and kind_of_change in ('entered', 'renewed')) as gaps
            """,
            holder);
        output.WriteLine($"at most {longest.TotalMilliseconds:0} ms between renewals, of {Lease.TotalMilliseconds:0}");
    }
}
