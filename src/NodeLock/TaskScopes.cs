using System.Collections;

namespace NodeLock;

/// <summary>
/// Several nodes that are reserved for the caller, each with a scope of its own: dispose this, asynchronously, to
/// release them all in one step, or any of them alone before.
/// </summary>
/// <threadsafety>All members may be used at the same time from any thread.</threadsafety>
public sealed class TaskScopes : IReadOnlyList<TaskScope>, IAsyncDisposable, IDisposable
{
    private readonly Scopes keeper;
    private readonly IReadOnlyList<TaskScope> scopes;

    internal TaskScopes(Scopes keeper, IReadOnlyList<TaskScope> scopes, IReadOnlyList<SkippedNode> skipped)
    {
        this.keeper = keeper;
        this.scopes = scopes;
        Skipped = skipped;
    }

    /// <summary>The nodes that were not reserved, and why; empty where all or none were asked for.</summary>
    public IReadOnlyList<SkippedNode> Skipped { get; }

    /// <summary>How many nodes were reserved.</summary>
    public int Count => scopes.Count;

    /// <summary>The scopes, in the order in which their nodes were given.</summary>
    public TaskScope this[int index] => scopes[index];

    /// <inheritdoc/>
    public IEnumerator<TaskScope> GetEnumerator() => scopes.GetEnumerator();

    /// <summary>Releases all nodes that are held still; takes at most
    /// <see cref="NodeLockOptions.ReleaseTimeout"/>.</summary>
    public ValueTask DisposeAsync()
    {
        Holding[] held = Spend();
        return held.Length == 0 ? default : keeper.EndAllAsync(held);
    }

    /// <summary>Releases them one after another, blocking the calling thread for at most twice
    /// <see cref="NodeLockOptions.ReleaseTimeout"/>; what is left then is released in the background. Prefer
    /// <see cref="DisposeAsync"/>.</summary>
    public void Dispose() => keeper.EndAll(Spend());

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private Holding[] Spend() => [.. scopes.Where(s => s.TrySpend()).Select(s => s.Holding)];
}

/// <summary>A node that was passed over when several were asked for.</summary>
/// <param name="NodeId">The node, as the store spells it; as it was given where it is not of the key's type.</param>
/// <param name="Reason">Why: a <see cref="NodeLockedException"/>, with the facts about its holder, a
/// <see cref="NodeNotFoundException"/>, an <see cref="ArgumentException"/> for an id that is not of the key's type, or
/// whatever failed.</param>
public sealed record SkippedNode(NodeId NodeId, Exception Reason);
