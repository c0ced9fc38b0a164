using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// P6b for those that share: a share, an upgrade, a downgrade or a release that arrives after its sender gave up and
/// asked again changes nothing for a living scope, of its own conductor or another's.
/// </summary>
public sealed class SharedLateCopyTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("late and shared");

    // The sender gives up after a heartbeat interval.
    private static ConductorSetup Impatient { get; } = new()
    {
        Options = o =>
        {
            o.HeartbeatInterval = TimeSpan.FromSeconds(1);
            o.ReleaseTimeout = TimeSpan.FromSeconds(1);
        },
    };

    [Fact]
    public async Task A_late_share_changes_nothing_for_the_share_that_was_asked_for_again()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        using HeldRequests late = await GiveUpShareAsync(a);
        await using TaskScope task = await a.SharePatientlyAsync(Node);

        await DeliverAsync(late);

        await IsSharedByAsync(a, task);
    }

    [Fact]
    public async Task A_late_share_comes_to_nothing_beside_a_writer_of_its_own_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        using HeldRequests late = await GiveUpShareAsync(a);
        await using TaskScope task = await a.AcquirePatientlyAsync(Node);

        await DeliverAsync(late);

        await IsHeldByAsync(a, task);
    }

    [Fact]
    public async Task A_late_share_comes_to_nothing_beside_a_writer_of_another_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        using HeldRequests late = await GiveUpShareAsync(a);
        await using TaskScope task = await b.AcquirePatientlyAsync(Node);

        await DeliverAsync(late);

        await IsHeldByAsync(b, task);
    }

    [Fact]
    public async Task A_late_upgrade_changes_nothing_for_the_upgrade_that_was_asked_for_again()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        await using TaskScope task = await a.ShareOnceAsync(Node);
        using HeldRequests late = await GiveUpUpgradeAsync(task);
        await task.UpgradeAsync("write", TestConductor.Patient);

        await DeliverAsync(late);

        await IsHeldByAsync(a, task);
    }

    [Fact]
    public async Task A_late_upgrade_takes_nothing_from_a_later_share_of_its_own_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        TaskScope first = await a.ShareOnceAsync(Node);
        using HeldRequests late = await GiveUpUpgradeAsync(first);
        await first.DisposeAsync();
        await using TaskScope task = await a.SharePatientlyAsync(Node);
        Assert.NotEqual(first.FencingToken, task.FencingToken);

        await DeliverAsync(late);

        await IsSharedByAsync(a, task);
    }

    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task A_late_upgrade_takes_nothing_from_another_conductor(ReservationMode mode)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope first = await a.ShareOnceAsync(Node);
        using HeldRequests late = await GiveUpUpgradeAsync(first);
        await first.DisposeAsync();
        await using TaskScope task = await AcquireAsync(b, mode);

        await DeliverAsync(late);

        if (mode == ReservationMode.Exclusive) await IsHeldByAsync(b, task);
        else await IsSharedByAsync(b, task);
    }

    [Fact]
    public async Task A_late_downgrade_takes_nothing_from_a_scope_that_was_upgraded_since()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        using HeldRequests late = await GiveUpDowngradeAsync(task);
        await task.DowngradeAsync();
        await task.UpgradeAsync("write", TestConductor.Patient);

        await DeliverAsync(late);

        await IsHeldByAsync(a, task);
    }

    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task A_late_downgrade_takes_nothing_from_another_conductor(ReservationMode mode)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope first = await a.AcquireOnceAsync(Node);
        using HeldRequests late = await GiveUpDowngradeAsync(first);
        await first.DisposeAsync();
        await using TaskScope task = await AcquireAsync(b, mode);

        await DeliverAsync(late);

        if (mode == ReservationMode.Exclusive) await IsHeldByAsync(b, task);
        else await IsSharedByAsync(b, task);
    }

    [Fact]
    public async Task A_late_release_of_a_share_takes_nothing_from_a_later_share_of_its_own_conductor()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient);
        (HeldRequests late, TaskScope task) = await ReleaseLateAsync(a);
        using (late)
        await using (task)
        {
            await DeliverAsync(late);

            await IsSharedByAsync(a, task);
        }
    }

    /// <summary>The control: by holder only, it removes a reader's entry, and lets a writer in beside it.</summary>
    [Fact]
    public async Task Control_a_late_release_by_holder_only_lets_a_writer_in_beside_a_reader()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient with
        {
            Decorate = r => new ReleaseByHolder(r, Fleet.Proxy.ConnectionString),
        });
        (HeldRequests late, TaskScope task) = await ReleaseLateAsync(a);
        using (late)
        await using (task)
        {
            await DeliverAsync(late);

            await Assert.ThrowsAnyAsync<Xunit.Sdk.XunitException>(() => IsSharedByAsync(a, task));
        }
    }

    private static Task<TaskScope> AcquireAsync(TestConductor conductor, ReservationMode mode) =>
        mode == ReservationMode.Exclusive ? conductor.AcquirePatientlyAsync(Node)
            : conductor.SharePatientlyAsync(Node);

    private async Task<HeldRequests> GiveUpShareAsync(TestConductor a)
    {
        await Fleet.AddNodeAsync(Node);
        return await GiveUpAsync(r => r.IsShareOf(Node), () => a.ShareOnceAsync(Node));
    }

    private Task<HeldRequests> GiveUpUpgradeAsync(TaskScope task) =>
        GiveUpAsync(r => r.IsUpgradeOf(Node), () => task.UpgradeAsync("write", LockRetry.None).AsTask());

    private Task<HeldRequests> GiveUpDowngradeAsync(TaskScope task) =>
        GiveUpAsync(r => r.IsShareOf(Node), () => task.DowngradeAsync().AsTask());

    private async Task<HeldRequests> GiveUpAsync(Func<ProxiedRequest, bool> match, Func<Task> statement)
    {
        HeldRequests late = Fleet.Proxy.HoldRequests(match, count: 1);
        await Assert.ThrowsAsync<TimeoutException>(statement);
        return late;
    }

    private async Task<(HeldRequests Late, TaskScope Task)> ReleaseLateAsync(TestConductor a)
    {
        HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsSharedReleaseOf(Node), count: 1);
        TaskScope first = await a.ShareOnceAsync(Node);
        await first.DisposeAsync();
        await late.WaitForMatchAsync(Limit);
        TaskScope task = await a.SharePatientlyAsync(Node);
        Assert.NotEqual(first.FencingToken, task.FencingToken);
        return (late, task);
    }

    private static async Task DeliverAsync(HeldRequests late)
    {
        await late.WaitForSenderGoneAsync(Limit);
        late.Release();
        await late.WaitForAnswerAsync(Limit);
    }

    private async Task IsHeldByAsync(TestConductor conductor, TaskScope task)
    {
        Assert.Equal((conductor.Holder, task.FencingToken),
            (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
        Assert.Empty(await Fleet.SharersOfAsync(Node));
        task.EnsureExclusive();
    }

    private async Task IsSharedByAsync(TestConductor conductor, TaskScope task)
    {
        Assert.Null(await Fleet.HolderOfAsync(Node));
        Assert.Equal([$"{conductor.Holder} {task.FencingToken}"], await Fleet.SharersOfAsync(Node));
        task.EnsureHeld();
        TestConductor writer = await Fleet.StartAsync(new ConductorSetup { Name = "writer" });
        await Assert.ThrowsAsync<NodeLockedException>(() => writer.AcquireOnceAsync(Node));
    }

    private sealed class ReleaseByHolder(INodeLockRepository inner, string connectionString)
        : DecoratedRepository(inner)
    {
        public override async ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit)
        {
            await using NpgsqlConnection connection = new(connectionString);
            await connection.OpenAsync();
            await using NpgsqlCommand command = new("""
                update nodelock_nodes n set reservation_shared = array(
                  select e from unnest(n.reservation_shared) as e where split_part(e, ' ', 1) <> $2)
                where id = $1 /* = any (n.reservation_shared) and settings.row_wait */
                """, connection)
            {
                CommandTimeout = 1,
                Parameters = { new() { Value = held.NodeId.ToString() }, new() { Value = holder } },
            };
            await command.ExecuteNonQueryAsync();
        }
    }
}
