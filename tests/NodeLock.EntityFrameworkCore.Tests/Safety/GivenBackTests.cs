using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L1b: what carries a living conductor's name and no scope holds is given back within two
/// heartbeats.</summary>
public sealed class GivenBackTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("given back");
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(2);

    private static ConductorSetup Setup { get; } = new()
    {
        Options = o =>
        {
            o.HeartbeatInterval = Heartbeat;
            o.ReleaseTimeout = TimeSpan.FromMilliseconds(100);
        },
    };

    [Fact]
    public async Task A_reservation_whose_reply_was_lost()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        await Fleet.AddNodeAsync(Node);
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsReserveOf(Node));

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));

        await IsGivenBackAsync();
    }

    [Fact]
    public async Task A_reservation_that_a_late_copy_made()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        await Fleet.AddNodeAsync(Node);
        using HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsReserveOf(Node), count: 1);
        await Assert.ThrowsAsync<TimeoutException>(() => a.AcquireOnceAsync(Node));
        await late.WaitForSenderGoneAsync(Limit);

        late.Release();
        await late.WaitForAnswerAsync(Limit);

        await IsGivenBackAsync();
    }

    [Fact]
    public async Task A_reservation_whose_release_never_arrives()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        using HeldRequests releases = Fleet.Proxy.HoldRequests(r => r.IsReleaseOf(Node));
        TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("create table disposed as select clock_timestamp() as at");
        await task.DisposeAsync();

        await Fleet.FreeAsync(Node);

        object? took = await Fleet.ScalarAsync(
            "select max(h.at) - min(d.at) from nodelock_nodes_history h, disposed d where h.node = $1",
            Node.ToString());
        // The release has the line first, for as long as its driver takes to give up: a second, and two to close.
        Assert.InRange((TimeSpan)took!, TimeSpan.Zero, (2 * Heartbeat) + TimeSpan.FromSeconds(3));
    }

    [Fact]
    public async Task A_name_that_somebody_put_into_the_row()
    {
        TestConductor a = await Fleet.StartAsync(Setup);
        await Fleet.AddNodeAsync(Node);

        await Fleet.ExecuteAsync("""
            update nodelock_nodes set reservation = $2, reservation_token = 77, reserved_at = now() where id = $1
            """, Node.ToString(), a.Holder);

        await IsGivenBackAsync();
    }

    [Fact]
    public async Task Not_what_a_scope_holds()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        using WatchedRequests looks = Fleet.Proxy.WatchRequests("unnest($1, $2, $3)");

        await looks.WaitForMatchesAsync(3, Limit);

        task.EnsureHeld();
        Assert.Equal(task.FencingToken, await Fleet.TokenOfAsync(Node));
        Assert.Single(await Fleet.ChangesOfAsync(Node));
    }

    private async Task IsGivenBackAsync()
    {
        await Fleet.FreeAsync(Node);
        IReadOnlyList<ReservationChange> changes = await Fleet.ChangesOfAsync(Node);
        Assert.Equal([true, false], changes.Select(c => c.IsReservation));
        Assert.InRange(changes[1].At - changes[0].At, TimeSpan.Zero, 2 * Heartbeat);
    }
}
