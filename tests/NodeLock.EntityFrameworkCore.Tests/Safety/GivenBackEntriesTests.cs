using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L1b in both modes: an entry, or what an upgrade made of one, that no scope holds is given back within two
/// heartbeats.</summary>
public sealed class GivenBackEntriesTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("given back");
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(2);

    private EntryHistory? history;

    private static ConductorSetup Setup { get; } = new()
    {
        Options = o =>
        {
            o.HeartbeatInterval = Heartbeat;
            o.ReleaseTimeout = TimeSpan.FromMilliseconds(100);
        },
    };

    [Fact]
    public async Task An_entry_whose_reply_was_lost()
    {
        TestConductor a = await StartAsync();
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsShareOf(Node));

        await Assert.ThrowsAnyAsync<NpgsqlException>(async () =>
            await a.Manager.TryAcquireAsync(Node, "read", ReservationMode.Shared));

        await IsGivenBackAsync();
    }

    [Fact]
    public async Task An_entry_that_a_late_copy_made()
    {
        TestConductor a = await StartAsync();
        using HeldRequests late = Fleet.Proxy.HoldRequests(r => r.IsShareOf(Node), count: 1);
        await Assert.ThrowsAsync<TimeoutException>(async () =>
            await a.Manager.TryAcquireAsync(Node, "read", ReservationMode.Shared));
        await late.WaitForSenderGoneAsync(Limit);

        late.Release();
        await late.WaitForAnswerAsync(Limit);

        await IsGivenBackAsync();
    }

    [Fact]
    public async Task What_an_upgrade_made_of_an_entry_whose_scope_has_ended()
    {
        TestConductor a = await StartAsync();
        TaskScope reader = await a.AcquirePatientlyAsync(Node, ReservationMode.Shared);
        using (Fleet.Proxy.DropReplyAfterCommit(r => r.IsUpgradeOf(Node)))
            await Assert.ThrowsAnyAsync<NpgsqlException>(() => reader.UpgradeAsync("write").AsTask());

        await Fleet.ExecuteAsync("create table disposed as select clock_timestamp() as at");
        await reader.DisposeAsync();

        await Fleet.FreeAsync(Node);
        object? took = await Fleet.ScalarAsync(
            "select max(e.at) - min(d.at) from nodelock_nodes_entries e, disposed d where e.node = $1", Node.ToString());
        Assert.InRange((TimeSpan)took!, TimeSpan.Zero, 2 * Heartbeat);
    }

    private async Task<TestConductor> StartAsync()
    {
        history = new EntryHistory(Fleet.ConnectionString, "nodelock_nodes");
        await history.InstallAsync();
        TestConductor a = await Fleet.StartBehindProxyAsync(Setup);
        await Fleet.AddNodeAsync(Node);
        return a;
    }

    /// <summary>The node was shared, and was not any more in time.</summary>
    private async Task IsGivenBackAsync()
    {
        await Fleet.UntilAsync("select reservation_shared = '{}' from nodelock_nodes where id = $1", Node.ToString());
        EntryChange[] changes = [.. (await history!.ReadAsync()).Where(c => c.Node == Node.ToString())];
        EntryChange shared = Assert.Single(changes, c => c.NewEntries.Count > 0);
        Assert.InRange(changes[^1].At - shared.At, TimeSpan.Zero, 2 * Heartbeat);
    }
}
