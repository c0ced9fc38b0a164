using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Guard;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P9 and P10: what a process's own clock says decides about nothing but its own trust.</summary>
public sealed class ClockTests(PostgresFixture postgres) : GuardTest(postgres)
{
    public enum Wrong
    {
        Frozen,
        SetBack,
    }

    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    /// <summary>Its own clock says that the lease goes on; the database knows better, and is asked.</summary>
    [Theory]
    [InlineData(Wrong.Frozen)]
    [InlineData(Wrong.SetBack)]
    public async Task A_holder_whose_clock_is_wrong_believes_and_writes_nothing(Wrong wrong)
    {
        SteppedTime time = new();
        TestConductor a = await StartAsync(new ConductorSetup
        {
            ConnectionString = Fleet.Proxy.ConnectionString,
            TimeProvider = time,
            Options = ConductorSetup.Hurried,
        });
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b", Options = ConductorSetup.Hurried });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await using (Ledger before = Open().With("before")) await before.SaveChangesGuardedAsync(task);

        using HeldRequests renewals = Fleet.Proxy.HoldRequests(r => r.IsRenewal());
        if (wrong == Wrong.Frozen) time.Freeze();
        else time.JumpAhead(-Hour);
        await using TaskScope taken = await b.AcquirePatientlyAsync(Node);

        task.EnsureHeld(); // so says its clock
        await using Ledger ledger = Open().With("after");
        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));
        Assert.Equal("before", await SavedAsync());
        await LostAsync(task, "");
        taken.EnsureHeld();
    }

    [Fact]
    public async Task Conductors_whose_clocks_are_hours_apart_exclude_each_other_and_learn_in_time()
    {
        TestConductor early = await StartAsync(Shifted("early", -Hour, Fleet.Proxy.ConnectionString));
        TestConductor late = await StartAsync(Shifted("late", Hour, Fleet.ConnectionString));
        for (int turn = 0; turn < 3; turn++)
        {
            (TestConductor first, TestConductor second) = turn % 2 == 0 ? (early, late) : (late, early);
            await using TaskScope held = await first.AcquirePatientlyAsync(Node);
            await Assert.ThrowsAsync<NodeLockedException>(() => second.AcquireOnceAsync(Node));
            await Assert.ThrowsAsync<NodeLockedException>(() => second.ShareOnceAsync(Node));
        }

        // Two leases during which each goes on to believe, and neither judges the other.
        await using TaskScope task = await early.AcquirePatientlyAsync(Node);
        object? now = await Fleet.ScalarAsync("select clock_timestamp()");
        await Fleet.UntilAsync("select min(heartbeat_at) > $1 + interval '9 seconds' from nodelock_conductors "
            + "where state = 'alive'", now!);
        task.EnsureHeld();
        await Assert.ThrowsAsync<NodeLockedException>(() => late.AcquireOnceAsync(Node));

        using HeldRequests renewals = Fleet.Proxy.HoldRequests(r => r.IsRenewal());
        await using TaskScope taken = await late.AcquirePatientlyAsync(Node);

        Assert.True(task.Lost.IsCancellationRequested);
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        taken.EnsureHeld();
        Assert.True(taken.FencingToken > task.FencingToken);
    }

    private static ConductorSetup Shifted(string name, TimeSpan by, string connectionString)
    {
        SteppedTime time = new();
        time.JumpAhead(by);
        return new ConductorSetup
        {
            Name = name,
            ConnectionString = connectionString,
            TimeProvider = time,
            Options = ConductorSetup.Hurried,
        };
    }
}
