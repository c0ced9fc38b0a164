using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// One acquire of several nodes, all or none. It takes its places at all their gates in one step or at none, and all
/// reservations in one statement or none, so it never keeps one node from others while it waits for another.
/// </summary>
internal sealed class AcquireAll(Scopes scopes, Conductor conductor, Releases releases, Gates gates,
    INodeLockRepository repository, NodeLockOptions options, IReadOnlyList<NodeId> nodes, string purpose,
    TimeProvider timeProvider, ILogger log) : Attempt<TaskScopes>
{
    private readonly WakeUp wakeUp = new(gates.Sync);
    private NodeObstacle inTheWay = new(nodes[0], Obstacle.AskedFor(purpose));
    private (Batch Batch, Place[] Places)? current;

    public override NodeId NodeId => inTheWay.NodeId;

    public override string Purpose => purpose;

    public override Obstacle Obstacle => inTheWay.Obstacle;

    public override async ValueTask<TaskScopes?> TryAsync(TimeSpan nextTry, CancellationToken cancellationToken)
    {
        gates.Unwatch(wakeUp, nodes);
        gates.Watch(wakeUp); // before the look at the conductor, which wakes those who watch when it stops
        conductor.ThrowIfStopping();
        if (gates.TryEnterAll(nodes, purpose, wakeUp, out NodeObstacle? obstacle, nextTry) is not { } places)
        {
            inTheWay = obstacle!;
            return null;
        }

        Batch batch = new(places, conductor, releases, repository, options, timeProvider, log);
        current = (batch, places);
        (Registration registration, IReadOnlyList<ReserveAnswer> answers) = await batch.AskAsync(
            Atomicity.AllOrNone, nextTry, cancellationToken).ConfigureAwait(false);
        if (answers.All(a => a is ReserveAnswer.Granted))
            return Believe(registration, places, [.. answers.Cast<ReserveAnswer.Granted>()]);

        for (int i = 0; i < places.Length; i++) Note(places[i], answers[i]);
        current = null;
        await batch.GiveUpAsync(places).ConfigureAwait(false);
        return null;
    }

    public override ValueTask<bool> WaitAsync(TimeSpan time, CancellationToken cancellationToken) =>
        wakeUp.WaitAsync(time, timeProvider, cancellationToken);

    public override Task GiveUpAsync()
    {
        gates.Unwatch(wakeUp, nodes);
        return current?.Batch.GiveUpAsync(current.Value.Places) ?? Task.CompletedTask;
    }

    private void Note(Place place, ReserveAnswer answer)
    {
        switch (answer)
        {
            case ReserveAnswer.Taken taken:
                inTheWay = new NodeObstacle(place.NodeId, Obstacle.HeldBy(taken.Reservation));
                place.Met(inTheWay.Obstacle, isTaken: true);
                break;
            case ReserveAnswer.RowInHand:
                inTheWay = new NodeObstacle(place.NodeId, Obstacle.RowInHand);
                break;
            case ReserveAnswer.NodeNotFound:
                throw new NodeNotFoundException(place.NodeId, repository.Kind);
            case ReserveAnswer.Withheld:
                break;
            default:
                throw new InvalidOperationException(
                    $"The store at {repository.Location} keeps answering {answer} for node {place.NodeId}.");
        }
    }

    private TaskScopes Believe(Registration registration, Place[] places, ReserveAnswer.Granted[] answers)
    {
        Holding[] holdings = new Holding[places.Length];
        for (int i = 0; i < places.Length; i++)
        {
            Grant grant = new(answers[i].FencingToken, ReservationMode.Exclusive, purpose, answers[i].ReservedAt);
            holdings[i] = new Holding(places[i], registration, grant, conductor.Clock.Now);
            // Nobody else ends a place that is first in line.
            places[i].TryHold(holdings[i], ReserveAction.Reserve, answers[i]);
        }

        if (holdings.FirstOrDefault(h => !registration.TryHold(h)) is not { } lost)
        {
            gates.Unwatch(wakeUp, nodes);
            return new TaskScopes(scopes, [.. holdings.Zip(answers, (h, a) => scopes.Granted(h, a.TakenOverFrom))], []);
        }

        foreach (Holding holding in holdings)
        {
            registration.Drop(holding);
            holding.Place.EndUse();
        }

        conductor.ThrowIfStopping();
        throw lost.AsLost(Conductor.AnsweredTooLate);
    }
}
