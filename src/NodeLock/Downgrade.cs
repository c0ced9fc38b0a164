using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// Turns what a task scope holds from exclusive to shared, in one statement, so that nobody writes in between. From its
/// sending on the scope is not exclusive any more, whatever becomes of the answer: a copy of the statement that arrives
/// late lets others in. Without an answer it is to be asked again; until then the row may say either.
/// </summary>
internal sealed class Downgrade(Scopes scopes, INodeLockRepository repository, NodeLockOptions options, Holding holding,
    TimeProvider timeProvider, ILogger log)
{
    private const int MostRepetitions = 4;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly Place place = holding.Place;
    private readonly long began = timeProvider.GetTimestamp();

    public async ValueTask RunAsync()
    {
        scopes.EnsureHeld(holding);
        Grant exclusive = holding.Grant;
        if (!place.TryBeginChange()) throw scopes.Lose(holding, Conductor.TakenAway);

        holding.IsChanging = true;
        Grant shared = exclusive with { Mode = ReservationMode.Shared };
        if (!holding.Registration.TryChange(holding, shared)) throw scopes.Lose(holding, Conductor.NotRenewed);
        place.ForgetSpares();
        long named = exclusive.FencingToken;
        for (int repetitions = 0; ;)
        {
            switch (await AskAsync(named, shared.Purpose).ConfigureAwait(false))
            {
                case ReserveAnswer.Granted granted:
                    Believe(granted, shared);
                    return;
                // The row has not been touched. It is the user's own transaction, or an operator's.
                case ReserveAnswer.RowInHand when timeProvider.GetElapsedTime(began) < options.ReleaseTimeout:
                    await Task.Delay(Pause, timeProvider).ConfigureAwait(false);
                    break;
                case ReserveAnswer.RowInHand:
                    throw new TimeoutException($"A database transaction has had the row of node {place.NodeId} in hand "
                        + $"for {options.ReleaseTimeout}. The scope counts as shared; downgrade it again.");
                // The reply to an earlier one was lost.
                case ReserveAnswer.Unnamed unnamed when repetitions++ < MostRepetitions:
                    named = unnamed.FencingToken;
                    break;
                case ReserveAnswer.ConductorNotAlive:
                    throw scopes.Lose(holding, Conductor.NotRenewed);
                default:
                    throw scopes.Lose(holding, Conductor.TakenAway);
            }
        }
    }

    private async ValueTask<ReserveAnswer> AskAsync(long named, string purpose)
    {
        BoundedAnswer<ReserveAnswer> statement = new(repository, options.HeartbeatInterval, timeProvider);
        ReserveRequest request = new(
            ReserveAction.Downgrade, place.NodeId, holding.Registration.Holder, named, purpose);
        try
        {
            return await statement.AnswerAsync(repository.ReserveAsync(request, options.HeartbeatInterval),
                static node => $"the reservation of node {node} is shared now. The scope counts as shared; "
                    + "downgrade it again.",
                place.NodeId, CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            if (statement.Abandoned is { } abandoned) scopes.Abandon(abandoned, holding);
        }
    }

    private void Believe(ReserveAnswer.Granted granted, Grant shared)
    {
        place.Change(new Claim(holding.Registration, granted.FencingToken, ReservationMode.Shared));
        Grant grant = new(granted.FencingToken, ReservationMode.Shared, shared.Purpose, granted.ReservedAt);
        if (!holding.Registration.TryChange(holding, grant)) throw scopes.Lose(holding, Conductor.NotRenewed);

        holding.IsChanging = false;
        place.EndChange();
        log.Downgraded(place.NodeId, shared.Purpose, granted.FencingToken);
    }
}
