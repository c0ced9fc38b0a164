using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using NodeLock.Tests.Guard;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P18: what the dead holder still writes, and a fencer that comes too late.</summary>
public sealed class FenceAndGuardTests(PostgresFixture postgres) : GuardTest(postgres)
{
    private static readonly Func<NodeToFence, CancellationToken, Task> Nothing = (_, _) => Task.CompletedTask;

    [Fact]
    public async Task A_guarded_write_under_way_ends_before_the_fence_begins_and_the_next_is_refused()
    {
        int fences = 0;
        TestConductor a = await StartAsync(new ConductorSetup { Fence = Nothing });
        TestConductor b = await StartFencerAsync((_, _) =>
        {
            Interlocked.Increment(ref fences);
            return Task.CompletedTask;
        });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using Ledger ledger = Open().With("under way");
        await using (IDbContextTransaction transaction = await ledger.Database.BeginTransactionAsync())
        {
            await ledger.Database.EnsureReservedAsync(task);
            await DeclareDeadAsync(a.Holder, byLease: true);
            await b.LoggedAsync(46); // the revocation met the row in hand, and is tried again
            Assert.Equal(0, Volatile.Read(ref fences));
            Assert.Equal((a.Holder, task.FencingToken),
                (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
            await ledger.SaveChangesAsync();
            await transaction.CommitAsync();
        }

        await b.LoggedAsync(45);

        Assert.Equal(1, fences);
        Assert.Equal("under way", await SavedAsync());
        await using Ledger next = Open().With("too late");
        await Assert.ThrowsAsync<ReservationLostException>(() => next.SaveChangesGuardedAsync(task));
        Assert.Equal("under way", await SavedAsync());
        await using TaskScope taken = await b.AcquirePatientlyAsync(Node);
        Assert.Equal([a.Holder, a.Holder, null, b.Holder],
            (await Fleet.ChangesOfAsync(Node)).Select(c => c.NewHolder));
    }

    [Fact]
    public async Task A_guarded_write_of_the_dead_is_refused_while_its_node_is_being_fenced()
    {
        TaskCompletionSource<NodeToFence> begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestConductor a = await StartAsync(new ConductorSetup { Fence = Nothing });
        TestConductor b = await StartFencerAsync(async (node, _) =>
        {
            begun.TrySetResult(node);
            await goOn.Task;
        });
        await using TaskScope task = await a.AcquireOnceAsync(Node, "write");
        await DeclareDeadAsync(a.Holder, byLease: false);
        NodeToFence fenced = await begun.Task.WithinLimit();
        Assert.False(task.Lost.IsCancellationRequested);

        await using Ledger ledger = Open().With("too late");
        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));

        Assert.Null(await SavedAsync());
        Assert.Equal((Node, "write"), (fenced.NodeId, fenced.Purpose));
        Assert.True(fenced.FencingToken > task.FencingToken);
        await task.DisposeAsync();
        Assert.NotNull(await Fleet.HolderOfAsync(Node)); // its release frees nothing that is to be fenced
        goOn.SetResult();
        await using TaskScope taken = await b.AcquirePatientlyAsync(Node);
        taken.EnsureHeld();
    }

    /// <summary>Two that each had the claim: the second revoked anew, so what the first does late meets another
    /// token.</summary>
    [Fact]
    public async Task A_stale_fencer_revokes_nothing_finishes_nothing_and_frees_nothing()
    {
        const string Victim = "victim/1";
        const string Stale = "stale/1";
        const string Fresh = "fresh/1";
        INodeLockRepository store = Fleet.Create(new ConductorSetup()).Repository;
        using IConductorStore line = store.Connect(Limit);
        foreach (string holder in new[] { Victim, Stale, Fresh })
            Assert.True(line.Register(new ConductorEntry(holder, holder, "here", 1, TimeSpan.FromMinutes(5), true)));
        Assert.IsType<ReserveAnswer.Granted>(await store.ReserveAsync(
            new ReserveRequest(ReserveAction.Reserve, Node, Victim, 0, "work"), Limit));
        await DeclareDeadAsync(Victim, byLease: false);
        Assert.Equal([Victim], line.ClaimForFence(Stale));
        Assert.Empty(line.ClaimForFence(Fresh)); // one at a time
        Reservation first = (await store.RevokeAsync(Node, Victim, Stale, Limit))!;
        Assert.Null(await store.RevokeAsync(Node, Victim, Fresh, Limit));
        await DeclareDeadAsync(Stale, byLease: false);
        Assert.Equal([Stale, Victim], line.ClaimForFence(Fresh).Order());
        Reservation second = (await store.RevokeAsync(Node, Victim, Fresh, Limit))!;

        await store.ReleaseAsync(Victim, new HeldNode(Node, first.FencingToken), Limit);
        Assert.Null(await store.RevokeAsync(Node, Victim, Stale, Limit));
        Assert.False(await store.FinishFenceAsync(Victim, Stale, Limit));
        Assert.Empty(line.ClaimForFence(Stale));

        Assert.True(second.FencingToken > first.FencingToken);
        Assert.Equal((Victim, second.FencingToken), (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
        Assert.False(await store.FinishFenceAsync(Victim, Fresh, Limit)); // it holds the node still
        await store.ReleaseAsync(Victim, new HeldNode(Node, second.FencingToken), Limit);
        Assert.True(await store.FinishFenceAsync(Victim, Fresh, Limit));
    }

    [Fact]
    public async Task A_hung_transaction_on_one_node_of_the_dead_holds_up_the_fence_of_no_other()
    {
        NodeId other = new("another");
        TestConductor a = await StartAsync(new ConductorSetup { Fence = Nothing });
        TestConductor b = await StartFencerAsync(Nothing);
        await using TaskScope first = await a.AcquireOnceAsync(Node);
        await using TaskScope second = await a.AcquireOnceAsync(other);
        await using NpgsqlConnection user = await Fleet.OpenAsync();
        await new NpgsqlCommand($"begin; select from nodelock_nodes where id = '{Node}' for update", user)
            .ExecuteNonQueryAsync();
        await DeclareDeadAsync(a.Holder, byLease: true);

        await using (TaskScope taken = await b.AcquirePatientlyAsync(other)) taken.EnsureHeld();
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
        Assert.Equal(first.FencingToken, await Fleet.TokenOfAsync(Node));

        await user.CloseAsync();
        await using TaskScope last = await b.AcquirePatientlyAsync(Node);
        last.EnsureHeld();
    }

    [Fact]
    public async Task What_the_dead_only_shared_is_not_fenced()
    {
        int fences = 0;
        TestConductor a = await StartAsync(new ConductorSetup { Fence = Nothing });
        await using TaskScope reader = await a.ShareOnceAsync(Node);
        TestConductor b = await StartFencerAsync((_, _) =>
        {
            Interlocked.Increment(ref fences);
            return Task.CompletedTask;
        });
        await Assert.ThrowsAsync<NodeLockedException>(() => b.AcquireOnceAsync(Node));
        await DeclareDeadAsync(a.Holder, byLease: true);

        await using TaskScope taken = await b.AcquirePatientlyAsync(Node);

        await Fleet.UntilAsync("select state = 'fenced' from nodelock_conductors where holder = $1", a.Holder);
        Assert.Equal(0, fences);
        taken.EnsureExclusive();
    }

    private Task<TestConductor> StartFencerAsync(Func<NodeToFence, CancellationToken, Task> fence) =>
        StartAsync(new ConductorSetup { Name = "b", Options = ConductorSetup.Hurried, Fence = fence });

    /// <summary>By the end of its lease, which others see, or as they do it, with nothing in between.</summary>
    private Task DeclareDeadAsync(string holder, bool byLease) => Fleet.ExecuteAsync(byLease
        ? "update nodelock_conductors set expires_at = clock_timestamp() where holder = $1"
        : "update nodelock_conductors set state = 'dead' where holder = $1 and requires_fence", holder);
}
