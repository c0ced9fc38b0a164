using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// Reserves of several nodes those that are free now, in one statement. What that could not decide, a row in somebody's
/// hand for one, is asked for again alone; whatever is in the way of one keeps none of the others.
/// </summary>
internal sealed class AcquireFree(Scopes scopes, Conductor conductor, Releases releases, Gates gates,
    Acquires acquires, INodeLockRepository repository, NodeLockOptions options, string purpose,
    Func<Place, Acquisition> alone, BackgroundWork background, TimeProvider timeProvider, ILogger log)
{
    private const int AloneAtOnce = 8;

    private readonly Dictionary<NodeId, TaskScope> held = [];
    private readonly List<SkippedNode> skipped = [];
    private readonly Queue<Place> undecided = [];

    public async ValueTask<TaskScopes> RunAsync(IReadOnlyList<NodeId> given, CancellationToken cancellationToken)
    {
        try
        {
            Place[] places = Enter(given, out NodeId[] nodes);
            if (places.Length > 0)
            {
                await AskAsync(places, cancellationToken).ConfigureAwait(false);
                while (undecided.Count > 0) await AskAloneAsync(cancellationToken).ConfigureAwait(false);
            }

            return new TaskScopes(scopes, [.. nodes.Where(held.ContainsKey).Select(n => held[n])], skipped);
        }
        catch
        {
            TaskScopes unused = new(scopes, [.. held.Values], []);
            background.Own(releases.EndTurnsAsync([.. undecided]), "giving up what was not asked for any more");
            background.Own(unused.DisposeAsync().AsTask(), "releasing what an acquire of several nodes got");
            throw;
        }
    }

    private Place[] Enter(IReadOnlyList<NodeId> given, out NodeId[] nodes)
    {
        List<Place> places = [];
        HashSet<NodeId> seen = [];
        foreach (NodeId nodeId in given)
        {
            try
            {
                NodeId node = repository.Spell(nodeId);
                if (!seen.Add(node)) continue;
                if (gates.TryEnter(node, purpose, ReservationMode.Exclusive) is { } place) places.Add(place);
                else skipped.Add(new SkippedNode(node, Locked(node, gates.ObstacleAt(node, purpose))));
            }
            catch (ArgumentException e)
            {
                skipped.Add(new SkippedNode(nodeId, e));
            }
        }

        nodes = [.. seen];
        return [.. places];
    }

    private async ValueTask AskAsync(Place[] places, CancellationToken cancellationToken)
    {
        Batch batch = new(places, conductor, releases, repository, options, timeProvider, log);
        List<Place> open = [.. places];
        try
        {
            (Registration registration, IReadOnlyList<ReserveAnswer> answers) = await batch.AskAsync(
                Atomicity.Each, TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
            for (int i = 0; i < places.Length; i++)
            {
                Place place = places[i];
                switch (answers[i])
                {
                    case ReserveAnswer.Granted granted:
                        Believe(place, registration, granted);
                        if (held.ContainsKey(place.NodeId)) open.Remove(place);
                        break;
                    case ReserveAnswer.Taken taken:
                        Obstacle obstacle = Obstacle.HeldBy(taken.Reservation);
                        place.Met(obstacle, isTaken: true);
                        skipped.Add(new SkippedNode(place.NodeId, Locked(place.NodeId, obstacle)));
                        break;
                    case ReserveAnswer.NodeNotFound:
                        skipped.Add(new SkippedNode(place.NodeId,
                            new NodeNotFoundException(place.NodeId, repository.Kind)));
                        break;
                    default:
                        undecided.Enqueue(place);
                        open.Remove(place);
                        break;
                }
            }
        }
        finally
        {
            if (open.Count > 0) background.Own(batch.GiveUpAsync(open), $"giving up on {open.Count} nodes");
        }
    }

    /// <summary>A few at the same time: each may wait for a row in somebody's hand.</summary>
    private async ValueTask AskAloneAsync(CancellationToken cancellationToken)
    {
        List<Place> some = [];
        while (some.Count < AloneAtOnce && undecided.TryDequeue(out Place? place)) some.Add(place);
        Task<TaskScope>[] asked = [.. some.Select(place => acquires.GetAsync("acquire", alone(place), LockRetry.None,
            cancellationToken).AsTask())];
        await ((Task)Task.WhenAll(asked)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        for (int i = 0; i < asked.Length; i++)
        {
            if (asked[i].IsCompletedSuccessfully)
                held.Add(some[i].NodeId, await asked[i].ConfigureAwait(false));
            else if (asked[i].Exception?.InnerException is { } reason and not ConductorStoppingException)
                skipped.Add(new SkippedNode(some[i].NodeId, reason));
        }

        foreach (Task<TaskScope> ended in asked.Where(a => a.IsCanceled
            || a.Exception?.InnerException is ConductorStoppingException)) await ended.ConfigureAwait(false);
    }

    private void Believe(Place place, Registration registration, ReserveAnswer.Granted granted)
    {
        Grant grant = new(granted.FencingToken, ReservationMode.Exclusive, purpose, granted.ReservedAt);
        Holding holding = new(place, registration, grant, conductor.Clock.Now);
        if (place.TryHold(holding, ReserveAction.Reserve, granted) && registration.TryHold(holding))
        {
            held.Add(place.NodeId, scopes.Granted(holding, granted.TakenOverFrom));
            return;
        }

        place.EndUse();
        skipped.Add(new SkippedNode(place.NodeId,
            holding.AsLost(Conductor.AnsweredTooLate)));
    }

    private NodeLockedException Locked(NodeId node, Obstacle obstacle) =>
        new(node, purpose, obstacle, attempts: 1, TimeSpan.Zero, turnedAway: false);
}
