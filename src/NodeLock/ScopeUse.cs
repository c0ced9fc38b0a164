namespace NodeLock;

/// <summary>
/// Whether a task scope may be used, and who ends it: once, however often it is disposed, and not while it is being
/// changed.
/// </summary>
internal sealed class ScopeUse
{
    // Idle     -> Changing (an upgrade, a downgrade, a transaction that releases, a spawn), Spent
    // Changing -> Idle, Spent, Ending (disposed meanwhile)
    // Ending   -> Spent, by whoever was changing it
    private const int Idle = 0, Changing = 1, Ending = 2, Spent = 3;

    private CancellationTokenSource? change;
    private int state;

    public bool IsOver => Volatile.Read(ref state) >= Ending;

    /// <summary>False when it is being changed, or is over.</summary>
    /// <param name="ends">What a dispose cancels, so that the change ends soon; null when it is short.</param>
    public bool TryBeginChange(CancellationTokenSource? ends)
    {
        if (Interlocked.CompareExchange(ref state, Changing, Idle) != Idle) return false;
        Interlocked.Exchange(ref change, ends); // a full fence: a dispose sees this, or this sees the dispose
        if (IsOver) ends?.Cancel();
        return true;
    }

    /// <summary>True for the one who is to end what was disposed meanwhile.</summary>
    public bool EndChange()
    {
        Volatile.Write(ref change, null);
        return Interlocked.CompareExchange(ref state, Idle, Changing) == Ending
            && Interlocked.CompareExchange(ref state, Spent, Ending) == Ending;
    }

    /// <summary>Called in a change that has given the reservation away.</summary>
    public void Spend() => Volatile.Write(ref state, Spent);

    /// <summary>Called by a dispose. True for the one who is to end the use now.</summary>
    public bool TrySpend()
    {
        while (true)
        {
            int seen = Volatile.Read(ref state);
            if (seen >= Ending) return false;
            if (Interlocked.CompareExchange(ref state, seen == Idle ? Spent : Ending, seen) != seen) continue;
            if (seen == Changing) CancelChange();
            return seen == Idle;
        }
    }

    private void CancelChange()
    {
        try
        {
            // Its callbacks run on the pool: what goes on then is not to run within a dispose.
            _ = Volatile.Read(ref change)?.CancelAsync();
        }
        catch (ObjectDisposedException)
        {
            // The change is over: whoever made it sees that the scope is to end.
        }
    }
}
