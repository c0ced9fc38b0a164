namespace NodeLock;

/// <summary>A conductor's connection to the <see cref="InMemoryNodeLockRepository"/>.</summary>
internal sealed class InMemoryConductorStore(InMemoryNodeLockRepository repository) : IConductorStore
{
    public bool Register(ConductorEntry conductor)
    {
        lock (repository.Sync)
            return repository.Conductors.TryAdd(conductor.Holder,
                new InMemoryConductor
                {
                    ExpiresAt = repository.Now + conductor.Lease,
                    RequiresFence = conductor.RequiresFence,
                });
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
        lock (repository.Sync) return [.. held.Where(h => !IsKept_NeedsLock(holder, h))];
    }

    public IReadOnlyList<HeldNode> Restore(string holder, IReadOnlyList<HandedOverNode> handedOver)
    {
        lock (repository.Sync)
            return [.. handedOver.Select(h => h.Held).Where((held, i) =>
                repository.Rows.GetValueOrDefault(held.NodeId)?.Restore(holder, handedOver[i]) == true)];
    }

    public IReadOnlyList<HeldNode> FindReservedBy(string holder)
    {
        lock (repository.Sync) return [.. repository.Rows.Values.SelectMany(r => r.HeldBy(holder))];
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
                conductor.State =
                    conductor.RequiresFence ? InMemoryConductorState.Dead : InMemoryConductorState.Fenced;
                dead.Add(other);
            }

            return dead;
        }
    }

    public IReadOnlyList<string> ClaimForFence(string fencer)
    {
        lock (repository.Sync)
        {
            if (!repository.IsTrusted_NeedsLock(fencer)) return [];
            KeyValuePair<string, InMemoryConductor>[] claimed = [.. repository.Conductors.Where(c =>
                c.Value.State == InMemoryConductorState.Dead
                && (c.Value.FencedBy is not { } claimer || claimer == fencer || !IsAlive_NeedsLock(claimer)))];
            foreach ((_, InMemoryConductor conductor) in claimed) conductor.FencedBy = fencer;
            return [.. claimed.Select(c => c.Key)];
        }
    }

    public int Sweep(int batchSize)
    {
        lock (repository.Sync)
        {
            int freed = 0;
            foreach (InMemoryRow row in repository.Rows.Values)
            {
                if (freed == batchSize) break;
                if (row.Sweep()) freed++;
            }

            return freed;
        }
    }

    public IReadOnlyList<string> FindStrangers()
    {
        lock (repository.Sync)
            return [.. repository.Rows.Values.SelectMany(r => r.Names).Distinct()
                .Where(h => !repository.Conductors.ContainsKey(h))];
    }

    public void Bury(string stranger, bool requiresFence)
    {
        lock (repository.Sync)
        {
            repository.Conductors.TryAdd(stranger, new InMemoryConductor
            {
                State = requiresFence ? InMemoryConductorState.Dead : InMemoryConductorState.Fenced,
                ExpiresAt = repository.Now,
                RequiresFence = requiresFence,
            });
        }
    }

    public int Forget(TimeSpan endedFor)
    {
        lock (repository.Sync)
        {
            string[] old = [.. repository.Conductors.Where(c => c.Value.HasEnded
                && c.Value.ExpiresAt < repository.Now - endedFor
                && !IsNamed_NeedsLock(c.Key)).Select(c => c.Key)];
            foreach (string holder in old) repository.Conductors.Remove(holder);
            return old.Length;
        }
    }

    public void TellNothing()
    {
        lock (repository.Sync) repository.Tell_NeedsLock(null);
    }

    public bool Leave(string holder)
    {
        lock (repository.Sync)
        {
            bool isFencing = repository.Conductors.Values.Any(
                c => c.FencedBy == holder && c.State == InMemoryConductorState.Dead);
            if (!IsAlive_NeedsLock(holder) || IsNamed_NeedsLock(holder) || isFencing) return false;
            repository.Conductors[holder].State = InMemoryConductorState.Left;
            return true;
        }
    }

    public void Dispose()
    {
    }

    // An upgrade whose reply was lost turned the entry into an exclusive reservation, which protects the node as well.
    private bool IsKept_NeedsLock(string holder, HeldNode held) =>
        repository.Rows.GetValueOrDefault(held.NodeId) is { } row
        && (row.Has(holder, held) || (held.Mode == ReservationMode.Shared && row.IsHeldBy(holder)));

    private bool IsAlive_NeedsLock(string holder) => repository.Conductors.GetValueOrDefault(holder)?.IsAlive == true;

    private bool IsNamed_NeedsLock(string holder) =>
        repository.Rows.Values.Any(r => r.Names.Contains(holder));
}
