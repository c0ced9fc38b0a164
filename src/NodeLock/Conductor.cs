using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// This process as the store knows it: registers, renews its lease, and tells its scopes when it may no longer believe
/// in it. See "The conductor" on the protocol page.
/// </summary>
internal sealed class Conductor
{
    // A wait that was under way while the machine slept goes on for its full length afterwards; it must not be long.
    private static readonly TimeSpan LongestNap = TimeSpan.FromSeconds(1);

    public const string NotRenewed = "its conductor could not renew the lease in time";
    public const string AnsweredTooLate = "the answer came when the lease was no longer certain";
    public const string TakenAway = "it was taken away";
    public const string Stopped = "its conductor has stopped";

    private readonly Lock sync = new();
    private readonly NodeLockOptions options;
    private readonly LiveOptions live;
    private readonly Gates gates;
    private readonly BackgroundWork background;
    private readonly Telemetry telemetry;
    private readonly TimeProvider timeProvider;
    private readonly ILogger log;
    private readonly Listening listening;
    private readonly Pacemaker heart;
    private readonly Pacemaker watch;
    private readonly TaskCompletionSource drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lazy<Task> stopped;
    private Registration current;
    private TaskCompletionSource<Registration>? asked;
    private TaskCompletionSource<Registration>? answering;
    private volatile bool stopping;

    public Conductor(INodeLockRepository repository, INodeFence? fence, LiveOptions live, Gates gates,
        BackgroundWork background, Telemetry telemetry, TimeProvider timeProvider, ILogger log)
    {
        this.live = live;
        options = live.Current; // those that hold until restart are read here, once
        this.gates = gates;
        this.background = background;
        this.telemetry = telemetry;
        this.timeProvider = timeProvider;
        this.log = log;
        Clock = MonotonicClock.Of(timeProvider);
        current = Draw();
        stopped = new Lazy<Task>(StopOnceAsync);
        Fencing? fencing = fence is null ? null
            : new Fencing(repository, fence, options, background, timeProvider, log);
        listening = new Listening(repository, options, gates, timeProvider, log);
        Heartbeat heartbeat = new(this, repository, fencing, listening, options, gates, log);
        // Two threads: the second one makes no calls to the store, so that scopes hear of the loss in time while a
        // renewal hangs.
        heart = Pacemaker.Create("NodeLock heartbeat", heartbeat.Beat, heartbeat.BeatLast, repository.Pace,
            timeProvider);
        watch = Pacemaker.Create("NodeLock trust window", Watch, () => { }, repository.Pace, timeProvider);
    }

    public MonotonicClock Clock { get; }

    public string Name => options.ConductorName;

    public TimeSpan LongHoldThreshold => live.Current.LongHoldThreshold;

    /// <summary>The registration in force, which may not be in the store yet.</summary>
    public Registration Current => Volatile.Read(ref current);

    public bool IsStopping => stopping;

    /// <summary>False when it had been started before.</summary>
    public bool Start()
    {
        watch.Start();
        if (!heart.Start()) return false;
        listening.Start();
        return true;
    }

    public void ThrowIfStopping()
    {
        if (stopping) throw new ConductorStoppingException(Name);
    }

    /// <summary>A registration whose trust window is open; asks for a heartbeat, and waits for its outcome, where it is
    /// not.</summary>
    /// <exception cref="Exception">The store's own, when it could not be reached for that.</exception>
    public ValueTask<Registration> TrustedAsync(CancellationToken cancellationToken)
    {
        Registration registration = Current;
        return registration.IsTrusted ? new(registration) : new(RenewedAsync(cancellationToken));
    }

    /// <summary>The registration as the next heartbeat leaves it, which is made at once.</summary>
    public async Task<Registration> RenewedAsync(CancellationToken cancellationToken)
    {
        Task<Registration> outcome;
        lock (sync)
        {
            ThrowIfStopping();
            asked ??= new TaskCompletionSource<Registration>(TaskCreationOptions.RunContinuationsAsynchronously);
            outcome = asked.Task;
        }

        if (!Start()) heart.Wake();
        return await outcome.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Called by the heartbeat when the store has confirmed the registration in force.</summary>
    public void Confirmed(Registration registration, TimeSpan sentAt)
    {
        Lose(registration.Renewed(sentAt), NotRenewed);
        watch.Wake();
        foreach (TaskCompletionSource<Registration> question in TakeAsked()) question.SetResult(registration);
    }

    /// <summary>Called when a heartbeat begins: should it fail, that answers only those who had asked by now.</summary>
    public void BeatBegins()
    {
        lock (sync)
        {
            answering = asked;
            asked = null;
        }
    }

    /// <summary>Called by the heartbeat when the store could not be asked.</summary>
    public void NotConfirmed(Exception reason)
    {
        lock (sync)
        {
            Refuse(answering, reason);
            answering = null;
        }
    }

    /// <summary>Called by the heartbeat when the store says that this conductor is not alive.</summary>
    /// <returns>The registration to go on with.</returns>
    public Registration StartOver()
    {
        Registration dead = Current;
        Registration next = Draw();
        Volatile.Write(ref current, next);
        Lose(dead.End(declaredDead: true), "its conductor was declared dead");
        gates.Lapse(dead);
        log.DeclaredDead(dead.Holder, next.Holder);
        return next;
    }

    /// <summary>A name that was not answered for is not used again: it may be in the store, and will expire
    /// there.</summary>
    public Registration Redraw()
    {
        Registration next = Draw();
        Volatile.Write(ref current, next);
        return next;
    }

    /// <summary>Fires <c>Lost</c> on what the closing of the trust window ends, and stops the fences.</summary>
    public void Lose(Loss loss, string reason)
    {
        if (loss.Trust is { } trust) background.Own(trust.CancelAsync(), "a callback on the end of a fence's trust");
        Lose(loss.Holdings, reason);
    }

    public void Lose(IEnumerable<Holding> holdings, string reason)
    {
        Holding[] lost = [.. holdings.Where(h => h.TryLose(reason))];
        // All are told before anything is logged: a log that blocks must not hold up Lost.
        foreach (Holding holding in lost)
            background.Own(holding.FireLostAsync(), $"a callback on the loss of node {holding.NodeId}");
        foreach (Holding holding in lost)
        {
            telemetry.Lost();
            log.Lost(holding.NodeId, holding.Purpose, holding.FencingToken, holding.Registration.Holder,
                (Clock.Now - holding.HeldSince).TotalSeconds, reason);
        }

        UseEnded();
    }

    /// <summary>Called when a scope is disposed or lost.</summary>
    public void UseEnded()
    {
        if (stopping && Current.Holdings().Length == 0) drained.TrySetResult();
    }

    /// <summary>Waits until nothing is held any more, or the time is over.</summary>
    public async Task DrainAsync(CancellationToken time)
    {
        BeginStop();
        UseEnded();
        await drained.Task.WaitAsync(time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>From now on acquires are refused and waiters sent away; what runs goes on.</summary>
    public void BeginStop()
    {
        lock (sync) stopping = true;
        foreach (TaskCompletionSource<Registration> question in TakeAsked())
            Refuse(question, new ConductorStoppingException(Name));
        gates.WakeAll();
    }

    /// <summary>
    /// Ends the conductor: one that holds nothing leaves in good order; otherwise it stops renewing, its scopes are
    /// lost, and its lease takes its course.
    /// </summary>
    /// <remarks>Not under <see cref="sync"/>: this waits for a beat under way, which takes it.</remarks>
    public Task StopAsync() => stopped.Value;

    private async Task StopOnceAsync()
    {
        BeginStop();
        await background.FinishAsync(options.ReleaseTimeout, timeProvider)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Task.WhenAll(listening.StopAsync(), heart.StopAsync()).WaitAsync(options.ReleaseTimeout, timeProvider)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Lose(Current.End(declaredDead: false), Stopped);
        await watch.StopAsync().WaitAsync(options.ReleaseTimeout, timeProvider)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        log.Stopped(Name, Current.Holder);
    }

    private TimeSpan Watch()
    {
        Registration registration = Current;
        TimeSpan left = registration.TrustedFor;
        if (left > TimeSpan.Zero) return left < LongestNap ? left + TimeSpan.FromMilliseconds(1) : LongestNap;
        Lose(registration.LoseIfClosed(), NotRenewed);
        return Timeout.InfiniteTimeSpan; // until the next registration or renewal wakes this
    }

    private static void Refuse(TaskCompletionSource<Registration>? question, Exception reason)
    {
        if (question is null) return;
        question.SetException(reason);
        _ = question.Task.Exception; // seen, also where all who asked have cancelled
    }

    private TaskCompletionSource<Registration>[] TakeAsked()
    {
        lock (sync)
        {
            TaskCompletionSource<Registration>?[] taken = [answering, asked];
            (answering, asked) = (null, null);
            return [.. taken.OfType<TaskCompletionSource<Registration>>()];
        }
    }

    private Registration Draw() => new(Registration.DrawHolder(Name), options.LeaseDuration, Clock);
}
