using System.Collections.Concurrent;
using System.Globalization;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// Callers that take a node in either mode, drawn at random, and while they have it go over to the other: what each of
/// their scopes believes at each moment is recorded.
/// </summary>
internal sealed class ModeWorkload(TestConductor conductor, Beliefs beliefs, NodeId[] nodes)
{
    // Few attempts, so that a caller soon goes on to something else.
    private static readonly LockRetry Retry = new(6, TimeSpan.FromMilliseconds(20));

    private readonly ConcurrentDictionary<string, int> outcomes = new();
    private int names;

    /// <summary>How often what happened: "wrote", "read", "upgraded", "not upgraded", "downgraded", "locked",
    /// "lost".</summary>
    public IReadOnlyDictionary<string, int> Outcomes => outcomes;

    public Task RunAsync(int callers, int seed, CancellationToken stop) => Task.WhenAll(Enumerable.Range(0, callers)
        .Select(caller => Task.Run(() => CallAsync(new Random((seed * 100) + caller), stop))));

    private async Task CallAsync(Random random, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            NodeId node = nodes[random.Next(nodes.Length)];
            ReservationMode mode = random.Next(2) == 0 ? ReservationMode.Exclusive : ReservationMode.Shared;
            try
            {
                await using TaskScope scope = await conductor.Manager.AcquireAsync(
                    node, new AcquireOptions { Purpose = "mixed", Mode = mode, Retry = Retry }, CancellationToken.None);
                await UseAsync(scope, random);
            }
            catch (NodeLockedException)
            {
                Count("locked");
            }
            // Where nothing befalls anybody, a fault of the store.
            catch (ReservationLostException)
            {
                Count("lost");
            }
        }
    }

    private async Task UseAsync(TaskScope scope, Random random)
    {
        string belief = Begin(scope);
        Count(scope.Mode == ReservationMode.Exclusive ? "wrote" : "read");
        await WorkAsync(scope, random);
        for (int changes = random.Next(3); changes > 0; changes--)
        {
            belief = scope.Mode == ReservationMode.Shared ? await UpgradeAsync(scope, belief)
                : await DowngradeAsync(scope, belief);
            await WorkAsync(scope, random);
        }

        beliefs.End(belief);
    }

    private static async Task WorkAsync(TaskScope scope, Random random)
    {
        await Task.Delay(random.Next(6));
        scope.EnsureHeld();
    }

    /// <summary>It shares the node all the time, and is alone from the answer on.</summary>
    private async Task<string> UpgradeAsync(TaskScope scope, string belief)
    {
        try
        {
            await scope.UpgradeAsync("write", Retry);
        }
        catch (NodeLockedException)
        {
            Count("not upgraded");
            return belief;
        }

        beliefs.End(belief);
        Count("upgraded");
        return Begin(scope);
    }

    /// <summary>It is alone up to the question, and shares the node from the answer on.</summary>
    private async Task<string> DowngradeAsync(TaskScope scope, string belief)
    {
        beliefs.End(belief);
        await scope.DowngradeAsync();
        Count("downgraded");
        return Begin(scope);
    }

    private string Begin(TaskScope scope)
    {
        string name = $"{conductor.Holder}:{Interlocked.Increment(ref names).ToString(CultureInfo.InvariantCulture)}";
        beliefs.Begin(scope.NodeId.ToString(), name, conductor.Holder, scope.FencingToken,
            scope.Mode == ReservationMode.Exclusive ? BeliefMode.Exclusive : BeliefMode.Shared);
        return name;
    }

    private void Count(string outcome) => outcomes.AddOrUpdate(outcome, 1, (_, count) => count + 1);
}
