namespace NodeLock;

/// <summary>How urgent spawned work is.</summary>
public enum WorkPriority
{
    /// <summary>It finds no worker free when only <see cref="NodeLockOptions.ReservedWorkers"/> are left.</summary>
    Normal,

    /// <summary>It may take one of the <see cref="NodeLockOptions.ReservedWorkers"/> too: what somebody waits for, or
    /// what ends other work.</summary>
    Urgent,
}

/// <summary>How much spawned work may run at the same time. Nothing is queued: who finds no worker is told
/// so.</summary>
internal sealed class Workers(NodeLockOptions options)
{
    private int busy;

    public bool TryEnter(WorkPriority priority)
    {
        int limit = options.WorkerPoolSize - (priority == WorkPriority.Urgent ? 0 : options.ReservedWorkers);
        for (int seen = Volatile.Read(ref busy); seen < limit;)
        {
            int found = Interlocked.CompareExchange(ref busy, seen + 1, seen);
            if (found == seen) return true;
            seen = found;
        }

        return false;
    }

    public void Leave() => Interlocked.Decrement(ref busy);
}
