using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>What task scopes are made by and talk to: from the grant to the end of the use.</summary>
internal sealed class Scopes(Conductor conductor, Releases releases, Acquires acquires, INodeLockRepository repository,
    LiveOptions settings, BackgroundWork background, Telemetry telemetry, TimeProvider timeProvider, ILogger log)
{
    private readonly NodeLockOptions options = settings.Current; // those that hold until restart
    private readonly Workers workers = new(settings.Current);

    public TaskScope Granted(Holding holding, string? takenOverFrom)
    {
        telemetry.Held();
        log.Reserved(holding.NodeId, holding.Purpose, holding.FencingToken);
        if (takenOverFrom is not null)
        {
            telemetry.TookOver();
            log.TookOver(holding.NodeId, holding.Purpose, holding.FencingToken, takenOverFrom);
        }

        return new TaskScope(this, holding);
    }

    public void EnsureHeld(Holding holding)
    {
        if (!holding.IsLost && holding.Registration.IsTrusted) return;
        // Whoever was told once that it lost the node is never told otherwise.
        throw Lose(holding, Conductor.NotRenewed);
    }

    public ReservationLostException Lose(Holding holding, string reason)
    {
        conductor.Lose([holding], reason);
        return holding.AsLost(reason);
    }

    public ReservationGuard Guard(Holding holding)
    {
        Grant guarded = holding.Grant;
        // What was upgraded, downgraded or released since is not lost because the row no longer says what it was.
        return new ReservationGuard(repository, holding.Registration.Holder, holding.HeldNodeOf(guarded),
            guarded.DrawnWith, options.LeaseDuration, reason => ReferenceEquals(holding.Grant, guarded)
                ? Lose(holding, reason)
                : holding.AsLost(reason));
    }

    public async ValueTask UpgradeAsync(Holding holding, string purpose, LockRetry? retry,
        CancellationToken cancellationToken)
    {
        Upgrade upgrade = new(this, conductor, repository, options, holding, purpose, timeProvider, log);
        await acquires.GetAsync("upgrade", upgrade, retry, cancellationToken).ConfigureAwait(false);
    }

    public ValueTask DowngradeAsync(Holding holding) =>
        new Downgrade(this, repository, options, holding, timeProvider, log).RunAsync();

    /// <summary>A worker for a piece of work, until <see cref="RunAsync"/> has run it.</summary>
    public void TakeWorker(Holding holding, WorkPriority priority)
    {
        if (workers.TryEnter(priority)) return;
        throw new NoFreeWorkerException(holding.NodeId, holding.Purpose, options.WorkerPoolSize,
            options.ReservedWorkers);
    }

    public void LeaveWorker() => workers.Leave();

    /// <summary>Runs the work with a scope that ends with it, however it ends.</summary>
    public async Task RunAsync(TaskScope scope, Func<TaskScope, CancellationToken, Task> work)
    {
        try
        {
            await using (scope.ConfigureAwait(false)) await work(scope, scope.Lost).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            log.WorkFailed(e, scope.NodeId, scope.Purpose, scope.FencingToken);
            throw;
        }
        finally
        {
            workers.Leave();
        }
    }

    /// <summary>Ends a scope without waiting for its release.</summary>
    public void EndLater(Holding holding) =>
        background.Own(EndAsync(holding).AsTask(), $"releasing node {holding.NodeId}");

    /// <summary>Owns a statement whose answer nobody waits for any more. What it has done is found by the next one, or
    /// by the heartbeat.</summary>
    public void Abandon(Task statement, Holding holding) => background.Own(SeeAsync(statement, holding),
        $"a change of mode of node {holding.NodeId}");

    public ValueTask EndAsync(Holding holding)
    {
        EndUse(holding);
        ValueTask released = releases.EndAsync(holding);
        // Only now: a conductor that waits for the last use to end waits then for its release, which is under way.
        conductor.UseEnded();
        return released;
    }

    public void End(Holding holding)
    {
        EndUse(holding);
        releases.End(holding);
        conductor.UseEnded();
    }

    /// <summary>One after the other, on this thread, as long as a single dispose may take; the rest in the
    /// background.</summary>
    public void EndAll(IReadOnlyList<Holding> holdings)
    {
        long began = timeProvider.GetTimestamp();
        int ended = 0;
        while (ended < holdings.Count && timeProvider.GetElapsedTime(began) < options.ReleaseTimeout)
            End(holdings[ended++]);
        if (ended < holdings.Count)
            background.Own(EndAllAsync([.. holdings.Skip(ended)]).AsTask(), "releasing several nodes");
    }

    public ValueTask EndAllAsync(IReadOnlyCollection<Holding> holdings)
    {
        foreach (Holding holding in holdings) EndUse(holding);
        ValueTask released = releases.EndAllAsync(holdings);
        conductor.UseEnded();
        return released;
    }

    /// <summary>While a transaction of the caller is under way that gives the node back, its row says nothing about a
    /// loss.</summary>
    public async Task<T> ReleaseInAsync<T>(Holding holding,
        Func<ReservationGuard, CancellationToken, Task<T>> transaction, CancellationToken cancellationToken)
    {
        holding.IsChanging = true;
        holding.IsBeingReleased = true;
        holding.Place.GiveWayIfWanted();
        holding.Place.ForgetSpares();
        try
        {
            return await transaction(Guard(holding), cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            holding.IsBeingReleased = false;
            holding.IsChanging = false;
            throw;
        }
    }

    /// <summary>Ends the use of what a transaction of the caller has given back.</summary>
    public void EndReleased(Holding holding)
    {
        EndUse(holding);
        holding.Place.EndUse();
        holding.Place.LeaveReleased(new Claim(holding.Registration, holding.FencingToken, holding.Mode));
        log.Released(holding.NodeId, holding.Purpose, holding.FencingToken);
        conductor.UseEnded();
    }

    public void ReportDropped(Holding holding) => log.Dropped(holding.NodeId, holding.Purpose, holding.FencingToken);

    private async Task SeeAsync(Task statement, Holding holding)
    {
        try
        {
            await statement.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            log.ChangeNotAnswered(e, holding.NodeId, holding.Purpose, holding.FencingToken);
        }
    }

    private void EndUse(Holding holding)
    {
        holding.EndUse();
        holding.Registration.Drop(holding);
        telemetry.HoldEnded(conductor.Clock.Now - holding.HeldSince);
    }
}
