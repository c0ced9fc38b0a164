using System.Collections.Concurrent;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L3: four conductors want one node all the time, and none of them starves.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class FairnessTests(PostgresFixture postgres, ITestOutputHelper output) : SafetyTest(postgres)
{
    private const int Conductors = 4;

    private static readonly NodeId Node = new("wanted by all");
    private static readonly TimeSpan Duration = TimeSpan.FromSeconds(3);

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task The_least_served_of_four_gets_at_least_half_of_the_mean(int tasks)
    {
        int[] grants = await ContendAsync(tasks, deaf: 0);

        Assert.InRange(grants.Sum(), 40, int.MaxValue);
        Assert.InRange(grants.Min(), grants.Average() / 2, double.MaxValue);
    }

    [Fact]
    public async Task Control_one_who_is_not_told_falls_behind()
    {
        int[] grants = await ContendAsync(4, deaf: 1);

        Assert.InRange(grants.Min(), 0, grants.Average() / 2);
    }

    /// <returns>How often each had the node.</returns>
    private async Task<int[]> ContendAsync(int tasks, int deaf)
    {
        TestConductor[] conductors = await Task.WhenAll(Enumerable.Range(0, Conductors).Select(i =>
            Fleet.StartAsync(new ConductorSetup { Name = $"c{i}", Options = o => o.ListenForReleases = i >= deaf })));
        await Fleet.UntilAsync("""
            select count(*) = $1 from pg_stat_activity where application_name = 'NodeLock listener'
              and datname = current_database() and query like 'listen%' and state = 'idle'
            """, (long)(Conductors - deaf));
        ConcurrentQueue<int> grants = new();
        using CancellationTokenSource over = new(Duration, TimeProvider.System);
        await Task.WhenAll(conductors.SelectMany((conductor, i) => Enumerable.Range(0, tasks).Select(async _ =>
        {
            while (!over.IsCancellationRequested)
            {
                try
                {
                    await using TaskScope scope = await conductor.Manager.AcquireAsync(Node,
                        new AcquireOptions { Purpose = "turn", Retry = LockRetry.Patient }, over.Token);
                    grants.Enqueue(i);
                }
                catch (OperationCanceledException) when (over.IsCancellationRequested)
                {
                }
            }
        }))).WaitAsync(Limit);
        int[] counts = [.. Enumerable.Range(0, Conductors).Select(i => grants.Count(g => g == i))];
        output.WriteLine($"Grants: {string.Join(", ", counts)}");
        await Fleet.FreeAsync(Node);
        Assert.Empty(ReservationHistory.Check(await Fleet.ChangesOfAsync(Node)));
        return counts;
    }
}
