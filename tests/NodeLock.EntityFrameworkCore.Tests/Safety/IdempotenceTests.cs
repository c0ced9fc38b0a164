using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P5: a renewal or release whose reply was lost is repeated, and the repetition does no harm.</summary>
public sealed class IdempotenceTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("repeated");

    private static ConductorSetup WithQuickHeartbeat { get; } = new()
    {
        Options = o => o.HeartbeatInterval = TimeSpan.FromSeconds(1),
    };

    [Fact]
    public async Task Lost_replies_to_renewals_take_nothing_from_a_living_holder()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(WithQuickHeartbeat);
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        string holder = a.Holder;
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsRenewal(), count: 3);
        await lost.WaitForMatchesAsync(3, Limit);

        using WatchedRequests next = Fleet.Proxy.WatchRequests("returning c.heartbeat_at");
        await next.WaitForMatchesAsync(2, Limit);

        Assert.False(task.Lost.IsCancellationRequested);
        task.EnsureHeld();
        Assert.Equal((holder, holder), (a.Holder, await Fleet.HolderOfAsync(Node)));
    }

    [Fact]
    public async Task A_lost_reply_to_the_renewal_of_a_dead_conductor_lets_nobody_believe()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(WithQuickHeartbeat);
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        string dead = a.Holder;
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsRenewal());
        await Fleet.DeclareDeadAsync(dead);
        await lost.WaitForDropAsync(Limit);

        await task.Lost.FiredAsync();

        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        await using TaskScope again = await a.AcquirePatientlyAsync(Node);
        Assert.NotEqual(dead, await Fleet.HolderOfAsync(Node));
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_release_whose_reply_was_lost_is_repeated_and_frees_once(bool synchronously)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope task = await a.AcquireOnceAsync(Node);
        int releases = 0;
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsReleaseOf(Node));
        using HeldRequests second = Fleet.Proxy.HoldRequests(
            r => r.IsReleaseOf(Node) && Interlocked.Increment(ref releases) == 2);

        Task dispose = Task.Run(async () =>
        {
            if (synchronously) task.Dispose();
            else await task.DisposeAsync();
        });
        await second.WaitForMatchAsync(Limit);
        await using TaskScope other = await b.AcquireOnceAsync(Node);
        second.Release();
        await second.WaitForAnswerAsync(Limit);
        await dispose.WithinLimit();

        other.EnsureHeld();
        Assert.Equal((b.Holder, other.FencingToken), (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
        Assert.Equal([a.Holder, null, b.Holder], (await Fleet.ChangesOfAsync(Node)).Select(c => c.NewHolder));
    }
}
