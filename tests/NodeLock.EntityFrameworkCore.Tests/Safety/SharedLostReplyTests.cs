using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P16 and P4: a change of mode whose reply was lost leaves a scope that is of use, and nothing
/// behind.</summary>
public sealed class SharedLostReplyTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("changed");
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(2);

    private static ConductorSetup Setup { get; } = new() { Options = o => o.HeartbeatInterval = Heartbeat };

    [Fact]
    public async Task A_scope_whose_upgrade_was_not_heard_of_stays_shared_and_may_be_upgraded_again()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        TaskScope task = await a.ShareOnceAsync(Node);
        await LoseAsync(r => r.IsUpgradeOf(Node), () => task.UpgradeAsync("write", LockRetry.None).AsTask());
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
        await TwoHeartbeatsAsync(); // the row says exclusive: not what it asked for, but it protects the scope as well
        Assert.Equal(ReservationMode.Shared, task.Mode);
        task.EnsureHeld();

        await task.UpgradeAsync("write", LockRetry.None);

        task.EnsureExclusive();
        Assert.Equal((a.Holder, task.FencingToken), (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
        await NothingIsLeftAsync(task);
    }

    [Fact]
    public async Task Nothing_is_left_of_a_scope_whose_upgrade_was_not_heard_of()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        TaskScope task = await a.ShareOnceAsync(Node);
        await LoseAsync(r => r.IsUpgradeOf(Node), () => task.UpgradeAsync("write", LockRetry.None).AsTask());
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));

        await NothingIsLeftAsync(task);
    }

    [Fact]
    public async Task A_scope_whose_downgrade_was_not_heard_of_counts_as_shared_and_may_be_downgraded_again()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope task = await a.AcquireOnceAsync(Node);
        await LoseAsync(r => r.IsShareOf(Node), () => task.DowngradeAsync().AsTask());
        Assert.Null(await Fleet.HolderOfAsync(Node));
        await TwoHeartbeatsAsync();
        Assert.Throws<InvalidOperationException>(task.EnsureExclusive);
        task.EnsureHeld();

        await task.DowngradeAsync();

        Assert.Equal([$"{a.Holder} {task.FencingToken}"], await Fleet.SharersOfAsync(Node));
        await using (TaskScope beside = await b.ShareOnceAsync(Node)) beside.EnsureHeld();
        task.EnsureHeld();
        await NothingIsLeftAsync(task);
    }

    [Fact]
    public async Task Nothing_is_left_of_a_scope_whose_downgrade_was_not_heard_of()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        TaskScope task = await a.AcquireOnceAsync(Node);
        await LoseAsync(r => r.IsShareOf(Node), () => task.DowngradeAsync().AsTask());

        await NothingIsLeftAsync(task);
    }

    [Fact]
    public async Task After_a_share_that_was_not_heard_of_the_next_one_has_the_only_entry()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();
        await Fleet.AddNodeAsync(Node);
        await LoseAsync(r => r.IsShareOf(Node), () => a.ShareOnceAsync(Node));
        Assert.Single(await Fleet.SharersOfAsync(Node));

        await using (TaskScope task = await a.ShareOnceAsync(Node))
        {
            task.EnsureHeld();
            Assert.Equal([$"{a.Holder} {task.FencingToken}"], await Fleet.SharersOfAsync(Node));
        }

        Assert.Empty(await Fleet.SharersOfAsync(Node));
    }

    [Fact]
    public async Task A_share_that_was_not_heard_of_is_given_back_within_two_heartbeats()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        await Fleet.AddNodeAsync(Node);
        await LoseAsync(r => r.IsShareOf(Node), () => a.ShareOnceAsync(Node));

        await GivenBackInTimeAsync();
    }

    [Fact]
    public async Task A_join_that_was_not_heard_of_takes_nothing_from_those_that_share_already()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();
        await using TaskScope first = await a.ShareOnceAsync(Node);
        await LoseAsync(r => r.IsJoinOf(Node), () => a.ShareOnceAsync(Node));

        await using TaskScope second = await a.ShareOnceAsync(Node);

        first.EnsureHeld();
        second.EnsureHeld();
        await first.DisposeAsync();
        Assert.Equal([$"{a.Holder} {second.FencingToken}"], await Fleet.SharersOfAsync(Node));
        await second.DisposeAsync();
        Assert.Empty(await Fleet.SharersOfAsync(Node));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_release_of_a_share_whose_reply_was_lost_is_repeated_and_takes_nobody_elses(bool synchronously)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope other = await b.ShareOnceAsync(Node);
        TaskScope task = await a.ShareOnceAsync(Node);
        int releases = 0;
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsSharedReleaseOf(Node));
        using HeldRequests second = Fleet.Proxy.HoldRequests(
            r => r.IsSharedReleaseOf(Node) && Interlocked.Increment(ref releases) == 2);

        Task dispose = Task.Run(async () =>
        {
            if (synchronously) task.Dispose();
            else await task.DisposeAsync();
        });
        await second.WaitForMatchAsync(Limit);
        Assert.Equal([$"{b.Holder} {other.FencingToken}"], await Fleet.SharersOfAsync(Node));
        second.Release();
        await dispose.WithinLimit();
        await second.WaitForAnswerAsync(Limit);

        other.EnsureHeld();
        Assert.Equal([$"{b.Holder} {other.FencingToken}"], await Fleet.SharersOfAsync(Node));
    }

    /// <summary>The statement is carried out, and its sender sees its connection break.</summary>
    private async Task LoseAsync(Func<ProxiedRequest, bool> match, Func<Task> statement)
    {
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(match);
        await Assert.ThrowsAnyAsync<NpgsqlException>(statement);
        Assert.Equal((1, 0), (lost.Drops, lost.Errors));
    }

    private async Task TwoHeartbeatsAsync()
    {
        using WatchedRequests beats = Fleet.Proxy.WatchRequests("returning c.heartbeat_at");
        await beats.WaitForMatchesAsync(3, Limit);
    }

    private async Task NothingIsLeftAsync(TaskScope task)
    {
        await task.DisposeAsync();
        await GivenBackInTimeAsync();
        Assert.False(task.Lost.IsCancellationRequested);
    }

    private async Task GivenBackInTimeAsync()
    {
        long began = Stopwatch.GetTimestamp();
        await Fleet.FreeAsync(Node);
        // The second for statements and looks on a busy machine.
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, (2 * Heartbeat) + TimeSpan.FromSeconds(1));
    }
}
