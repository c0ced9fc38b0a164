using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>Several places, each first in its line, that are asked for in one statement.</summary>
internal sealed class Batch(IReadOnlyList<Place> places, Conductor conductor, Releases releases,
    INodeLockRepository repository, NodeLockOptions options, TimeProvider timeProvider, ILogger log)
{
    private const int MostRounds = 4;

    private readonly BoundedAnswer<IReadOnlyList<ReserveAnswer>> statement =
        new(repository, options.HeartbeatInterval, timeProvider);
    private Registration? asker;

    /// <summary>Asks, again where the conductor was declared dead or the reply to an earlier request was
    /// lost.</summary>
    public async ValueTask<(Registration, IReadOnlyList<ReserveAnswer>)> AskAsync(
        Atomicity atomicity, TimeSpan nextTry, CancellationToken cancellationToken)
    {
        for (int round = 1; ; round++)
        {
            conductor.ThrowIfStopping();
            Registration registration = await conductor.TrustedAsync(cancellationToken).ConfigureAwait(false);
            IReadOnlyList<ReserveAnswer> answers = await AskOnceAsync(registration, atomicity, nextTry,
                cancellationToken).ConfigureAwait(false);
            bool isDead = answers.Any(a => a is ReserveAnswer.ConductorNotAlive);
            for (int i = 0; i < places.Count; i++)
            {
                if (answers[i] is ReserveAnswer.Unnamed unnamed)
                    places[i].Keep(new Claim(registration, unnamed.FencingToken, unnamed.Mode));
            }

            if (round == MostRounds || !(isDead || answers.Any(a => a is ReserveAnswer.Unnamed)))
                return (registration, answers);
            // What was granted already is named by the next round.
            KeepGranted(answers, registration);
            if (isDead) await conductor.RenewedAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Gives up those that got no scope: what they may still be given goes to the next in line or back to the
    /// store.</summary>
    public async Task GiveUpAsync(IReadOnlyList<Place> without)
    {
        try
        {
            if (statement.Abandoned is { } abandoned)
                KeepGranted(await abandoned.ConfigureAwait(false), asker!);
        }
        catch (Exception e)
        {
            log.AbandonedReserveFailed(e, places[0].NodeId, places[0].Purpose);
        }

        await releases.EndTurnsAsync(without).ConfigureAwait(false);
    }

    private ValueTask<IReadOnlyList<ReserveAnswer>> AskOnceAsync(Registration registration,
        Atomicity atomicity, TimeSpan nextTry, CancellationToken cancellationToken)
    {
        asker = registration;
        ReserveRequest[] requests = [.. places.Select(p => p.Ask(registration) is { } request
            ? request with { NextAttempt = nextTry }
            : throw new InvalidOperationException($"Node {p.NodeId} was asked for out of turn."))];
        return statement.AnswerAsync(
            repository.ReserveManyAsync(requests, atomicity, options.HeartbeatInterval),
            static places => $"{places.Count} nodes are reserved for \"{places[0].Purpose}\". If they are, they will "
                + "be released.",
            places, cancellationToken);
    }

    private void KeepGranted(IReadOnlyList<ReserveAnswer> answers, Registration registration)
    {
        for (int i = 0; i < places.Count; i++)
        {
            if (answers[i] is ReserveAnswer.Granted granted)
                places[i].Keep(new Claim(registration, granted.FencingToken, ReservationMode.Exclusive));
        }
    }
}
