using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P1b: an answer counts only while the trust window is open and its conductor is the current one.</summary>
public sealed class LateAnswerTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("late");

    [Fact]
    public async Task A_grant_for_a_conductor_that_was_declared_dead_meanwhile_is_not_believed()
    {
        TestConductor a = await Fleet.StartAsync();
        string before = a.Holder;

        IReadOnlyList<BeliefOverlap> overlaps = await JudgeAsync(before, async beliefs =>
        {
            await Assert.ThrowsAsync<ReservationLostException>(async () =>
            {
                await using TaskScope task = await a.AcquireOnceAsync(Node, "held up");
                beliefs.Begin(Node.ToString(), "a", before, task.FencingToken);
            });
        }, meanwhile: async () =>
        {
            // Any other acquire of the process meets "not alive", and the conductor starts over.
            await using TaskScope other = await a.AcquireOnceAsync(new NodeId("other"));
            Assert.NotEqual(before, a.Holder);
        });

        Assert.Empty(overlaps);
    }

    /// <summary>The control: the same judge sees two believers where the answer alone is believed.</summary>
    [Fact]
    public async Task Believing_the_answer_alone_makes_two_believers()
    {
        TestConductor any = Fleet.Create(new ConductorSetup());
        using IConductorStore line = any.Repository.Connect(Limit);
        const string Blind = "blind/1";
        Assert.True(line.Register(
            new ConductorEntry(Blind, "blind", "here", 1, TimeSpan.FromMinutes(5), RequiresFence: false)));

        IReadOnlyList<BeliefOverlap> overlaps = await JudgeAsync(Blind, async beliefs =>
        {
            ReserveRequest request = new(ReserveAction.Reserve, Node, Blind, 0, "held up");
            if (await any.Repository.ReserveAsync(request, Limit) is ReserveAnswer.Granted granted)
                beliefs.Begin(Node.ToString(), "a", Blind, granted.FencingToken);
        }, meanwhile: () => Task.CompletedTask);

        Assert.Single(overlaps);
    }

    [Fact]
    public async Task A_grant_that_comes_after_the_trust_window_has_closed_is_not_believed()
    {
        SteppedTime time = new();
        TestConductor a = await Fleet.StartBehindProxyAsync(new ConductorSetup { TimeProvider = time });
        await Fleet.AddNodeAsync(Node);
        using HeldRequests renewals = Fleet.Proxy.HoldRequests(r => r.IsRenewal());
        using HeldRequests held = Fleet.Proxy.HoldRequests(r => r.IsReserveOf(Node));
        Task<TaskScope> acquire = a.AcquireOnceAsync(Node);
        await held.WaitForMatchAsync(Limit);

        time.JumpAhead(TimeSpan.FromMinutes(5));
        held.Release();

        await Assert.ThrowsAsync<ReservationLostException>(() => acquire);
        await Fleet.FreeAsync(Node);
        Assert.Equal([true, false], (await Fleet.ChangesOfAsync(Node)).Select(c => c.IsReservation));
    }

    [Fact]
    public async Task A_reserve_whose_lease_runs_out_while_it_waits_for_the_row_gets_nothing()
    {
        TestConductor any = Fleet.Create(new ConductorSetup());
        await using NpgsqlConnection user = await Fleet.OpenAsync();
        await Fleet.AddNodeAsync(Node);
        using IConductorStore line = any.Repository.Connect(Limit);

        // The wait for a row is short, so a slow machine may need more than one of them.
        for (int round = 1; ; round++)
        {
            string holder = $"slow/{round}";
            await using NpgsqlTransaction transaction = await user.BeginTransactionAsync();
            await new NpgsqlCommand("select from nodelock_nodes for update", user).ExecuteNonQueryAsync();
            Assert.True(line.Register(
                new ConductorEntry(holder, "slow", "here", 1, TimeSpan.FromMilliseconds(100), RequiresFence: false)));
            Task<ReserveAnswer> reserve = any.Repository.ReserveAsync(
                new ReserveRequest(ReserveAction.Reserve, Node, holder, 0, "test"), Limit).AsTask();
            await Fleet.UntilAsync("select expires_at < clock_timestamp() from nodelock_conductors where holder = $1",
                holder);
            await transaction.CommitAsync();

            ReserveAnswer answer = await reserve.WithinLimit();
            Assert.Null(await Fleet.HolderOfAsync(Node));
            if (answer is ReserveAnswer.ConductorNotAlive) return;
            Assert.IsType<ReserveAnswer.RowInHand>(answer);
            Assert.True(round < 100, "The wait for the row always ended first.");
        }
    }

    /// <summary>
    /// Holds up a grant until its conductor is dead and another has taken the node over, and judges who believed.
    /// </summary>
    private async Task<IReadOnlyList<BeliefOverlap>> JudgeAsync(string holder, Func<Beliefs, Task> acquire,
        Func<Task> meanwhile)
    {
        Beliefs beliefs = new("test");
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        Task late;
        await using (await HeldUpGrants.BeginAsync(Fleet, "held up"))
        {
            late = acquire(beliefs);
            await HeldUpGrants.ReachedAsync(Fleet);
            await Fleet.DeclareDeadAsync(holder);
            await meanwhile();
        }

        await late.WithinLimit();
        await using TaskScope task = await b.AcquirePatientlyAsync(Node);
        beliefs.Begin(Node.ToString(), "b", b.Holder, task.FencingToken);
        task.EnsureHeld();
        foreach (string scope in new[] { "a", "b" }) beliefs.Confirm(scope, Beliefs.Now());
        return BeliefJudge.Overlaps(beliefs.Lines);
    }
}
