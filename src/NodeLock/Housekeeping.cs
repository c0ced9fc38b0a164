using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// What living conductors do about the dead: declare them, free their nodes, enter holders that nobody knows, and
/// remove entries that are long out of use. See "Death" on the protocol page.
/// </summary>
internal sealed class Housekeeping(NodeLockOptions options, MonotonicClock clock, ILogger log)
{
    private const int SweepBatch = 500;
    private static readonly TimeSpan EntriesAreKeptFor = TimeSpan.FromDays(7);

    private readonly Dictionary<string, TimeSpan> strangersSince = [];
    private int renewals;
    private (TimeSpan SentAt, DateTimeOffset StoreClock)? previous;
    private TimeSpan? lastRound;
    private bool sweepIsDue;

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

    public void Run(Registration registration, IConductorStore line, TimeSpan nextBeat)
    {
        // After an outage of the store every lease is over; the living get the time to renew before anybody judges.
        if (renewals < 3) return;

        IReadOnlyList<string> dead = line.DeclareDead(registration.Holder);
        foreach (string holder in dead) log.DeclaredOtherDead(holder);

        bool roundIsDue = lastRound is null || clock.Now - lastRound >= options.LeaseDuration;
        sweepIsDue |= dead.Count > 0 || roundIsDue;
        if (sweepIsDue) Sweep(line, nextBeat);
        if (!roundIsDue || clock.Now >= nextBeat) return;
        lastRound = clock.Now;
        BuryStrangers(line);
        line.Forget(EntriesAreKeptFor);
    }

    /// <summary>Until nothing is left, or until the next heartbeat, which goes on with it.</summary>
    private void Sweep(IConductorStore line, TimeSpan nextBeat)
    {
        int freed = 0;
        while (sweepIsDue && clock.Now < nextBeat)
        {
            int batch = line.Sweep(SweepBatch);
            sweepIsDue = batch > 0;
            freed += batch;
        }

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
