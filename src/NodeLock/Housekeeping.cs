using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// What living conductors do about the dead: declare them, free their nodes, enter holders that nobody knows, and
/// remove entries that are long out of use. See "Death" on the protocol page.
/// </summary>
internal sealed class Housekeeping(NodeLockOptions options, MonotonicClock clock, ILogger log)
{
    private const int SweepBatch = 500;
    private const int MostSweeps = 1000;
    private static readonly TimeSpan EntriesAreKeptFor = TimeSpan.FromDays(7);

    private readonly Dictionary<string, TimeSpan> strangersSince = [];
    private int renewals;
    private (TimeSpan SentAt, DateTimeOffset StoreClock)? previous;
    private TimeSpan? lastRound;

    public void StartOver()
    {
        renewals = 0;
        previous = null;
    }

    /// <summary>
    /// Counts renewals. One that shows the store's clock ahead by more than half a margin starts the count again: then
    /// leases look over that are not, and their owners must have the time to renew them.
    /// </summary>
    public void Renewed(TimeSpan sentAt, DateTimeOffset storeClock)
    {
        // From the sending of the previous one to the answer of this one, no less time can have passed at the store.
        if (previous is { } before && storeClock - before.StoreClock
            > clock.Now - before.SentAt + (TrustWindow.MarginOf(options.LeaseDuration) / 2))
        {
            log.StoreClockJumped((storeClock - before.StoreClock).TotalSeconds, (clock.Now - before.SentAt).TotalSeconds);
            renewals = 0;
        }

        renewals++;
        previous = (sentAt, storeClock);
    }

    public void Run(Registration registration, IConductorStore line)
    {
        // After an outage of the store every lease is over; the living get the time to renew before anybody judges.
        if (renewals < 3) return;

        IReadOnlyList<string> dead = line.DeclareDead(registration.Holder);
        foreach (string holder in dead) log.DeclaredOtherDead(holder);

        bool roundIsDue = lastRound is null || clock.Now - lastRound >= options.LeaseDuration;
        if (dead.Count > 0 || roundIsDue) Sweep(line);
        if (!roundIsDue) return;
        lastRound = clock.Now;
        BuryStrangers(line);
        line.Forget(EntriesAreKeptFor);
    }

    private void Sweep(IConductorStore line)
    {
        int freed = 0;
        for (int i = 0; i < MostSweeps && line.Sweep(SweepBatch) is > 0 and int batch; i++) freed += batch;
        if (freed > 0) log.Swept(freed);
    }

    /// <summary>
    /// A missing entry is no proof of death: it may be not yet visible, or restored tables may lack it. Only a holder
    /// that was without one for a whole lease of this process's own clock gets an entry, which says that it is dead.
    /// </summary>
    private void BuryStrangers(IConductorStore line)
    {
        IReadOnlyList<string> strangers = line.FindStrangers();
        foreach (string known in strangersSince.Keys.Except(strangers).ToArray()) strangersSince.Remove(known);

        foreach (string stranger in strangers)
        {
            if (strangersSince.TryAdd(stranger, clock.Now)) continue;
            if (clock.Now - strangersSince[stranger] < options.LeaseDuration) continue;
            line.Bury(stranger);
            strangersSince.Remove(stranger);
            log.Buried(stranger);
        }
    }
}
