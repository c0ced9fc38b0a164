using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>One acquire: its place in the line, and what it asks of the store when that is first.</summary>
internal sealed class Acquisition(TaskManager manager, Conductor conductor, Releases releases,
    INodeLockRepository repository, NodeLockOptions options, Place place, TimeProvider timeProvider, ILogger log)
{
    // A reply that was lost needs one repetition, a conductor that was declared dead another; more would be a fault.
    private const int MostRounds = 4;

    private Task<ReserveAnswer>? abandoned;
    private Registration? asker;

    public Place Place => place;

    public TimeSpan LongWaitThreshold => options.LongWaitThreshold;

    /// <summary>What was in the way at the last try.</summary>
    public Obstacle Obstacle { get; private set; } = Obstacle.AskedFor(place.Purpose);

    /// <summary>One try; null when the node is locked.</summary>
    public async ValueTask<TaskScope?> TryAsync(CancellationToken cancellationToken)
    {
        for (int round = 1; ; round++)
        {
            conductor.ThrowIfStopping();
            if (!place.IsFirst)
            {
                Obstacle = place.Obstacle;
                return null;
            }

            Registration registration = await conductor.TrustedAsync(cancellationToken).ConfigureAwait(false);
            switch (await AskAsync(registration, cancellationToken).ConfigureAwait(false))
            {
                case ReserveAnswer.Granted granted:
                    return Believe(granted, registration);
                case ReserveAnswer.Taken taken:
                    return Refused(Obstacle.HeldBy(taken.Reservation));
                case ReserveAnswer.RowInHand:
                    return Refused(Obstacle.RowInHand);
                case ReserveAnswer.NodeNotFound:
                    throw new NodeNotFoundException(place.NodeId, repository.Kind);
                // An earlier reserve of this conductor was carried out, but its reply was lost: name it and ask again.
                case ReserveAnswer.Unnamed unnamed when round < MostRounds:
                    place.Keep(new Unused(registration, unnamed.FencingToken));
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

    /// <summary>Ends an acquire that got no scope: whatever it may still be given goes to the next in line or back to
    /// the store, and is never leaked.</summary>
    public async Task GiveUpAsync()
    {
        try
        {
            if (abandoned is not null
                && await abandoned.ConfigureAwait(false) is ReserveAnswer.Granted granted)
                place.Keep(new Unused(asker!, granted.FencingToken));
        }
        catch (Exception e)
        {
            // Its caller is gone, and what it may have reserved is given back by the heartbeat.
            log.AbandonedReserveFailed(e, place.NodeId, place.Purpose);
        }

        await releases.EndTurnAsync(place).ConfigureAwait(false);
    }

    /// <summary>Cancellation, or a store that does not answer in time, ends the wait for the answer, never the
    /// statement, which may reserve the node all the same.</summary>
    private async ValueTask<ReserveAnswer> AskAsync(Registration registration, CancellationToken cancellationToken)
    {
        ReserveRequest request = new(ReserveAction.Reserve, place.NodeId, registration.Holder,
            place.KnownToken(registration), place.Purpose);
        place.Asks(timeProvider);
        ValueTask<ReserveAnswer> answer = repository.ReserveAsync(request, options.HeartbeatInterval);
        if (answer.IsCompleted) return await answer.ConfigureAwait(false);

        Task<ReserveAnswer> statement = answer.AsTask();
        await ((Task)statement).WaitAsync(options.HeartbeatInterval, timeProvider, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (statement.IsCompleted) return await statement.ConfigureAwait(false);

        (abandoned, asker) = (statement, registration);
        cancellationToken.ThrowIfCancellationRequested();
        throw new TimeoutException($"{repository.Location} did not answer within {options.HeartbeatInterval} whether "
            + $"node {place.NodeId} is reserved for \"{place.Purpose}\". If it is, it will be released.");
    }

    /// <summary>
    /// A grant counts only if, with its answer in hand, the trust window is open and the conductor that asked is still
    /// the current one. A process that was paused on the way here may hold an answer that is long out of date.
    /// </summary>
    private TaskScope Believe(ReserveAnswer.Granted granted, Registration registration)
    {
        Holding holding = new(place, registration, place.Purpose, granted.FencingToken, granted.ReservedAt,
            conductor.Clock.Now);
        place.Hold(holding);
        if (registration.TryHold(holding)) return manager.Granted(holding, granted.TakenOverFrom);

        place.Keep(new Unused(registration, granted.FencingToken));
        conductor.ThrowIfStopping();
        throw new ReservationLostException(place.NodeId, place.Purpose, granted.FencingToken, registration.Holder,
            "the answer came when the lease was no longer certain");
    }

    private TaskScope? Refused(Obstacle obstacle)
    {
        Obstacle = obstacle;
        place.Met(obstacle);
        return null;
    }
}
