using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// Callers that want several of a few nodes at once, all or none, drawn at random: each that gets them believes in each
/// of them for a moment. The scopes of one batch have its name in theirs.
/// </summary>
internal sealed class Batches(TaskManager manager, Beliefs beliefs, string[] nodes)
{
    private const int Callers = 2;
    private const int MostNodes = 4;
    private const int MostMilliseconds = 2;

    private static readonly LockRetry Retry = new(15, TimeSpan.FromMilliseconds(25));

    private readonly ConcurrentDictionary<string, int> outcomes = new();
    private int batches;

    /// <summary>How often what happened: "held", "wrong nodes", and the names of exceptions.</summary>
    public static IReadOnlyDictionary<string, int> ParseOutcomes(string text) =>
        JsonSerializer.Deserialize<Dictionary<string, int>>(text)!;

    public string PrintOutcomes() => JsonSerializer.Serialize(outcomes);

    public Task RunAsync(int count, int seed) => Task.WhenAll(Enumerable.Range(0, Callers)
        .Select(caller => Task.Run(() => CallAsync(count / Callers, new Random((seed * Callers) + caller)))));

    /// <summary>The nodes of each batch that was held with their tokens, and those of each transaction: the two are the
    /// same where no batch ever had a part of its nodes.</summary>
    public static (IReadOnlyList<string> Held, IReadOnlyList<string> Reserved) Compare(
        IEnumerable<Belief> beliefs, IEnumerable<ReservationChange> changes) =>
    (
        [.. beliefs.GroupBy(b => b.ScopeId.Split('/')[0]).Select(b => Print(b.Select(s => (s.Node, s.Token)))).Order()],
        [.. changes.Where(c => c.IsReservation).GroupBy(c => c.TransactionId)
            .Select(c => Print(c.Select(n => (n.Node, n.NewToken!.Value)))).Order()]
    );

    private static string Print(IEnumerable<(string Node, long Token)> held) =>
        string.Join(' ', held.Order().Select(h => $"{h.Node}:{h.Token}"));

    private async Task CallAsync(int count, Random random)
    {
        for (int i = 0; i < count; i++)
        {
            string[] wanted = random.GetItems(nodes, random.Next(1, MostNodes + 1)).Distinct().ToArray();
            try
            {
                await UseAsync(wanted, TimeSpan.FromMilliseconds(random.Next(MostMilliseconds + 1)));
            }
            // The parent judges what may come.
            catch (Exception e)
            {
                Count(e.GetType().Name);
            }
        }
    }

    private async Task UseAsync(string[] wanted, TimeSpan hold)
    {
        await using TaskScopes scopes = await manager.AcquireAllAsync(
            wanted.Select(node => new NodeId(node)), new AcquireOptions { Purpose = "batch", Retry = Retry });
        string batch = Interlocked.Increment(ref batches).ToString(CultureInfo.InvariantCulture);
        foreach (TaskScope scope in scopes)
            beliefs.Begin(scope.NodeId.ToString(), $"{batch}/{scope.NodeId}", manager.Holder, scope.FencingToken);
        await Task.Delay(hold);
        foreach (TaskScope scope in scopes)
        {
            scope.EnsureHeld();
            beliefs.End($"{batch}/{scope.NodeId}");
        }

        Count(scopes.Select(scope => scope.NodeId.ToString()).SequenceEqual(wanted) ? "held" : "wrong nodes");
    }

    private void Count(string outcome) => outcomes.AddOrUpdate(outcome, 1, (_, count) => count + 1);
}
