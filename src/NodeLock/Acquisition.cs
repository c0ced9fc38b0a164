using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>One acquire: its place in the line, and what it asks of the store when that is first.</summary>
internal sealed class Acquisition(Scopes scopes, Conductor conductor, Releases releases, Gates gates,
    INodeLockRepository repository, GroupedStore store, NodeLockOptions options, Place place,
    TimeProvider timeProvider, ILogger log)
    : Attempt<TaskScope>
{
    // A reply that was lost needs one repetition, a conductor that was declared dead another; more would be a fault.
    private const int MostRounds = 4;

    private readonly BoundedAnswer<ReserveAnswer> statement = new(repository, options.HeartbeatInterval, timeProvider);
    private Registration? asker;
    private ReserveAction asked;
    private Obstacle obstacle = Obstacle.AskedFor(place.Purpose);

    public override NodeId NodeId => place.NodeId;

    public override string Purpose => place.Purpose;

    public override Obstacle Obstacle => obstacle;

    public override async ValueTask<TaskScope?> TryAsync(TimeSpan nextTry, CancellationToken cancellationToken)
    {
        place.Attempts(nextTry);
        for (int round = 1; ; round++)
        {
            conductor.ThrowIfStopping();
            if (!place.MayAsk) return Locked(place.Obstacle);

            Registration registration = await conductor.TrustedAsync(cancellationToken).ConfigureAwait(false);
            if (place.Ask(registration) is not { } request) return Locked(place.Obstacle);

            switch (await AskAsync(registration, request with { NextAttempt = nextTry }, cancellationToken)
                .ConfigureAwait(false))
            {
                case ReserveAnswer.Granted granted:
                    return Believe(granted, registration);
                case ReserveAnswer.Taken taken:
                    return await RefusedAsync(taken).ConfigureAwait(false);
                case ReserveAnswer.RowInHand:
                    place.Met(Obstacle.RowInHand, isTaken: false);
                    return Locked(Obstacle.RowInHand);
                case ReserveAnswer.NodeNotFound:
                    throw new NodeNotFoundException(place.NodeId, repository.Kind);
                // The entry to be joined is gone, or a late copy of an upgrade has made it exclusive. Those who have it
                // are told by the heartbeat, or end their use.
                case ReserveAnswer.NotHeld or ReserveAnswer.Unnamed when request.Action == ReserveAction.Join:
                    return Locked(place.Obstacle);
                // Not where its predecessor left it: broken, or a crash of the store forgot the last hand-overs.
                case ReserveAnswer.NotHeld when request.Action == ReserveAction.HandOver && round < MostRounds:
                    place.ForgetSpares();
                    break;
                // An earlier reserve of this conductor was carried out, but its reply was lost: name it and ask again.
                case ReserveAnswer.Unnamed unnamed when round < MostRounds:
                    place.Keep(new Claim(registration, unnamed.FencingToken, unnamed.Mode));
                    break;
                // Declared dead, and not told yet: the next heartbeat starts over.
                case ReserveAnswer.ConductorNotAlive when round < MostRounds:
                    await conductor.RenewedAsync(cancellationToken).ConfigureAwait(false);
                    break;
                case var answer:
                    throw new InvalidOperationException(
                        $"The store at {repository.Location} keeps answering {answer} for node {place.NodeId}.");
            }
        }
    }

    public override ValueTask<bool> WaitAsync(TimeSpan time, CancellationToken cancellationToken) =>
        place.WaitAsync(time, cancellationToken);

    public override void Tick() => place.PromptFirst();

    /// <summary>Ends an acquire that got no scope: whatever it may still be given goes to the next in line or back to
    /// the store, and is never leaked.</summary>
    public override async Task GiveUpAsync()
    {
        if (asker is not null) place.ForgetSpares();
        try
        {
            if (statement.Abandoned is { } abandoned
                && await abandoned.ConfigureAwait(false) is ReserveAnswer.Granted granted
                && asked != ReserveAction.Join)
                place.Keep(new Claim(asker!, granted.FencingToken, place.Mode));
        }
        catch (Exception e)
        {
            // Its caller is gone, and what it may have reserved is given back by the heartbeat.
            log.AbandonedReserveFailed(e, place.NodeId, place.Purpose);
        }

        await releases.EndTurnAsync(place).ConfigureAwait(false);
    }

    private ValueTask<ReserveAnswer> AskAsync(Registration registration, ReserveRequest request,
        CancellationToken cancellationToken)
    {
        (asker, asked) = (registration, request.Action);
        return statement.AnswerAsync(store.ReserveAsync(request), static place =>
            $"node {place.NodeId} is reserved for \"{place.Purpose}\". If it is, it will be released.", place,
            cancellationToken);
    }

    /// <summary>
    /// A grant counts only if, with its answer in hand, the trust window is open and the conductor that asked is still
    /// the current one. A process that was paused on the way here may hold an answer that is long out of date.
    /// </summary>
    private TaskScope? Believe(ReserveAnswer.Granted granted, Registration registration)
    {
        Grant grant = new(granted.FencingToken, place.Mode, place.Purpose, granted.ReservedAt);
        if (asked == ReserveAction.HandOver) grant = grant with { DrawnWith = place.DrawnWith };
        Holding holding = new(place, registration, grant, conductor.Clock.Now);
        // First, since whoever gets past the line wakes the next, who must find the others held back already.
        if (place.Mode == ReservationMode.Shared) gates.HoldSharersBack(place.NodeId, granted.WriterWaits);
        if (!place.TryHold(holding, asked, granted)) return Locked(place.Obstacle);
        if (registration.TryHold(holding)) return scopes.Granted(holding, granted.TakenOverFrom);

        place.EndUse();
        conductor.ThrowIfStopping();
        throw holding.AsLost(Conductor.AnsweredTooLate);
    }

    private async ValueTask<TaskScope?> RefusedAsync(ReserveAnswer.Taken taken)
    {
        if (place.Mode == ReservationMode.Shared) gates.HoldSharersBack(place.NodeId, taken.WriterWaits);
        // A join has nobody in its way but a writer; a writer may have met its own wish.
        bool joins = asked == ReserveAction.Join;
        Obstacle met = joins ? Obstacle.WriterWaits : Obstacle.HeldBy(taken.Reservation,
            place.Mode == ReservationMode.Shared && taken.WriterWaits > TimeSpan.Zero);
        place.Met(met, isTaken: !joins);
        // Those whom it was to join may have left meanwhile, counting on it to go on with their entry.
        if (joins) await releases.GiveBackUnusedAsync(place).ConfigureAwait(false);
        return Locked(met);
    }

    private TaskScope? Locked(Obstacle met)
    {
        obstacle = met;
        return null;
    }
}
