using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P3, as the check of the counters sees it: a write that was sent in time, and arrives when it is not.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class StaleWriterTests(PostgresFixture postgres)
{
    private const string Node = "counted";

    [Fact]
    public async Task A_write_guarded_by_its_token_changes_nothing_after_the_take_over() =>
        Assert.Equal(0, await LostIncrementsAsync("count-guarded"));

    /// <summary>The control: the process had asked its scope right before it sent the write.</summary>
    [Fact]
    public async Task An_unguarded_write_of_a_stale_holder_is_caught_by_the_counter() =>
        Assert.Equal(1, await LostIncrementsAsync("count"));

    private async Task<long> LostIncrementsAsync(string command)
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, $"stale_{command}");
        await Counters.CreateAsync(yard, [Node]);
        await using FaultProxy proxy = new(yard.ConnectionString);
        await using LocalConductor other = await LocalConductor.StartAsync(
            new ConductorSettings { ConnectionString = yard.ConnectionString });
        await using ConductorProcess child = await ConductorProcess.StartAsync(
            new ConductorSettings { ConnectionString = proxy.ConnectionString });
        await child.AskAsync($"acquire {Node}", "acquired");
        using HeldRequests write = proxy.HoldRequests("update yard_counter", count: 1);
        Task<string[]> late = child.AskAsync($"{command} {Node}", "counted");
        await write.WaitForMatchAsync(Patience.Limit);

        child.Signal(ChildSignal.Stop);
        await using TaskScope taken = await other.Manager.AcquireAsync(
            new NodeId(Node), new AcquireOptions { Purpose = "take over", Retry = LockRetry.Patient });
        await using (Counters counters = new(yard.ConnectionString))
        {
            long count = await counters.ReadAsync(Node);
            await counters.WriteGuardedAsync(Node, count + 1, taken.FencingToken);
        }

        write.Release();
        await write.WaitForAnswerAsync(Patience.Limit);
        child.Signal(ChildSignal.Continue);
        await late;
        return await Counters.LostAsync(yard);
    }
}
