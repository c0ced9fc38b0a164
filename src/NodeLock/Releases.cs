using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// Ends turns at the gates: what no scope uses (any more) goes to the next in line, who names its token, or else back
/// to the store. Never by a caller's token, never longer for the caller than
/// <see cref="NodeLockOptions.ReleaseTimeout"/>.
/// </summary>
internal sealed class Releases(INodeLockRepository repository, GroupedStore store, LiveOptions settings,
    BackgroundWork background, TimeProvider timeProvider, ILogger log)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(400);

    public ValueTask EndAsync(Holding holding)
    {
        holding.Place.EndUse();
        Task ending = EndTurnAsync(holding.Place);
        if (ending.IsCompletedSuccessfully) return default;
        background.Own(ending, $"releasing node {holding.NodeId}");
        return new ValueTask(WaitAsync(ending, settings.Current.ReleaseTimeout));
    }

    /// <summary>The same for several: those that nobody here waits for go back in one statement.</summary>
    public ValueTask EndAllAsync(IReadOnlyCollection<Holding> holdings)
    {
        foreach (Holding holding in holdings) holding.Place.EndUse();
        Task ending = EndTurnsAsync([.. holdings.Select(h => h.Place)]);
        background.Own(ending, "releasing several nodes");
        return new ValueTask(WaitAsync(ending, settings.Current.ReleaseTimeout));
    }

    /// <summary>The same, blocking; what fails is tried again in the background.</summary>
    public void End(Holding holding)
    {
        Place place = holding.Place;
        place.EndUse();
        if (place.TryLeave(out Claim? unused)) return;
        try
        {
            if (unused!.Registration.IsDeclaredDead)
            {
                place.Leave();
                return;
            }

            repository.Release(unused.Registration.Holder, unused.HeldNode(place.NodeId),
                settings.Current.ReleaseTimeout);
            log.Released(place.NodeId, place.Purpose, unused.FencingToken);
            place.LeaveReleased(unused);
        }
        // A dispose does not throw.
        catch (Exception e)
        {
            log.ReleaseFailed(e, place.NodeId, place.Purpose, unused!.FencingToken);
            place.ForgetSpares();
            background.Own(EndTurnAsync(place), $"releasing node {place.NodeId}");
        }
    }

    /// <summary>Tries until it succeeds, somebody joins the line, or the time is over; then the heartbeat goes
    /// on.</summary>
    public async Task EndTurnAsync(Place place)
    {
        long began = timeProvider.GetTimestamp();
        TimeSpan limit = settings.Current.ReleaseTimeout;
        for (TimeSpan pause = FirstPause; !place.TryLeave(out Claim? unused); pause = Longer(pause))
        {
            // The node of a dead conductor is the store's to give away.
            bool isDead = unused!.Registration.IsDeclaredDead;
            if (!isDead && await TryReleaseAsync(place, unused).ConfigureAwait(false))
            {
                place.LeaveReleased(unused);
                return;
            }

            if (isDead || timeProvider.GetElapsedTime(began) >= limit)
            {
                if (!isDead) log.ReleasePutOff(place.NodeId, place.Purpose, unused.FencingToken);
                place.Leave();
                return;
            }

            await Task.Delay(pause, timeProvider).ConfigureAwait(false);
        }
    }

    /// <summary>Gives back what a place that goes on waiting must not keep. What fails is named by the next who asks.
    /// </summary>
    public async ValueTask GiveBackUnusedAsync(Place place)
    {
        if (place.TakeUnused() is not { } unused) return;
        if (!await TryReleaseAsync(place, unused).ConfigureAwait(false))
            place.Keep(unused.WithoutSpares());
    }

    public async Task EndTurnsAsync(IReadOnlyList<Place> places)
    {
        List<(Place Place, Claim Claim)> unused = [];
        foreach (Place place in places)
            if (!place.TryLeave(out Claim? claim)) unused.Add((place, claim!));

        foreach (IGrouping<Registration, (Place Place, Claim Claim)> group in unused.GroupBy(u => u.Claim.Registration))
            await TryReleaseManyAsync(group.Key, [.. group]).ConfigureAwait(false);

        // What is left was in somebody's hand, or the statement failed: each by itself, as a single release.
        await Task.WhenAll(places.Select(EndTurnAsync)).ConfigureAwait(false);
    }

    private async Task TryReleaseManyAsync(Registration registration, (Place Place, Claim Claim)[] unused)
    {
        Dictionary<HeldNode, (Place Place, Claim Claim)> byNode =
            unused.ToDictionary(u => u.Claim.HeldNode(u.Place.NodeId));
        try
        {
            IReadOnlyList<HeldNode> released = await repository.ReleaseManyAsync(registration.Holder, [.. byNode.Keys],
                settings.Current.ReleaseTimeout).ConfigureAwait(false);
            foreach (HeldNode node in released)
            {
                (Place place, Claim claim) = byNode[node];
                log.Released(place.NodeId, place.Purpose, claim.FencingToken);
                place.LeaveReleased(claim);
            }
        }
        // As with a single release: repeated, one by one.
        catch (Exception e)
        {
            log.ReleaseManyFailed(e, unused.Length, registration.Holder);
            foreach ((Place place, _) in unused) place.ForgetSpares();
        }
    }

    private async ValueTask<bool> TryReleaseAsync(Place place, Claim unused)
    {
        try
        {
            await store.ReleaseAsync(unused.Registration.Holder, unused.HeldNode(place.NodeId)).ConfigureAwait(false);
            log.Released(place.NodeId, place.Purpose, unused.FencingToken);
            return true;
        }
        // Whatever it was: a release that was not confirmed is repeated, and one that was carried out changes nothing.
        // It may still arrive: what it names must not come back by a crash that forgets a hand-over.
        catch (Exception e)
        {
            place.ForgetSpares();
            log.ReleaseFailed(e, place.NodeId, place.Purpose, unused.FencingToken);
            return false;
        }
    }

    /// <summary>Short enough for one who joins the line meanwhile, and is served when it is over.</summary>
    private static TimeSpan Longer(TimeSpan pause) => pause * 2 < LongestPause ? pause * 2 : LongestPause;

    private async Task WaitAsync(Task ending, TimeSpan limit) =>
        await ending.WaitAsync(limit, timeProvider).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
}
