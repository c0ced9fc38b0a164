using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// What living conductors do about the dead: declare them, free their nodes, enter holders that nobody knows, and
/// remove entries that are long out of use. See "Death" on the protocol page.
/// </summary>
internal sealed class Housekeeping(NodeLockOptions options, Fencing? fencing, MonotonicClock clock, ILogger log)
{
    private const int SweepBatch = 500;
    private const int RenewalsBeforeJudging = 3;
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
    /// Counts renewals. The count starts again where leases may look over whose owners had no chance to renew them:
    /// after an outage that was longer than a lease, and when the store's clock jumped ahead.
    /// </summary>
    public void Renewed(TimeSpan sentAt, DateTimeOffset storeClock)
    {
        if (previous is { } before)
        {
            TimeSpan atStore = storeClock - before.StoreClock;
            // From the sending of the previous one to the answer of this one: no less than what passed at the store.
            TimeSpan here = clock.Now - before.SentAt;
            bool jumped = atStore > here + (TrustWindow.MarginOf(options.LeaseDuration) / 2);
            if (jumped) log.StoreClockJumped(atStore.TotalSeconds, here.TotalSeconds);
            if (jumped || atStore > options.LeaseDuration) renewals = 0;
        }

        renewals++;
        previous = (sentAt, storeClock);
    }

    public void Run(Registration registration, IConductorStore connection, TimeSpan nextBeat)
    {
        if (renewals < RenewalsBeforeJudging) return;

        IReadOnlyList<string> dead = connection.DeclareDead(registration.Holder, StoreClockAtMost());
        foreach (string holder in dead) log.DeclaredOtherDead(holder);
        if (fencing is not null) fencing.Fence(registration, connection.ClaimForFence(registration.Holder));

        bool roundIsDue = lastRound is null || clock.Now - lastRound >= options.LeaseDuration;
        sweepIsDue |= dead.Count > 0 || roundIsDue;
        if (sweepIsDue) Sweep(connection, nextBeat);
        if (!roundIsDue || clock.Now >= nextBeat) return;
        lastRound = clock.Now;
        BuryStrangers(connection, nextBeat);
        if (clock.Now < nextBeat) connection.Forget(EntriesAreKeptFor);
    }

    /// <summary>What the store's clock can show by now, going by the last renewal; beyond it the clock has jumped, and
    /// leases look over that are not.</summary>
    private DateTimeOffset StoreClockAtMost()
    {
        (TimeSpan sentAt, DateTimeOffset storeClock) = previous!.Value;
        return storeClock + (clock.Now - sentAt) + (TrustWindow.MarginOf(options.LeaseDuration) / 2);
    }

    /// <summary>Until nothing is left, or until the next heartbeat, which goes on with it.</summary>
    private void Sweep(IConductorStore connection, TimeSpan nextBeat)
    {
        int freed = 0;
        while (sweepIsDue && clock.Now < nextBeat)
        {
            int batch = connection.Sweep(SweepBatch);
            sweepIsDue = batch > 0;
            freed += batch;
        }

        if (freed > 0) log.Swept(freed);
    }

    /// <summary>
    /// A missing entry is no proof of death: it may be not yet visible, or restored tables may lack it. Only a holder
    /// that was without one for a whole lease of this process's own clock gets an entry, which says that it is dead.
    /// </summary>
    private void BuryStrangers(IConductorStore connection, TimeSpan nextBeat)
    {
        IReadOnlyList<string> strangers = connection.FindStrangers();
        foreach (string known in strangersSince.Keys.Except(strangers).ToArray()) strangersSince.Remove(known);

        foreach (string stranger in strangers.TakeWhile(_ => clock.Now < nextBeat))
        {
            if (strangersSince.TryAdd(stranger, clock.Now)) continue;
            if (clock.Now - strangersSince[stranger] < options.LeaseDuration) continue;
            connection.Bury(stranger, requiresFence: fencing is not null);
            strangersSince.Remove(stranger);
            log.Buried(stranger);
        }
    }
}
