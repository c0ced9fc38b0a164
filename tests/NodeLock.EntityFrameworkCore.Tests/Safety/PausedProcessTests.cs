using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>What a process finds that was paused past its lease.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class PausedProcessTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public async Task A_process_paused_past_its_lease_learns_at_once_changes_nothing_and_goes_on_under_a_new_holder()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "paused");
        ConductorSettings settings = new() { ConnectionString = yard.ConnectionString };
        await using LocalConductor other = await LocalConductor.StartAsync(settings);
        await using ConductorProcess child = await ConductorProcess.StartAsync(settings);
        await child.AskAsync("acquire n", "acquired");
        string before = await child.HolderAsync();

        child.Signal(ChildSignal.Stop);
        await using TaskScope taken = await other.Manager.AcquireAsync(
            new NodeId("n"), new AcquireOptions { Purpose = "take over", Retry = LockRetry.Patient });
        long continued = Stopwatch.GetTimestamp();
        child.Signal(ChildSignal.Continue);

        await child.AskAsync("ensure n", "not-held");
        TimeSpan toLost = Stopwatch.GetElapsedTime(continued, await child.LostAtAsync("n"));
        output.WriteLine($"Lost {toLost.TotalMilliseconds:0} ms after it went on");
        Assert.InRange(toLost, TimeSpan.Zero, TimeSpan.FromSeconds(1));

        await child.AskAsync("release n", "released");
        Reservation? reservation = await other.Manager.GetReservationAsync(taken.NodeId);
        Assert.Equal((other.Manager.Holder, taken.FencingToken), (reservation?.Holders[0], reservation?.FencingToken));
        taken.EnsureHeld();

        await child.AskAsync("acquire m", "acquired");
        await child.AskAsync("ensure m", "held");
        string after = await child.HolderAsync();
        Assert.NotEqual(before, after);
        Assert.Equal(after, await yard.HolderOfAsync("m"));
        Assert.Empty(await yard.ViolationsAsync());
    }
}
