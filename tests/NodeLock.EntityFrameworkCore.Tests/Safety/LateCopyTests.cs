using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// P6b and P7: a statement that arrives after its sender gave up and asked again changes nothing for a living scope, of
/// its own conductor or another's.
/// </summary>
public sealed class LateCopyTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("late copy");

    // The sender gives up after a heartbeat interval; its driver then takes two seconds to close the connection.
    private static ConductorSetup Impatient { get; } = new()
    {
        Options = o =>
        {
            o.HeartbeatInterval = TimeSpan.FromSeconds(1);
            o.ReleaseTimeout = TimeSpan.FromSeconds(1);
        },
    };

    [Fact]
    public async Task A_late_reserve_takes_nothing_from_a_scope_of_its_own_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        using HeldRequests late = await GiveUpReserveAsync(a);
        await using TaskScope task = await a.AcquirePatientlyAsync(Node);

        await DeliverAsync(late);

        await IsHeldAsync(a, task);
    }

    [Fact]
    public async Task A_late_reserve_takes_nothing_from_a_scope_of_another_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        using HeldRequests late = await GiveUpReserveAsync(a);
        await using TaskScope task = await b.AcquirePatientlyAsync(Node);

        await DeliverAsync(late);

        await IsHeldAsync(b, task);
    }

    [Fact]
    public async Task A_late_reserve_that_names_a_token_takes_nothing_once_that_token_was_named_again()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        await Fleet.AddNodeAsync(Node);
        using (Fleet.Proxy.DropReplyAfterCommit(r => r.IsReserveOf(Node)))
            await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));

        // The first reserve hears of the token that was lost; the second one names it, and is held.
        int reserves = 0;
        using HeldRequests late = Fleet.Proxy.HoldRequests(
            r => r.IsReserveOf(Node) && Interlocked.Increment(ref reserves) == 2);
        await Assert.ThrowsAsync<TimeoutException>(() => a.AcquireOnceAsync(Node));
        await using TaskScope task = await a.AcquirePatientlyAsync(Node);

        await DeliverAsync(late);

        await IsHeldAsync(a, task);
    }

    [Fact]
    public async Task A_late_release_takes_nothing_from_a_newer_scope_of_its_own_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        (HeldRequests late, TaskScope task) = await ReleaseLateAsync(a, next: a);
        await using (task)
        {
            await DeliverAsync(late);

            await IsHeldAsync(a, task);
        }
    }

    [Fact]
    public async Task A_late_release_takes_nothing_from_a_scope_of_another_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        (HeldRequests late, TaskScope task) = await ReleaseLateAsync(a, next: b);
        await using (task)
        {
            await DeliverAsync(late);

            await IsHeldAsync(b, task);
        }
    }

    /// <summary>The control for P7: matching the holder only, it frees the node under a living scope.</summary>
    [Fact]
    public async Task A_late_release_by_holder_only_frees_what_a_newer_scope_holds()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient with
        {
            Decorate = r => new ReleaseByHolder(r, Fleet.Proxy.ConnectionString),
        });
        (HeldRequests late, TaskScope task) = await ReleaseLateAsync(a, next: a);
        await using (task)
        {
            await DeliverAsync(late);

            await Assert.ThrowsAnyAsync<Xunit.Sdk.XunitException>(() => IsHeldAsync(a, task));
        }
    }

    private async Task<HeldRequests> GiveUpReserveAsync(TestConductor a)
    {
        await Fleet.AddNodeAsync(Node);
        HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsReserveOf(Node), count: 1);
        await Assert.ThrowsAsync<TimeoutException>(() => a.AcquireOnceAsync(Node));
        return late;
    }

    /// <summary>A release that is held up, and a scope that got the node meanwhile.</summary>
    private async Task<(HeldRequests Late, TaskScope Task)> ReleaseLateAsync(TestConductor a, TestConductor next)
    {
        HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsReleaseOf(Node), count: 1);
        TaskScope first = await a.AcquireOnceAsync(Node);
        await first.DisposeAsync();
        await late.WaitForMatchAsync(Limit);
        TaskScope task = await next.AcquirePatientlyAsync(Node);
        Assert.True(task.FencingToken > first.FencingToken);
        return (late, task);
    }

    private static async Task DeliverAsync(HeldRequests late)
    {
        await late.WaitForSenderGoneAsync(Limit);
        late.Release();
        await late.WaitForAnswerAsync(Limit);
    }

    private async Task IsHeldAsync(TestConductor conductor, TaskScope task)
    {
        Assert.Equal((conductor.Holder, task.FencingToken),
            (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
        task.EnsureHeld();
        Assert.Empty(ReservationHistory.Check(await Fleet.ChangesOfAsync(Node)));
    }

    private sealed class ReleaseByHolder(INodeLockRepository inner, string connectionString) : DecoratedRepository(inner)
    {
        public override async ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit)
        {
            await using NpgsqlConnection connection = new(connectionString);
            await connection.OpenAsync();
            await using NpgsqlCommand command = new("""
                update nodelock_nodes n set reservation = null
                where id = $1 and reservation = $2 /* n.reservation_token = $3 and settings.row_wait */
                """, connection)
            {
                CommandTimeout = 1,
                Parameters = { new() { Value = held.NodeId.ToString() }, new() { Value = holder } },
            };
            await command.ExecuteNonQueryAsync();
        }
    }
}
