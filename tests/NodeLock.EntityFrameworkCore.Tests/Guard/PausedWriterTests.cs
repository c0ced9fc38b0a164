using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Xunit;

namespace NodeLock.Tests.Guard;

/// <summary>P3 as it happens: a process that goes on with a write after its lease was over.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class PausedWriterTests(PostgresFixture postgres) : GuardTest(postgres)
{
    [Fact]
    public async Task A_process_paused_past_its_lease_saves_nothing_when_it_goes_on()
    {
        TestConductor other = await StartAsync(new ConductorSetup { Name = "other", Options = ConductorSetup.Hurried });
        await using ConductorProcess child = await StartChildAsync(Fleet.ConnectionString);
        await child.AskAsync($"acquire {Node}", "acquired");
        await child.AskAsync($"save {Node} before", "saved");

        child.Signal(ChildSignal.Stop);
        await using TaskScope taken = await other.AcquirePatientlyAsync(Node);
        await using (Ledger ledger = Open().With("between")) await ledger.SaveChangesGuardedAsync(taken);
        child.Signal(ChildSignal.Continue);

        await child.AskAsync($"save {Node} after", "not-saved");
        Assert.Equal("before between", await SavedAsync());
        taken.EnsureHeld();
    }

    /// <summary>It looked at its clock in time; what it then sent arrives after another has the node.</summary>
    [Fact]
    public async Task A_guard_that_arrives_after_the_take_over_saves_nothing()
    {
        TestConductor other = await StartAsync(new ConductorSetup { Name = "other", Options = ConductorSetup.Hurried });
        await using ConductorProcess child = await StartChildAsync(Fleet.Proxy.ConnectionString);
        await child.AskAsync($"acquire {Node}", "acquired");
        using HeldRequests guard = Fleet.Proxy.HoldRequests(GuardStatement);
        Task<string[]> late = child.AskAsync($"save {Node} late", "not-saved");
        await guard.WaitForMatchAsync(Limit);

        child.Signal(ChildSignal.Stop);
        await using TaskScope taken = await other.AcquirePatientlyAsync(Node);
        guard.Release();
        child.Signal(ChildSignal.Continue);

        await late;
        Assert.Null(await SavedAsync());
        taken.EnsureHeld();
    }

    private static Task<ConductorProcess> StartChildAsync(string connectionString) => ConductorProcess.StartAsync(
        new ConductorSettings { ConnectionString = connectionString });
}
