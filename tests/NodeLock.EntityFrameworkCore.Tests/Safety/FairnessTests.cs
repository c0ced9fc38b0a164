using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>One node that many want all the time: each conductor gets its share, and waiting costs little.</summary>
public sealed class FairnessTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private const int Conductors = 4;

    private static readonly TimeSpan Time = TimeSpan.FromSeconds(4);
    private static readonly NodeId Node = new("contended");

    /// <param name="tasks">Of each conductor: one that comes again and again, or a line that never ends.</param>
    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public async Task The_least_served_gets_at_least_half_of_the_mean(int tasks)
    {
        TestConductor[] conductors = new TestConductor[Conductors];
        for (int i = 0; i < Conductors; i++)
            conductors[i] = await Fleet.StartAsync(new ConductorSetup { Name = $"c{i}" });
        await Fleet.UntilAsync(
            "select count(*) >= $1 from pg_stat_activity where application_name = 'NodeLock listener' "
            + "and datname = current_database() and state = 'idle' and query like 'listen%'", Conductors);

        int[] served = new int[Conductors];
        long began = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, Conductors * tasks).Select(i => Task.Run(async () =>
        {
            while (Stopwatch.GetElapsedTime(began) < Time)
            {
                await using TaskScope scope = await conductors[i % Conductors].Manager.AcquireAsync(
                    Node, new AcquireOptions { Purpose = "work", Retry = LockRetry.Patient });
                Interlocked.Increment(ref served[i % Conductors]);
            }
        })));

        Assert.True(served.Sum() > 100, $"{served.Sum()} in all");
        Assert.True(served.Min() * 2 >= served.Average(), string.Join(", ", served));
    }

    [Fact]
    public async Task However_many_of_one_process_wait_two_statements_a_second_are_enough()
    {
        const int Asked = 6;
        TestConductor holder = await Fleet.StartAsync(new ConductorSetup { Name = "holder" });
        await using TaskScope held = await holder.AcquireOnceAsync(Node);
        TestConductor a = await Fleet.StartBehindProxyAsync();
        using WatchedRequests asked = Fleet.Proxy.WatchRequests(request => request.Contains("n.reservation_token + 1"));

        long began = Stopwatch.GetTimestamp();
        Task[] waiting = [.. Enumerable.Range(0, 500).Select(_ => a.Manager.AcquireAsync(Node, "wait").AsTask())];
        await Task.WhenAll(waiting).ContinueWith(_ => { }, TaskScheduler.Default); // three attempts each
        int ofAll = asked.Matches;
        using CancellationTokenSource end = new();
        waiting = [.. Enumerable.Range(0, 500).Select(_ => a.Manager.AcquireAsync(
            Node, new AcquireOptions { Purpose = "wait", Retry = LockRetry.Patient }, end.Token).AsTask())];
        await asked.WaitForMatchesAsync(ofAll + Asked, Patience.Limit);

        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Assert.InRange(asked.Matches, Asked, 2 * (seconds + 1));
        await end.CancelAsync();
        await Task.WhenAll(waiting).ContinueWith(_ => { }, TaskScheduler.Default);
    }
}
