namespace NodeLock;

/// <summary>A conductor's connection to the <see cref="InMemoryNodeLockRepository"/>.</summary>
internal sealed class InMemoryConductorStore(InMemoryNodeLockRepository repository) : IConductorStore
{
    public bool Register(ConductorEntry conductor)
    {
        lock (repository.Sync)
            return repository.Conductors.TryAdd(conductor.Holder,
                new InMemoryConductor { ExpiresAt = repository.Now + conductor.Lease });
    }

    public DateTimeOffset? Renew(string holder, TimeSpan lease)
    {
        lock (repository.Sync)
        {
            if (!repository.Conductors.TryGetValue(holder, out InMemoryConductor? conductor) || !conductor.IsAlive)
                return null;
            conductor.ExpiresAt = repository.Now + lease;
            return repository.Now;
        }
    }

    public IReadOnlyList<HeldNode> FindLost(string holder, IReadOnlyList<HeldNode> held)
    {
        lock (repository.Sync)
            return [.. held.Where(h => !repository.Rows.TryGetValue(h.NodeId, out InMemoryRow? row)
                || row.Holder != holder || row.Token != h.FencingToken)];
    }

    public IReadOnlyList<HeldNode> FindReservedBy(string holder)
    {
        lock (repository.Sync)
            return [.. repository.Rows.Where(r => r.Value.Holder == holder)
                .Select(r => new HeldNode(r.Key, r.Value.Token))];
    }

    public int Release(string holder, IReadOnlyList<HeldNode> held)
    {
        lock (repository.Sync) return held.Count(node => repository.Release_NeedsLock(holder, node));
    }

    public IReadOnlyList<string> DeclareDead(string holder, DateTimeOffset notAfter)
    {
        lock (repository.Sync)
        {
            List<string> dead = [];
            if (repository.Now >= notAfter) return dead;
            foreach ((string other, InMemoryConductor conductor) in repository.Conductors)
            {
                if (other == holder || !conductor.IsAlive || conductor.ExpiresAt >= repository.Now) continue;
                conductor.IsAlive = false;
                dead.Add(other);
            }

            return dead;
        }
    }

    public int Sweep(int batchSize)
    {
        lock (repository.Sync)
        {
            List<InMemoryRow> gone = [.. repository.Rows.Values
                .Where(r => r.Holder is not null && repository.HasEnded_NeedsLock(r.Holder)).Take(batchSize)];
            foreach (InMemoryRow row in gone) (row.Holder, row.Token) = (null, ++repository.LastToken);
            return gone.Count;
        }
    }

    public IReadOnlyList<string> FindStrangers()
    {
        lock (repository.Sync)
            return [.. repository.Rows.Values.Select(r => r.Holder).OfType<string>().Distinct()
                .Where(h => !repository.Conductors.ContainsKey(h))];
    }

    public IReadOnlyList<string> ClaimForFence(string fencer) => [];

    public void Bury(string stranger, bool requiresFence)
    {
        lock (repository.Sync)
            repository.Conductors.TryAdd(stranger,
                new InMemoryConductor { IsAlive = false, ExpiresAt = repository.Now });
    }

    public int Forget(TimeSpan endedFor)
    {
        lock (repository.Sync)
        {
            string[] old = [.. repository.Conductors.Where(c => !c.Value.IsAlive
                && c.Value.ExpiresAt < repository.Now - endedFor
                && !repository.Rows.Values.Any(r => r.Holder == c.Key)).Select(c => c.Key)];
            foreach (string holder in old) repository.Conductors.Remove(holder);
            return old.Length;
        }
    }

    public bool Leave(string holder)
    {
        lock (repository.Sync)
        {
            if (repository.Rows.Values.Any(r => r.Holder == holder)) return false;
            if (repository.Conductors.TryGetValue(holder, out InMemoryConductor? conductor)) conductor.IsAlive = false;
            return true;
        }
    }

    public void Dispose()
    {
    }
}
