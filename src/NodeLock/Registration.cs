using System.Security.Cryptography;

namespace NodeLock;

/// <summary>
/// One start of this conductor: its holder, its trust window, and what is held under it. A conductor that is declared
/// dead starts over with a new one; a registration never comes back.
/// </summary>
internal sealed class Registration(string holder, TimeSpan lease, MonotonicClock clock)
{
    private readonly Lock sync = new();
    private readonly HashSet<Holding> holdings = [];
    private CancellationTokenSource? trust;
    private long closesAt = TrustWindow.Closed.ClosesAt.Ticks;
    private bool ended;

    public string Holder => holder;

    /// <summary>True when the store said so; false when it merely could not be asked.</summary>
    public bool IsDeclaredDead { get; private set; }

    /// <summary>Computed at the call, not when a timer got round to it.</summary>
    public bool IsTrusted => Window.IsOpenAt(clock.Now);

    /// <summary>How long the window stays open from now; not positive when it is closed.</summary>
    public TimeSpan TrustedFor
    {
        get
        {
            TrustWindow window = Window; // read once: it may be closed for good at any moment
            return window == TrustWindow.Closed ? TimeSpan.Zero : window.ClosesAt - clock.Now;
        }
    }

    private TrustWindow Window => new(TimeSpan.FromTicks(Volatile.Read(ref closesAt)));

    /// <summary>A name that nobody has had before: 128 random bits behind the one for people.</summary>
    public static string DrawHolder(string conductorName) =>
        $"{conductorName}/{RandomNumberGenerator.GetHexString(32, lowercase: true)}";

    /// <summary>
    /// Lets a granted reservation be believed, unless the window has closed or the registration has ended since it was
    /// asked for. In one step with <see cref="LoseIfClosed"/> and <see cref="End"/>, so that none slips past them.
    /// </summary>
    public bool TryHold(Holding holding)
    {
        lock (sync)
        {
            if (!IsTrusted) return false;
            holdings.Add(holding);
            return true;
        }
    }

    /// <summary>Lets a holding be believed with another grant; false when it is lost.</summary>
    public bool TryChange(Holding holding, Grant grant)
    {
        lock (sync)
        {
            if (!IsTrusted || !holdings.Contains(holding)) return false;
            holding.Grant = grant;
            return true;
        }
    }

    /// <summary>False when it was lost before.</summary>
    public bool Drop(Holding holding)
    {
        lock (sync) return holdings.Remove(holding);
    }

    public Holding[] Holdings()
    {
        lock (sync) return [.. holdings];
    }

    /// <summary>Fires when the window closes: for work that is done in the conductor's own name.</summary>
    public CancellationToken Trust
    {
        get
        {
            lock (sync) return IsTrusted ? (trust ??= new CancellationTokenSource()).Token : new(canceled: true);
        }
    }

    /// <summary>
    /// Opens the window anew, from when the renewal was sent. What was held under a window that had closed in between
    /// is lost and stays lost, even where the renewal shows that nobody else can have had it: a scope that said so once
    /// must not say otherwise later.
    /// </summary>
    /// <returns>What is lost by that.</returns>
    public Loss Renewed(TimeSpan sentAt)
    {
        lock (sync)
        {
            if (ended) return Loss.None;
            Loss lost = IsTrusted ? Loss.None : TakeAll_NeedsLock();
            long opened = TrustWindow.OpenedBy(sentAt, lease).ClosesAt.Ticks;
            Volatile.Write(ref closesAt, Math.Max(closesAt, opened));
            return lost;
        }
    }

    public Loss LoseIfClosed()
    {
        lock (sync) return IsTrusted ? Loss.None : TakeAll_NeedsLock();
    }

    /// <summary>Closes the window for good.</summary>
    /// <returns>What is lost by that.</returns>
    public Loss End(bool declaredDead)
    {
        lock (sync)
        {
            IsDeclaredDead |= declaredDead;
            Close_NeedsLock();
            return TakeAll_NeedsLock();
        }
    }

    /// <summary>
    /// Closes the window for good, unless something is held. Before the conductor leaves: its nodes are given away from
    /// then on, and a reserve that is still on its way may be granted all the same. None of those is believed.
    /// </summary>
    /// <returns>What ends by that; null where something is held.</returns>
    public Loss? EndIdle()
    {
        lock (sync)
        {
            if (holdings.Count > 0) return null;
            Close_NeedsLock();
            return TakeAll_NeedsLock();
        }
    }

    private void Close_NeedsLock()
    {
        ended = true;
        Volatile.Write(ref closesAt, TrustWindow.Closed.ClosesAt.Ticks);
    }

    private Loss TakeAll_NeedsLock()
    {
        Loss all = new([.. holdings], trust);
        holdings.Clear();
        trust = null;
        return all;
    }
}

/// <summary>What ends when the trust window closes.</summary>
/// <param name="Holdings">The scopes that are lost.</param>
/// <param name="Trust">The work in the conductor's own name that is to stop, if there is any.</param>
internal sealed record Loss(IReadOnlyList<Holding> Holdings, CancellationTokenSource? Trust)
{
    public static Loss None { get; } = new([], null);
}
