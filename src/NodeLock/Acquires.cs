using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>Runs attempts to their outcome: tried again as the retry says, measured, traced, and given up
/// properly.</summary>
internal sealed class Acquires(LiveOptions settings, BackgroundWork background, Telemetry telemetry,
    TimeProvider timeProvider, ILogger log)
{
    private readonly Waiters waiters = new(settings, telemetry, log);

    /// <summary>Null when the node stayed locked.</summary>
    /// <param name="name">What is done, for traces and metrics: "acquire", "share", "upgrade" and so on.</param>
    /// <param name="attempt">What is tried.</param>
    /// <param name="retry">How often; null as the settings say.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async ValueTask<T?> TryAsync<T>(string name, Attempt<T> attempt, LockRetry? retry,
        CancellationToken cancellationToken) where T : class =>
        await RunAsync(name, Begin(attempt, retry), cancellationToken).ConfigureAwait(false);

    /// <exception cref="NodeLockedException">The node stayed locked.</exception>
    public async ValueTask<T> GetAsync<T>(string name, Attempt<T> attempt, LockRetry? retry,
        CancellationToken cancellationToken) where T : class
    {
        AcquireRetry<T> acquire = Begin(attempt, retry);
        return await RunAsync(name, acquire, cancellationToken).ConfigureAwait(false) ?? throw acquire.Locked();
    }

    private AcquireRetry<T> Begin<T>(Attempt<T> attempt, LockRetry? retry) where T : class
    {
        NodeLockOptions current = settings.Current;
        retry ??= new LockRetry(current.NodeLockedRetryAttempts, current.NodeLockedRetryInterval);
        return new AcquireRetry<T>(attempt, retry, current, waiters, timeProvider, log);
    }

    private async ValueTask<T?> RunAsync<T>(string name, AcquireRetry<T> acquire, CancellationToken cancellationToken)
        where T : class
    {
        Attempt<T> attempt = acquire.Attempt;
        Activity? activity = null;
        string outcome = "failed";
        T? result = null;
        try
        {
            activity = telemetry.Start(name, attempt.NodeId, attempt.Purpose);
            result = await acquire.ExecuteAsync(cancellationToken).ConfigureAwait(false);
            outcome = result is null ? "locked" : "acquired";
            return result;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            outcome = "cancelled";
            throw;
        }
        catch (Exception e)
        {
            activity?.SetStatus(ActivityStatusCode.Error, e.Message);
            throw;
        }
        finally
        {
            if (result is null) background.Own(attempt.GiveUpAsync(), $"giving up on node {attempt.NodeId}");
            telemetry.Acquired(name, outcome, acquire.Elapsed, acquire.Attempts);
            activity?.SetTag("nodelock.outcome", outcome).SetTag("nodelock.attempts", acquire.Attempts)
                .SetTag("nodelock.token", (result as TaskScope)?.FencingToken ?? (result as Grant)?.FencingToken);
            telemetry.Stop(activity);
        }
    }
}
