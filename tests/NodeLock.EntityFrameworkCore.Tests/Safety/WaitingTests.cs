using System.Collections.Concurrent;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L7: what a process asks while its tasks wait for one node does not grow with their number.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class WaitingTests(PostgresFixture postgres, ITestOutputHelper output) : SafetyTest(postgres)
{
    private const int Waiters = 500;
    private const int MostInASecond = 2;
    private const int Seconds = 4;

    private static readonly NodeId Node = new("held elsewhere");

    private readonly CountedRequests counted = new();

    [Fact]
    public async Task Five_hundred_who_wait_for_a_node_of_another_ask_twice_a_second_at_most()
    {
        (TaskScope held, TestConductor b) = await StartAsync();
        using CancellationTokenSource given = new();
        long began = TimeProvider.System.GetTimestamp();
        Task<TaskScope>[] waiting = [.. Enumerable.Range(0, Waiters).Select(_ =>
            WaitAsync(b, new LockRetry(int.MaxValue, TimeSpan.FromSeconds(1)), given.Token))];

        await Tests.Eventually.TrueAsync(() => counted.Reserves >= Seconds, "they have asked for some seconds");

        double took = TimeProvider.System.GetElapsedTime(began).TotalSeconds;
        output.WriteLine($"{counted.Reserves} statements in {took:0.0} s");
        Assert.InRange(counted.Reserves, 1, MostInASecond * Math.Max(took, 1));
        Assert.InRange(took, Seconds / MostInASecond, double.MaxValue);
        await given.CancelAsync();
        await Task.WhenAll(waiting.Select(w => Assert.ThrowsAnyAsync<OperationCanceledException>(() => w)));
        await held.DisposeAsync();
    }

    [Fact]
    public async Task Five_hundred_whose_last_attempt_is_due_together_do_not_all_make_it()
    {
        const int Attempts = 3;
        (TaskScope held, TestConductor b) = await StartAsync();

        await Task.WhenAll(Enumerable.Range(0, Waiters).Select(_ => Assert.ThrowsAsync<NodeLockedException>(() =>
            WaitAsync(b, new LockRetry(Attempts, TimeSpan.FromSeconds(1)), CancellationToken.None)))).WaitAsync(Limit);

        output.WriteLine($"{counted.Reserves} statements");
        Assert.InRange(counted.Reserves, Attempts, MostInASecond * Attempts);
        await held.DisposeAsync();
    }

    private static Task<TaskScope> WaitAsync(TestConductor conductor, LockRetry retry, CancellationToken end) =>
        conductor.Manager.AcquireAsync(Node, new AcquireOptions { Purpose = "wait", Retry = retry }, end).AsTask();

    private async Task<(TaskScope Held, TestConductor Waiting)> StartAsync()
    {
        TestConductor a = await Fleet.StartAsync();
        TestConductor b = await Fleet.StartAsync(new ConductorSetup
        {
            Name = "b",
            Decorate = repository => new CountingRepository(repository, counted),
        });
        return (await a.AcquireOnceAsync(Node), b);
    }

    private sealed class CountedRequests
    {
        private readonly ConcurrentQueue<NodeId> reserves = new();

        public int Reserves => reserves.Count(node => node == Node);

        public void Add(NodeId node) => reserves.Enqueue(node);
    }

    private sealed class CountingRepository(INodeLockRepository inner, CountedRequests counted)
        : DecoratedRepository(inner)
    {
        public override ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
        {
            counted.Add(request.NodeId);
            return base.ReserveAsync(request, timeLimit);
        }

        public override ValueTask<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
            IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit)
        {
            foreach (NodeId node in requests.Select(r => r.NodeId).Distinct()) counted.Add(node);
            return base.ReserveManyAsync(requests, atomicity, timeLimit);
        }
    }
}
