using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// One beat: renew the lease, then see what this conductor really holds, then look after the dead. On a connection of
/// its own to the store, so that an exhausted connection pool cannot stop it.
/// </summary>
internal sealed class Heartbeat(Conductor conductor, INodeLockRepository repository, Fencing? fencing,
    Listening listening, NodeLockOptions options, Gates gates, ILogger log)
{
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(1);

    private readonly Housekeeping housekeeping = new(options, fencing, conductor.Clock, log);
    private IConductorStore? store;
    private bool registered;
    private bool away;
    private bool lookAfterFails;

    public TimeSpan Beat()
    {
        TimeSpan began = conductor.Clock.Now;
        conductor.BeatBegins();
        try
        {
            store ??= repository.Connect(options.HeartbeatInterval);
            Registration registration = RenewOrRegister(store);
            Returned();
            ReportLongHolds(registration);
            LookAfter(registration, store, nextBeat: began + options.HeartbeatInterval);
            return Later(options.HeartbeatInterval - (conductor.Clock.Now - began));
        }
        // Whatever the store throws, this thread must live; the failure goes to the log and to those who asked.
        catch (Exception e)
        {
            Disconnect();
            conductor.NotConfirmed(e);
            Report(e);
            return options.HeartbeatInterval < LongestRetry ? options.HeartbeatInterval : LongestRetry;
        }
    }

    /// <summary>The last one, at the end of the process: what is idle is released, and the conductor leaves.</summary>
    public void BeatLast()
    {
        Registration registration = conductor.Current;
        try
        {
            if (registered && registration.EndIdle() is { } loss)
            {
                conductor.Lose(loss, Conductor.Stopped);
                store ??= repository.Connect(options.ReleaseTimeout);
                GiveBack(registration, store, nextBeat: TimeSpan.MaxValue);
                if (!store.Leave(registration.Holder)) log.StillNamed(registration.Holder);
            }
        }
        // Nothing is lost by not leaving: the lease ends by itself.
        catch (Exception e)
        {
            log.LeaveFailed(e, registration.Holder);
        }
        finally
        {
            Disconnect();
        }
    }

    private Registration RenewOrRegister(IConductorStore connection)
    {
        Registration registration = conductor.Current;
        if (registered)
        {
            TimeSpan sentAt = conductor.Clock.Now;
            if (connection.Renew(registration.Holder, options.LeaseDuration) is { } storeClock)
            {
                conductor.Confirmed(registration, sentAt);
                housekeeping.Renewed(sentAt, storeClock);
                return registration;
            }

            registered = false;
            registration = conductor.StartOver();
        }

        return Register(connection, registration);
    }

    private Registration Register(IConductorStore connection, Registration registration)
    {
        TimeSpan sentAt = conductor.Clock.Now;
        bool entered = false;
        try
        {
            entered = connection.Register(new ConductorEntry(registration.Holder, options.ConductorName,
                Environment.MachineName, Environment.ProcessId, options.LeaseDuration, fencing is not null));
        }
        finally
        {
            if (!entered) conductor.Redraw();
        }

        if (!entered) throw new InvalidOperationException($"The holder {registration.Holder} is taken.");
        registered = true;
        housekeeping.StartOver();
        conductor.Confirmed(registration, sentAt);
        log.Started(options.ConductorName, registration.Holder, repository.Location);
        return registration;
    }

    /// <summary>
    /// What follows a renewal. A failure here takes nothing from that, and no statement is begun when the next renewal
    /// is due: it can be late only by the one that is under way then.
    /// </summary>
    private void LookAfter(Registration registration, IConductorStore connection, TimeSpan nextBeat)
    {
        try
        {
            FindLost(registration, connection);
            if (conductor.Clock.Now < nextBeat) GiveBack(registration, connection, nextBeat);
            if (conductor.Clock.Now < nextBeat) housekeeping.Run(registration, connection, nextBeat);
            if (conductor.Clock.Now < nextBeat && listening.IsSilent) connection.TellNothing();
            lookAfterFails = false;
        }
        catch (Exception e)
        {
            Disconnect();
            if (!lookAfterFails) log.LookAfterFailed(e, repository.Location); // not again at each heartbeat
            lookAfterFails = true;
        }
    }

    private void FindLost(Registration registration, IConductorStore connection)
    {
        ILookup<HeldNode, (Holding Holding, Grant Grant)> held = registration.Holdings().Where(h => !h.IsChanging)
            .Select(h => (Holding: h, h.Grant)).ToLookup(h => h.Holding.HeldNodeOf(h.Grant));
        if (held.Count == 0) return;
        IReadOnlyList<HeldNode> lost = connection.FindLost(registration.Holder, [.. held.Select(h => h.Key)]);
        if (lost.Count > 0) lost = [.. lost.Except(Restore(lost, held, registration, connection))];
        // What was upgraded or downgraded since it was looked at is not what was not found.
        conductor.Lose(lost.SelectMany(node => held[node])
            .Where(h => !h.Holding.IsChanging && ReferenceEquals(h.Holding.Grant, h.Grant)).Select(h => h.Holding),
            Conductor.TakenAway);
    }

    /// <summary>What came to its scope by a hand-over may be forgotten by a store that crashed right after; the
    /// reservation stands all the same.</summary>
    private static IReadOnlyList<HeldNode> Restore(IReadOnlyList<HeldNode> lost,
        ILookup<HeldNode, (Holding Holding, Grant Grant)> held, Registration registration, IConductorStore connection)
    {
        HandedOverNode[] handedOver = [.. lost.SelectMany(node => held[node])
            .Where(h => h.Grant.DrawnWith < h.Grant.FencingToken)
            .Select(h => new HandedOverNode(h.Holding.HeldNodeOf(h.Grant), h.Grant.DrawnWith, h.Grant.Purpose))];
        return handedOver.Length == 0 ? [] : connection.Restore(registration.Holder, handedOver);
    }

    /// <summary>
    /// Gives back what carries this conductor's name and no scope uses: the replies to its reserves were lost, or its
    /// releases failed. Under the gate and by exactly the token read: a reservation that is just being made, or has
    /// been made since, has its caller in line or another token.
    /// </summary>
    private void GiveBack(Registration registration, IConductorStore connection, TimeSpan nextBeat)
    {
        List<Place> places = [];
        List<HeldNode> unused = [];
        try
        {
            foreach (HeldNode named in connection.FindReservedBy(registration.Holder))
            {
                if (gates.TryEnter(named.NodeId, "giving back what nobody uses", ReservationMode.Exclusive)
                    is not { } place) continue;
                place.Keep(new Claim(registration, named.FencingToken, named.Mode));
                places.Add(place);
                unused.Add(named);
            }

            if (unused.Count == 0 || conductor.Clock.Now >= nextBeat) return;
            // Fewer where a release that was under way came first.
            int released = connection.Release(registration.Holder, unused);
            if (released > 0) log.GaveBack(released, registration.Holder);
        }
        finally
        {
            foreach (Place place in places) place.Leave();
        }
    }

    private void ReportLongHolds(Registration registration)
    {
        foreach (Holding holding in registration.Holdings())
        {
            TimeSpan held = conductor.Clock.Now - holding.HeldSince;
            if (held > conductor.LongHoldThreshold && holding.TryReportLongHold())
                log.LongHold(holding.NodeId, holding.Purpose, holding.FencingToken, held.TotalSeconds);
        }
    }

    private void Report(Exception e)
    {
        if (away || conductor.IsStopping) return;
        away = true;
        if (e is InvalidOperationException and not ObjectDisposedException)
            log.StoreUnfit(e, repository.Location, e.Message);
        else
            log.StoreAway(e, repository.Location);
    }

    private void Returned()
    {
        if (away) log.StoreBack(repository.Location);
        away = false;
    }

    private void Disconnect()
    {
        try
        {
            store?.Dispose();
        }
        // A connection that is given up because it broke may well break again on the way out.
        catch (Exception e)
        {
            log.NotDisconnected(e, repository.Location);
        }

        store = null;
    }

    private static TimeSpan Later(TimeSpan time) => time > TimeSpan.Zero ? time : TimeSpan.Zero;
}
