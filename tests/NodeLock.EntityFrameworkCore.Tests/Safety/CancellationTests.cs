using System.Collections.Concurrent;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P13: a cancellation that races a grant never leaks it.</summary>
public sealed class CancellationTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private const int Nodes = 4;
    private const int Callers = 16;

    [Fact]
    public async Task Ten_thousand_cancellations_leak_no_grant()
    {
        TestConductor a = await Fleet.StartAsync();
        AcquireOptions options = new() { Purpose = "", Retry = LockRetry.Patient };

        Storm storm = await RunAsync(cancellations: 10_000, returned: 1000, async (node, purpose, cancellation) =>
        {
            TaskScope task = await a.Manager.AcquireAsync(node, options with { Purpose = purpose }, cancellation);
            return (task.FencingToken, task.DisposeAsync);
        });

        for (int node = 0; node < Nodes; node++) await Fleet.FreeAsync(Storm.Node(node));
        Assert.Empty(await LeaksAsync(storm));
        Assert.Empty(ReservationHistory.Check(await Fleet.History.ReadAsync()));
    }

    /// <summary>The control: a caller that forgets the answer it no longer waits for.</summary>
    [Fact]
    public async Task An_answer_that_is_dropped_on_cancellation_leaks_its_grant()
    {
        TestConductor a = await Fleet.StartAsync();

        Storm storm = await RunAsync(cancellations: 200, returned: 0, async (node, purpose, cancellation) =>
        {
            ReserveAnswer answer = await a.Repository
                .ReserveAsync(new ReserveRequest(ReserveAction.Reserve, node, a.Holder, 0, purpose), Limit)
                .AsTask().WaitAsync(cancellation);
            if (answer is not ReserveAnswer.Granted granted) throw new OperationCanceledException();
            return (granted.FencingToken,
                () => a.Repository.ReleaseAsync(a.Holder, new HeldNode(node, granted.FencingToken), Limit));
        });

        Assert.NotEmpty(await LeaksAsync(storm));
    }

    /// <summary>Grants that came to no caller, and were not given on or given back within a heartbeat.</summary>
    private async Task<IReadOnlyList<ReservationChange>> LeaksAsync(Storm storm)
    {
        TimeSpan heartbeat = new NodeLockOptions().HeartbeatInterval;
        List<ReservationChange> leaks = [];
        foreach (var node in (await Fleet.History.ReadAsync()).GroupBy(c => c.Node))
        {
            ReservationChange[] changes = [.. node];
            for (int i = 0; i < changes.Length; i++)
            {
                ReservationChange grant = changes[i];
                if (!grant.IsReservation || !grant.NewPurpose!.StartsWith("storm", StringComparison.Ordinal)) continue;
                if (storm.Tokens.ContainsKey(grant.NewToken!.Value)) continue;
                if (i + 1 == changes.Length || changes[i + 1].At - grant.At > heartbeat) leaks.Add(grant);
            }
        }

        return leaks;
    }

    private static async Task<Storm> RunAsync(int cancellations, int returned,
        Func<NodeId, string, CancellationToken, Task<(long Token, Func<ValueTask> Release)>> acquire)
    {
        Storm storm = new();
        await Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
        {
            Random random = new(caller);
            while (storm.Cancelled < cancellations || storm.Returned < returned)
            {
                using CancellationTokenSource source = new();
                Task<(long Token, Func<ValueTask> Release)> acquiring = acquire(Storm.Node(random.Next(Nodes)),
                    $"storm {caller}", source.Token);
                // From before the first statement is sent to after the last one is answered.
                if (random.Next(4) == 0) await Task.Yield();
                else await Task.WhenAny(acquiring, Task.Delay(TimeSpan.FromMilliseconds(random.Next(1, 30))));
                Task cancel = source.CancelAsync();
                try
                {
                    (long token, Func<ValueTask> release) = await acquiring;
                    storm.Tokens.TryAdd(token, true);
                    storm.CountReturned();
                    await release();
                }
                catch (OperationCanceledException)
                {
                    storm.CountCancelled();
                }

                await cancel;
            }
        }))).WaitAsync(TimeSpan.FromMinutes(5));
        return storm;
    }

    /// <summary>What came of many acquires that were all cancelled, some of them too late.</summary>
    private sealed class Storm
    {
        private int cancelled;
        private int returned;

        public ConcurrentDictionary<long, bool> Tokens { get; } = [];

        public int Cancelled => Volatile.Read(ref cancelled);

        public int Returned => Volatile.Read(ref returned);

        public static NodeId Node(int number) => new($"storm node {number}");

        public void CountCancelled() => Interlocked.Increment(ref cancelled);

        public void CountReturned() => Interlocked.Increment(ref returned);
    }
}
