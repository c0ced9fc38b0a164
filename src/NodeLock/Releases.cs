using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// Ends turns at the gates: what no scope uses (any more) goes to the next in line, who names its token, or else back
/// to the store. Never by a caller's token, never longer for the caller than
/// <see cref="NodeLockOptions.ReleaseTimeout"/>.
/// </summary>
internal sealed class Releases(INodeLockRepository repository, LiveOptions settings, BackgroundWork background,
    TimeProvider timeProvider, ILogger log)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(400);

    public ValueTask EndAsync(Holding holding)
    {
        if (!Keep(holding)) return default;
        Task ending = EndTurnAsync(holding.Place);
        if (ending.IsCompletedSuccessfully) return default;
        background.Own(ending, $"releasing node {holding.NodeId}");
        return new ValueTask(WaitAsync(ending, settings.Current.ReleaseTimeout));
    }

    /// <summary>The same, blocking; what fails is tried again in the background.</summary>
    public void End(Holding holding)
    {
        if (!Keep(holding) || holding.Place.TryLeave(out _)) return;
        try
        {
            repository.Release(holding.Registration.Holder, holding.HeldNode, settings.Current.ReleaseTimeout);
            log.Released(holding.NodeId, holding.Purpose, holding.FencingToken);
            holding.Place.Leave();
        }
        // A dispose does not throw.
        catch (Exception e)
        {
            log.ReleaseFailed(e, holding.NodeId, holding.Purpose, holding.FencingToken);
            background.Own(EndTurnAsync(holding.Place), $"releasing node {holding.NodeId}");
        }
    }

    /// <summary>Tries until it succeeds, somebody joins the line, or the time is over; then the heartbeat goes
    /// on.</summary>
    public async Task EndTurnAsync(Place place)
    {
        long began = timeProvider.GetTimestamp();
        TimeSpan limit = settings.Current.ReleaseTimeout;
        for (TimeSpan pause = FirstPause; !place.TryLeave(out Unused? unused); pause = Longer(pause))
        {
            bool released = await TryReleaseAsync(place, unused!, limit).ConfigureAwait(false);
            bool isDead = unused!.Registration.IsDeclaredDead;
            if (released || isDead || timeProvider.GetElapsedTime(began) >= limit)
            {
                if (!released && !isDead) log.ReleasePutOff(place.NodeId, place.Purpose, unused.FencingToken);
                place.Leave();
                return;
            }

            await Task.Delay(pause, timeProvider).ConfigureAwait(false);
        }
    }

    private async ValueTask<bool> TryReleaseAsync(Place place, Unused unused, TimeSpan limit)
    {
        try
        {
            await repository.ReleaseAsync(unused.Registration.Holder, new HeldNode(place.NodeId, unused.FencingToken),
                limit).ConfigureAwait(false);
            log.Released(place.NodeId, place.Purpose, unused.FencingToken);
            return true;
        }
        // Whatever it was: a release that was not confirmed is repeated, and one that was carried out changes nothing.
        catch (Exception e)
        {
            log.ReleaseFailed(e, place.NodeId, place.Purpose, unused.FencingToken);
            return false;
        }
    }

    /// <summary>False when there is nothing to give back: the node of a dead conductor is the store's to give
    /// away.</summary>
    private static bool Keep(Holding holding)
    {
        if (!holding.Registration.IsDeclaredDead)
        {
            holding.Place.Keep(new Unused(holding.Registration, holding.FencingToken));
            return true;
        }

        holding.Place.Leave();
        return false;
    }

    /// <summary>Short enough for one who joins the line meanwhile, and is served when it is over.</summary>
    private static TimeSpan Longer(TimeSpan pause) => pause * 2 < LongestPause ? pause * 2 : LongestPause;

    private async Task WaitAsync(Task ending, TimeSpan limit) =>
        await ending.WaitAsync(limit, timeProvider).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
}
