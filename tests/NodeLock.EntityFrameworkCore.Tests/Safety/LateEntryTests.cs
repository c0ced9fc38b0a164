using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// P6b in both modes: what arrives after its sender gave up and went on changes nothing for a living scope, of its own
/// conductor or another's. Judged by who believes, and by the history.
/// </summary>
public sealed class LateEntryTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("late entry");

    // Who asks gives up after a second. The heartbeat, which would give back what comes late, is far off.
    private static ConductorSetup Impatient { get; } = new()
    {
        Options = o => o.ReleaseTimeout = TimeSpan.FromSeconds(1),
    };

    private static ConductorSetup AsksBriefly { get; } = new()
    {
        Options = o =>
        {
            o.HeartbeatInterval = TimeSpan.FromSeconds(1);
            o.ReleaseTimeout = TimeSpan.FromSeconds(1);
        },
    };

    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task A_late_release_lets_nobody_in_beside_the_next_scope_of_its_conductor(ReservationMode mode) =>
        Assert.Empty(await JudgeLateReleaseAsync(mode, repository => repository));

    [Fact]
    public async Task Control_released_by_holder_a_late_release_lets_a_writer_in_beside_a_reader() =>
        Assert.Single(await JudgeLateReleaseAsync(ReservationMode.Shared,
            repository => new ReleaseOfEntryByHolderRepository(repository, Fleet.Proxy.ConnectionString)));

    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task Control_where_an_answer_is_believed_blindly_a_late_release_frees_the_node(ReservationMode mode) =>
        Assert.Single(await JudgeLateReleaseAsync(mode, repository => new BlindAnswerRepository(repository)));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_late_share_does_not_read_beside_a_writer(bool isOwn)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(AsksBriefly);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await Fleet.AddNodeAsync(Node);
        using HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsShareOf(Node), count: 1);
        await Assert.ThrowsAsync<TimeoutException>(async () =>
            await a.Manager.TryAcquireAsync(Node, "read", ReservationMode.Shared));
        await using TaskScope writer = await (isOwn ? a : b).AcquirePatientlyAsync(Node);

        await DeliverAsync(late);

        writer.EnsureHeld();
        Assert.Equal((writer.FencingToken, "{}"), await RowAsync());
    }

    [Fact]
    public async Task A_late_upgrade_changes_nothing_after_the_end_of_its_scope()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(AsksBriefly);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope reader = await a.AcquirePatientlyAsync(Node, ReservationMode.Shared);
        using HeldRequests late = await GiveUpUpgradeAsync(reader);
        await reader.DisposeAsync();
        await using TaskScope next = await b.AcquirePatientlyAsync(Node, ReservationMode.Shared);
        (long, string?) before = await RowAsync();

        await DeliverAsync(late);

        next.EnsureHeld();
        Assert.Equal(before, await RowAsync());
    }

    [Fact]
    public async Task A_late_upgrade_keeps_the_node_for_its_scope_and_is_given_back_after_it()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(AsksBriefly);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope reader = await a.AcquirePatientlyAsync(Node, ReservationMode.Shared);
        using HeldRequests late = await GiveUpUpgradeAsync(reader);

        await DeliverAsync(late);

        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
        using (WatchedRequests looks = Fleet.Proxy.WatchRequests("unnest($1, $2, $3)"))
            await looks.WaitForMatchesAsync(2, Limit); // the heartbeat takes nothing for lost
        reader.EnsureHeld();
        Assert.Equal(ReservationMode.Shared, reader.Mode);
        Assert.Null(await b.Manager.TryAcquireAsync(Node, "read", ReservationMode.Shared));
        await reader.UpgradeAsync("write");
        Assert.Equal((reader.FencingToken, "{}"), await RowAsync());
        await reader.DisposeAsync();
        await Fleet.FreeAsync(Node);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_late_downgrade_lets_nobody_in(bool goesOn)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(AsksBriefly);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope task = await a.AcquirePatientlyAsync(Node);
        using HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsShareOf(Node), count: 1);
        await Assert.ThrowsAsync<TimeoutException>(() => task.DowngradeAsync().AsTask());
        Assert.Equal(ReservationMode.Shared, task.Mode);
        if (goesOn)
            await task.UpgradeAsync("write again");
        else
            await task.DisposeAsync();
        await using TaskScope writer = goesOn ? task : await b.AcquirePatientlyAsync(Node);

        await DeliverAsync(late);

        writer.EnsureExclusive();
        Assert.Equal((writer.FencingToken, "{}"), await RowAsync());
    }

    /// <summary>
    /// A release is held up until its conductor has the node again, by a reservation that was forgotten meanwhile; then
    /// another conductor tries to write.
    /// </summary>
    private async Task<IReadOnlyList<BeliefOverlap>> JudgeLateReleaseAsync(
        ReservationMode mode, Func<INodeLockRepository, INodeLockRepository> decorate)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Impatient with { Decorate = decorate });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        Beliefs beliefs = new("test");
        using HeldRequests late = Fleet.Proxy.HoldRequests(
            r => mode == ReservationMode.Shared ? r.IsSharedReleaseOf(Node) : r.IsReleaseOf(Node), count: 1);
        await (await a.AcquirePatientlyAsync(Node, mode)).DisposeAsync();
        await a.LoggedAsync(10);
        await using TaskScope again = await a.AcquirePatientlyAsync(Node, mode);
        beliefs.Begin(Node.ToString(), "a", a.Holder, again.FencingToken, Believed(mode));

        await DeliverAsync(late);

        await using TaskScope? writer = await b.Manager.TryAcquireAsync(Node, "write");
        if (writer is not null)
            beliefs.Begin(Node.ToString(), "b", b.Holder, writer.FencingToken);
        foreach (string scope in new[] { "a", "b" })
            beliefs.Confirm(scope, Beliefs.Now());
        again.EnsureHeld();
        return BeliefJudge.Overlaps(beliefs.Lines);
    }

    private static BeliefMode Believed(ReservationMode mode) =>
        mode == ReservationMode.Shared ? BeliefMode.Shared : BeliefMode.Exclusive;

    private async Task<HeldRequests> GiveUpUpgradeAsync(TaskScope reader)
    {
        HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsUpgradeOf(Node), count: 1);
        await Assert.ThrowsAsync<TimeoutException>(() => reader.UpgradeAsync("write", LockRetry.None).AsTask());
        Assert.Equal(ReservationMode.Shared, reader.Mode);
        return late;
    }

    private static async Task DeliverAsync(HeldRequests late)
    {
        await late.WaitForSenderGoneAsync(Limit);
        late.Release();
        await late.WaitForAnswerAsync(Limit);
    }

    /// <summary>The token and the entries.</summary>
    private async Task<(long Token, string? Entries)> RowAsync() => (await Fleet.TokenOfAsync(Node),
        (string?)await Fleet.ScalarAsync(
            "select reservation_shared::text from nodelock_nodes where id = $1", Node.ToString()));
}
