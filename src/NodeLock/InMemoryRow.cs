namespace NodeLock;

/// <summary>
/// A node's row in the <see cref="InMemoryNodeLockRepository"/>, and the rules by which it changes. Its token stays
/// when it is released. Everything here needs the store's lock.
/// </summary>
internal sealed class InMemoryRow(InMemoryNodeLockRepository store, NodeId nodeId)
{
    // Either a holder or entries, never both: each grant clears the other.
    private readonly List<SharedEntry> shared = [];

    private string purpose = "";
    private DateTimeOffset reservedAt;

    // A writer waits until then. Written past its next attempt, so that one who gives up or dies leaves nothing behind.
    private DateTimeOffset? writerUntil;

    private string? holder;
    private long token;

    /// <summary>All whom the row names.</summary>
    public IEnumerable<string> Names => shared.Select(e => e.Holder).Concat(holder is null ? [] : [holder]);

    /// <summary>Decides on a request and does what is granted. Its conductor is alive.</summary>
    public ReserveAnswer Answer(ReserveRequest request)
    {
        ReserveAnswer.Unnamed? mine = FindMine(request.Holder);
        bool stands = Stands(request);
        return request.Action switch
        {
            ReserveAction.Reserve => !stands && mine is not null ? mine : Reserve(request),
            ReserveAction.Share => !stands && mine is not null ? mine : Share(request),
            _ when !stands => mine is null ? new ReserveAnswer.NotHeld() : mine,
            ReserveAction.Join => Join(request),
            ReserveAction.Upgrade => Upgrade(request),
            ReserveAction.Downgrade => GrantShared(request),
            ReserveAction.HandOver => HandOver(request),
            _ => throw new ArgumentOutOfRangeException(nameof(request), request.Action, "Not an action."),
        };
    }

    /// <summary>Whether nothing but what the request names is in the way of an exclusive reservation.</summary>
    public bool IsFreeFor(ReserveRequest request) =>
        (holder is null || IsNamed(request) || store.HasEnded_NeedsLock(holder))
        && shared.All(e => e == EntryNamedBy(request) || store.HasDied_NeedsLock(e.Holder));

    public Reservation? ToReservation()
    {
        if (holder is not null)
            return new Reservation(nodeId, ReservationMode.Exclusive, [holder], purpose, reservedAt, token,
                StateOf(holder));

        if (shared.Count == 0) return null;
        List<SharedEntry> entries = shared.FindAll(e => !store.HasDied_NeedsLock(e.Holder));
        if (entries.Count == 0) entries = shared;
        string[] holders = [.. entries.Select(e => e.Holder)];
        return new Reservation(nodeId, ReservationMode.Shared, holders, purpose, reservedAt, entries.Max(e => e.Stamp),
            holders.All(store.HasDied_NeedsLock) ? ReservationState.Revoked : ReservationState.Held);
    }

    public bool Has(string who, HeldNode held) => held.Mode == ReservationMode.Shared
        ? shared.Contains(new SharedEntry(who, held.FencingToken))
        : IsHeldBy(who) && token == held.FencingToken;

    public bool IsHeldBy(string who) => holder == who;

    public IEnumerable<HeldNode> HeldBy(string who)
    {
        if (IsHeldBy(who)) yield return new HeldNode(nodeId, token);
        foreach (SharedEntry entry in shared.Where(e => e.Holder == who))
            yield return new HeldNode(nodeId, entry.Stamp, ReservationMode.Shared);
    }

    public bool Release(string who, HeldNode held)
    {
        if (!Has(who, held)) return false;
        if (held.Mode == ReservationMode.Shared) shared.Remove(new SharedEntry(who, held.FencingToken));
        else holder = null;
        return true;
    }

    public bool Break(long fencingToken)
    {
        if (holder is null || token != fencingToken) return false;
        (holder, token) = (null, store.DrawToken_NeedsLock());
        return true;
    }

    public bool Break(string sharer) => shared.RemoveAll(e => e.Holder == sharer) > 0;

    public bool Restore(string who, HandedOverNode handedOver)
    {
        if (!IsHeldBy(who) || token < handedOver.DrawnWith || token >= handedOver.Held.FencingToken) return false;
        (token, purpose) = (handedOver.Held.FencingToken, handedOver.Purpose);
        return true;
    }

    public Reservation? Revoke(string deadHolder)
    {
        if (!IsHeldBy(deadHolder)) return null;
        token = store.DrawToken_NeedsLock();
        return ToReservation();
    }

    /// <summary>Drops what ended conductors have left here; false when there is nothing.</summary>
    public bool Sweep()
    {
        int dropped = shared.RemoveAll(e => store.HasDied_NeedsLock(e.Holder));
        if (holder is null || !store.HasEnded_NeedsLock(holder)) return dropped > 0;
        (holder, token) = (null, store.DrawToken_NeedsLock());
        return true;
    }

    private ReserveAnswer Reserve(ReserveRequest request)
    {
        if (IsFreeFor(request)) return GrantExclusive(request);
        TimeSpan writerWaits = WriterWaits();
        Wish(request.NextAttempt);
        shared.Remove(EntryNamedBy(request));
        return new ReserveAnswer.Taken(ToReservation()!) { WriterWaits = writerWaits };
    }

    private ReserveAnswer Share(ReserveRequest request)
    {
        TimeSpan writerWaits = WriterWaits();
        bool othersShare = shared.Any(e => e.Holder != request.Holder && !store.HasDied_NeedsLock(e.Holder));
        if ((holder is null || IsNamed(request) || store.HasEnded_NeedsLock(holder))
            && !(writerWaits > TimeSpan.Zero && othersShare))
            return GrantShared(request);

        shared.Remove(EntryNamedBy(request));
        return new ReserveAnswer.Taken(ToReservation()!) { WriterWaits = writerWaits };
    }

    private ReserveAnswer Join(ReserveRequest request)
    {
        TimeSpan writerWaits = WriterWaits();
        return writerWaits > TimeSpan.Zero
            ? new ReserveAnswer.Taken(ToReservation()!) { WriterWaits = writerWaits }
            : new ReserveAnswer.Granted(request.KnownToken, store.Now, TakenOverFrom: null);
    }

    private ReserveAnswer Upgrade(ReserveRequest request)
    {
        if (IsFreeFor(request)) return GrantExclusive(request);

        // Two that share and both upgrade would wait for each other for ever: the second gives way to the first's wish.
        TimeSpan writerWaits = WriterWaits();
        if (writerWaits > TimeSpan.Zero && writerUntil != request.Wish)
            return new ReserveAnswer.Taken(ToReservation()!) { WriterWaits = writerWaits };

        Wish(request.NextAttempt);
        return new ReserveAnswer.Taken(ToReservation()!) { Wish = writerUntil > store.Now ? writerUntil : null };
    }

    private ReserveAnswer.Granted GrantExclusive(ReserveRequest request)
    {
        string? takenOverFrom = IsHeldBy(request.Holder) ? null : holder;
        shared.Clear();
        (holder, token, purpose, reservedAt, writerUntil) =
            (request.Holder, store.DrawToken_NeedsLock(), request.Purpose, store.Now, null);
        return new ReserveAnswer.Granted(token, reservedAt, takenOverFrom)
        {
            Spares = [.. Enumerable.Range(0, request.Spares).Select(_ => store.DrawToken_NeedsLock())],
        };
    }

    private ReserveAnswer HandOver(ReserveRequest request)
    {
        if (!IsNamed(request) || request.NewToken <= token) return new ReserveAnswer.NotHeld();
        (token, purpose, reservedAt) = (request.NewToken, request.Purpose, store.Now);
        return new ReserveAnswer.Granted(token, reservedAt, TakenOverFrom: null);
    }

    private ReserveAnswer.Granted GrantShared(ReserveRequest request)
    {
        string? takenOverFrom = IsHeldBy(request.Holder) ? null : holder;
        if (holder is not null) (holder, token) = (null, store.DrawToken_NeedsLock());
        shared.RemoveAll(e => e.Holder == request.Holder || store.HasDied_NeedsLock(e.Holder));
        SharedEntry entry = new(request.Holder, store.DrawToken_NeedsLock());
        shared.Add(entry);
        (purpose, reservedAt) = (request.Purpose, store.Now);
        return new ReserveAnswer.Granted(entry.Stamp, reservedAt, takenOverFrom) { WriterWaits = WriterWaits() };
    }

    private void Wish(TimeSpan nextAttempt)
    {
        DateTimeOffset now = store.Now;
        if (nextAttempt <= TimeSpan.Zero || writerUntil >= now + nextAttempt) return;
        writerUntil = now + (2 * nextAttempt);
    }

    private TimeSpan WriterWaits()
    {
        DateTimeOffset now = store.Now;
        return writerUntil > now ? writerUntil.Value - now : TimeSpan.Zero;
    }

    /// <summary>Whether what the request names is this row's. To join, that is a shared entry.</summary>
    private bool Stands(ReserveRequest request) => shared.Contains(EntryNamedBy(request))
        || (request.Action != ReserveAction.Join && IsNamed(request));

    private bool IsNamed(ReserveRequest request) => IsHeldBy(request.Holder) && token == request.KnownToken;

    private ReserveAnswer.Unnamed? FindMine(string who)
    {
        if (IsHeldBy(who)) return new ReserveAnswer.Unnamed(token, ReservationMode.Exclusive);
        int index = shared.FindIndex(e => e.Holder == who);
        return index < 0 ? null : new ReserveAnswer.Unnamed(shared[index].Stamp, ReservationMode.Shared);
    }

    private ReservationState StateOf(string who) =>
        store.WaitsForFence_NeedsLock(who) ? ReservationState.WaitingForFence
        : store.HasEnded_NeedsLock(who) ? ReservationState.Revoked
        : ReservationState.Held;

    private static SharedEntry EntryNamedBy(ReserveRequest request) => new(request.Holder, request.KnownToken);

    /// <summary>One of those that share the node; a conductor has no more than one.</summary>
    private readonly record struct SharedEntry(string Holder, long Stamp);
}
