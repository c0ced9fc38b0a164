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

    // Whoever waits, until then; nobody has to be told of a release after that. At least as long as a writer does.
    private DateTimeOffset? wantedUntil;

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
        TellIfWanted();
        return true;
    }

    public bool Break(long fencingToken)
    {
        if (holder is null || token != fencingToken) return false;
        (holder, token) = (null, store.DrawToken_NeedsLock());
        TellIfWanted();
        return true;
    }

    public bool Break(string sharer)
    {
        if (shared.RemoveAll(e => e.Holder == sharer) == 0) return false;
        TellIfWanted();
        return true;
    }

    public bool Restore(string who, HandedOverNode handedOver)
    {
        if (!IsHeldBy(who) || token < handedOver.DrawnWith || token > handedOver.Held.FencingToken) return false;
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
        bool ends = holder is not null && store.HasEnded_NeedsLock(holder);
        if (ends) (holder, token) = (null, store.DrawToken_NeedsLock());
        if (!ends && dropped == 0) return false;
        TellIfWanted();
        return true;
    }

    private ReserveAnswer Reserve(ReserveRequest request)
    {
        if (IsFreeFor(request)) return GrantExclusive(request);
        TimeSpan writerWaits = WriterWaits();
        WishToWrite(request.NextAttempt);
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

        Wish(request.NextAttempt);
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

        WishToWrite(request.NextAttempt);
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
            Wanted = LeftOf(wantedUntil),
            Spares = [.. Enumerable.Range(0, request.Spares).Select(_ => store.DrawToken_NeedsLock())],
        };
    }

    private ReserveAnswer HandOver(ReserveRequest request)
    {
        if (!IsNamed(request) || request.NewToken <= token) return new ReserveAnswer.NotHeld();
        (token, purpose, reservedAt) = (request.NewToken, request.Purpose, store.Now);
        return new ReserveAnswer.Granted(token, reservedAt, TakenOverFrom: null) { Wanted = LeftOf(wantedUntil) };
    }

    private ReserveAnswer.Granted GrantShared(ReserveRequest request)
    {
        string? takenOverFrom = IsHeldBy(request.Holder) ? null : holder;
        bool letsOthersShare = holder is not null;
        if (letsOthersShare) (holder, token) = (null, store.DrawToken_NeedsLock());
        shared.RemoveAll(e => e.Holder == request.Holder || store.HasDied_NeedsLock(e.Holder));
        SharedEntry entry = new(request.Holder, store.DrawToken_NeedsLock());
        shared.Add(entry);
        (purpose, reservedAt) = (request.Purpose, store.Now);
        if (letsOthersShare) TellIfWanted();
        return new ReserveAnswer.Granted(entry.Stamp, reservedAt, takenOverFrom) { WriterWaits = WriterWaits() };
    }

    /// <summary>A writer's wish is one to be told of the release as well.</summary>
    private void WishToWrite(TimeSpan nextAttempt)
    {
        writerUntil = Prolonged(writerUntil, nextAttempt);
        Wish(nextAttempt);
    }

    private void Wish(TimeSpan nextAttempt) => wantedUntil = Prolonged(wantedUntil, nextAttempt);

    private DateTimeOffset? Prolonged(DateTimeOffset? until, TimeSpan nextAttempt)
    {
        DateTimeOffset now = store.Now;
        return nextAttempt <= TimeSpan.Zero || until >= now + nextAttempt ? until : now + (2 * nextAttempt);
    }

    private TimeSpan WriterWaits() => LeftOf(writerUntil);

    private TimeSpan LeftOf(DateTimeOffset? until)
    {
        DateTimeOffset now = store.Now;
        return until > now ? until.Value - now : TimeSpan.Zero;
    }

    /// <summary>The node is free, or may be for the one that shares it. While two do it is for nobody.</summary>
    private void TellIfWanted()
    {
        if (shared.Count <= 1 && wantedUntil > store.Now) store.Tell_NeedsLock(nodeId);
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
