using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// Turns what a task scope holds from shared to exclusive. It keeps the shared entry while it waits, so nobody writes
/// in between; two who did that for each other would wait for ever, so it fails at once where another writer waits.
/// </summary>
internal sealed class Upgrade(Scopes scopes, Conductor conductor, INodeLockRepository repository,
    NodeLockOptions options, Holding holding, string purpose, TimeProvider timeProvider, ILogger log) : Attempt<Grant>
{
    private const int MostRounds = 4;

    private readonly Place place = holding.Place;
    private Obstacle obstacle = Obstacle.AskedFor(purpose);
    private bool isHopeless;

    public override NodeId NodeId => holding.NodeId;

    public override string Purpose => purpose;

    public override Obstacle Obstacle => obstacle;

    public override bool IsHopeless => isHopeless;

    public override async ValueTask<Grant?> TryAsync(TimeSpan nextTry, CancellationToken cancellationToken)
    {
        scopes.EnsureHeld(holding);
        if (!place.TryBeginChange())
        {
            scopes.EnsureHeld(holding); // the conductor may have been declared dead in between
            return Hopeless(place.Obstacle);
        }

        if (!place.IsAloneInside) return Locked(place.Obstacle);

        long named = holding.FencingToken;
        for (int round = 1; ; round++)
        {
            switch (await AskAsync(RequestOf(named, nextTry)).ConfigureAwait(false))
            {
                case ReserveAnswer.Granted granted:
                    return Believe(granted);
                case ReserveAnswer.Taken { WriterWaits.Ticks: > 0 } taken:
                    return Hopeless(Obstacle.HeldBy(Others(taken.Reservation), writerWaits: true));
                case ReserveAnswer.Taken taken:
                    holding.Wish = taken.Wish;
                    return Locked(Obstacle.HeldBy(Others(taken.Reservation), writerWaits: false));
                case ReserveAnswer.RowInHand:
                    return Locked(Obstacle.RowInHand);
                // The reply to an earlier upgrade of this scope was lost.
                case ReserveAnswer.Unnamed unnamed when round < MostRounds:
                    named = unnamed.FencingToken;
                    break;
                case ReserveAnswer.ConductorNotAlive:
                    throw scopes.Lose(holding, Conductor.NotRenewed);
                default:
                    throw scopes.Lose(holding, Conductor.TakenAway);
            }
        }
    }

    public override ValueTask<bool> WaitAsync(TimeSpan time, CancellationToken cancellationToken)
    {
        conductor.ThrowIfStopping();
        return place.WaitAsync(time, cancellationToken);
    }

    public override Task GiveUpAsync()
    {
        place.EndChange();
        return Task.CompletedTask;
    }

    /// <summary>
    /// Waits for the answer whatever the caller's token says: cancelled between the sending and the answer, the scope
    /// would not know its own mode. Without an answer it stays shared; if the store has made it exclusive, that
    /// protects it as well, and the heartbeat gives it back after the scope's end.
    /// </summary>
    private async ValueTask<ReserveAnswer> AskAsync(ReserveRequest request)
    {
        BoundedAnswer<ReserveAnswer> statement = new(repository, options.HeartbeatInterval, timeProvider);
        bool before = holding.IsChanging; // where a downgrade was not answered
        holding.IsChanging = true;
        try
        {
            return await statement.AnswerAsync(repository.ReserveAsync(request, options.HeartbeatInterval),
                static upgrade => $"the reservation of node {upgrade.NodeId} is exclusive for "
                    + $"\"{upgrade.Purpose}\". The scope stays shared.",
                this, CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            holding.IsChanging = before;
            if (statement.Abandoned is { } abandoned) scopes.Abandon(abandoned, holding);
        }
    }

    private ReserveRequest RequestOf(long named, TimeSpan nextTry) =>
        new(ReserveAction.Upgrade, NodeId, holding.Registration.Holder, named, purpose)
        {
            NextAttempt = nextTry,
            Wish = holding.Wish,
        };

    private Grant Believe(ReserveAnswer.Granted granted)
    {
        Grant grant = new(granted.FencingToken, ReservationMode.Exclusive, purpose, granted.ReservedAt);
        place.Change(new Claim(holding.Registration, granted.FencingToken, ReservationMode.Exclusive));
        if (!holding.Registration.TryChange(holding, grant)) throw scopes.Lose(holding, Conductor.NotRenewed);

        holding.Wish = null;
        holding.IsChanging = false;
        place.EndChange();
        log.Upgraded(NodeId, purpose, granted.FencingToken);
        return grant;
    }

    /// <summary>Its own entry stands beside theirs, and is not in its way.</summary>
    private Reservation Others(Reservation met) =>
        met with { Holders = [.. met.Holders.Where(holder => holder != holding.Registration.Holder)] };

    private Grant? Locked(Obstacle met)
    {
        obstacle = met;
        return null;
    }

    private Grant? Hopeless(Obstacle met)
    {
        isHopeless = true;
        return Locked(met);
    }
}
