using Microsoft.Extensions.Logging;
using Polly;
using Polly.Retry;

namespace NodeLock;

/// <summary>
/// Decides when and how often one acquire asks again: on ticks one interval apart, as many as it has attempts, and out
/// of turn when it is woken. The only thing that is tried again is the answer "locked".
/// </summary>
internal sealed class AcquireRetry<T>(Attempt<T> attempt, LockRetry retry, NodeLockOptions options, Waiters waiters,
    TimeProvider timeProvider, ILogger log) where T : class
{
    private static readonly ResiliencePropertyKey<AcquireRetry<T>> Key = new("NodeLock.AcquireRetry");

    // One pipeline for all settings: the ticks count the attempts, since a woken waiter's extra try uses up none.
    private static readonly ResiliencePipeline<T?> Pipeline = new ResiliencePipelineBuilder<T?>
    {
        Name = Telemetry.Name,
    }.AddRetry(new RetryStrategyOptions<T?>
    {
        MaxRetryAttempts = int.MaxValue,
        ShouldHandle = static locked => ValueTask.FromResult(
            locked.Outcome is { Exception: null, Result: null } && Of(locked.Context).MayAskAgain()),
        DelayGenerator = static async locked =>
        {
            await Of(locked.Context).NextTryAsync(locked.Context.CancellationToken).ConfigureAwait(false);
            return TimeSpan.Zero;
        },
    }).Build();

    private readonly long began = timeProvider.GetTimestamp();
    private bool waits;
    private bool turnedAway;
    private bool longWaitReported;

    /// <summary>Attempts made so far, the first included; ticks that passed while others were first count
    /// too.</summary>
    public int Attempts { get; private set; } = 1;

    public TimeSpan Elapsed => timeProvider.GetElapsedTime(began);

    public Attempt<T> Attempt => attempt;

    // A wish of a writer outlasts one that died by no more than a lease.
    private TimeSpan NextTry => Attempts >= retry.MaxAttempts ? TimeSpan.Zero
        : retry.Interval < options.LeaseDuration / 2 ? retry.Interval : options.LeaseDuration / 2;

    /// <summary>What a caller is told who got nothing.</summary>
    public NodeLockedException Locked() =>
        new(attempt.NodeId, attempt.Purpose, attempt.Obstacle, Attempts, Elapsed, turnedAway);

    /// <summary>Null when the node stayed locked.</summary>
    public async ValueTask<T?> ExecuteAsync(CancellationToken cancellationToken)
    {
        // Most get the node at the first try, and need no pipeline.
        if (await TryAsync(cancellationToken).ConfigureAwait(false) is { } atOnce) return atOnce;
        if (!MayAskAgain()) return null;

        ResilienceContext context = ResilienceContextPool.Shared.Get(cancellationToken);
        context.Properties.Set(Key, this);
        try
        {
            await NextTryAsync(cancellationToken).ConfigureAwait(false);
            return await Pipeline.ExecuteAsync(
                static (ResilienceContext context, AcquireRetry<T> retry) => retry.TryAsync(context.CancellationToken),
                context, this).ConfigureAwait(false);
        }
        finally
        {
            if (waits) waiters.Leave();
            ResilienceContextPool.Shared.Return(context);
        }
    }

    private static AcquireRetry<T> Of(ResilienceContext context) => context.Properties.GetValue(Key, null!);

    private ValueTask<T?> TryAsync(CancellationToken cancellationToken) =>
        attempt.TryAsync(NextTry, cancellationToken);

    private bool MayAskAgain()
    {
        if (Attempts >= retry.MaxAttempts || attempt.IsHopeless) return false;
        waits = waits || waiters.TryEnter();
        turnedAway = !waits;
        return waits;
    }

    /// <summary>Ends at the next tick, which uses up an attempt, or when woken, which does not; also when cancelled,
    /// which Polly sees next.</summary>
    private async ValueTask NextTryAsync(CancellationToken cancellationToken)
    {
        TimeSpan tick = Attempts * retry.Interval;
        // One look at the clock for both: by a second look the tick may be over, and a wait of -1 ms has no end.
        for (TimeSpan now = Elapsed; now < tick && !cancellationToken.IsCancellationRequested; now = Elapsed)
        {
            TimeSpan until = tick - now;
            TimeSpan quiet = options.LongWaitThreshold - now;
            if (!longWaitReported && quiet < until) until = quiet > TimeSpan.Zero ? quiet : TimeSpan.Zero;
            if (await attempt.WaitAsync(until, cancellationToken).ConfigureAwait(false)) return;
            ReportLongWait();
        }

        if (cancellationToken.IsCancellationRequested) return;
        // Ticks that went by unused (a slow store, a machine asleep) are not made up for by a burst of tries.
        long due = (long)(Elapsed / retry.Interval) + 1;
        Attempts = (int)Math.Clamp(due, Attempts + 1L, retry.MaxAttempts);
        attempt.Tick();
    }

    private void ReportLongWait()
    {
        if (longWaitReported || Elapsed < options.LongWaitThreshold) return;
        longWaitReported = true;
        log.LongWait(attempt.NodeId, attempt.Purpose, Elapsed.TotalSeconds, attempt.Obstacle.ToString());
    }
}

/// <summary>How many acquires wait at this moment; beyond the maximum, one more is not let in.</summary>
internal sealed class Waiters(LiveOptions options, Telemetry telemetry, ILogger log)
{
    private int count;
    private int full;

    public bool TryEnter()
    {
        if (Interlocked.Increment(ref count) > options.Current.MaxWaiters)
        {
            Interlocked.Decrement(ref count);
            // Once each time the limit is reached, not for each acquire that is turned away.
            if (Interlocked.Exchange(ref full, 1) == 0) log.TooManyWaiters(options.Current.MaxWaiters);
            return false;
        }

        telemetry.WaitBegan();
        return true;
    }

    public void Leave()
    {
        Interlocked.Decrement(ref count);
        Volatile.Write(ref full, 0);
        telemetry.WaitEnded();
    }
}
