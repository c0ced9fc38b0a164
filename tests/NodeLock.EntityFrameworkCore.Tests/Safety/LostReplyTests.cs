using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P4: a reserve whose reply was lost after its commit is repeated without waiting for oneself.</summary>
public sealed class LostReplyTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("lost reply");

    [Fact]
    public async Task The_acquire_after_a_lost_reply_has_the_node_at_its_first_attempt()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();

        await HasTheNodeAtOnceAsync(a);

        IReadOnlyList<ReservationChange> changes = await Fleet.ChangesOfAsync(Node);
        Assert.Equal([a.Holder, a.Holder, null], changes.Select(c => c.NewHolder));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task With_retries_of_the_context_the_acquire_itself_has_the_node(int lostReplies)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(new ConductorSetup
        {
            Npgsql = npgsql => npgsql.EnableRetryOnFailure(6, TimeSpan.FromMilliseconds(100), null),
        });
        await Fleet.AddNodeAsync(Node);
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsReserveOf(Node), lostReplies);

        await using (TaskScope task = await a.AcquireOnceAsync(Node))
        {
            Assert.Equal((lostReplies, 0), (lost.Drops, lost.Errors));
            Assert.Equal((a.Holder, task.FencingToken),
                (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
            task.EnsureHeld();
        }

        Assert.Null(await Fleet.HolderOfAsync(Node));
        Assert.Empty(ReservationHistory.Check(await Fleet.ChangesOfAsync(Node)));
    }

    /// <summary>The control: a repository that does not know its own reservation by the token.</summary>
    [Fact]
    public async Task Without_mine_by_token_the_same_acquire_waits_for_itself()
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(new ConductorSetup { Decorate = r => new WithoutMine(r) });

        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(() => HasTheNodeAtOnceAsync(a));

        Assert.Equal(a.Holder, locked.Holder);
    }

    private async Task HasTheNodeAtOnceAsync(TestConductor a)
    {
        await Fleet.AddNodeAsync(Node);
        using DroppedReplies lost = Fleet.Proxy.DropReplyAfterCommit(r => r.IsReserveOf(Node));
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));
        await lost.WaitForDropAsync(Limit);
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));

        await using TaskScope task = await a.AcquireOnceAsync(Node);
        Assert.Equal(task.FencingToken, await Fleet.TokenOfAsync(Node));
        task.EnsureHeld();
    }

    private sealed class WithoutMine(INodeLockRepository inner) : DecoratedRepository(inner)
    {
        public override async ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
        {
            ReserveAnswer answer = await base.ReserveAsync(request, timeLimit);
            return answer is ReserveAnswer.Unnamed unnamed
                ? new ReserveAnswer.Taken(new Reservation(request.NodeId, ReservationMode.Exclusive, [request.Holder],
                    request.Purpose, DateTimeOffset.UnixEpoch, unnamed.FencingToken, ReservationState.Held))
                : answer;
        }
    }
}
