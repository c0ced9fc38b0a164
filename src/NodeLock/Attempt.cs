namespace NodeLock;

/// <summary>What <see cref="AcquireRetry{T}"/> tries: to get a node, several, or more of one that is held.</summary>
/// <typeparam name="T">What it gives.</typeparam>
internal abstract class Attempt<T> where T : class
{
    /// <summary>The node asked for; of several, one that was in the way.</summary>
    public abstract NodeId NodeId { get; }

    public abstract string Purpose { get; }

    /// <summary>What was in the way at the last try.</summary>
    public abstract Obstacle Obstacle { get; }

    /// <summary>Whether it is of no use to ask again.</summary>
    public virtual bool IsHopeless => false;

    /// <summary>One try; null when the node is locked.</summary>
    /// <param name="nextTry">How long until the next, should this one fail; zero when there is none.</param>
    /// <param name="cancellationToken">Ends the wait for the answer.</param>
    public abstract ValueTask<T?> TryAsync(TimeSpan nextTry, CancellationToken cancellationToken);

    /// <summary>Waits until another try is worth making or the time is over; ends early when cancelled.</summary>
    /// <returns>Whether it was woken.</returns>
    public abstract ValueTask<bool> WaitAsync(TimeSpan time, CancellationToken cancellationToken);

    /// <summary>Called at each tick.</summary>
    public virtual void Tick()
    {
    }

    /// <summary>Called when it has failed for good: whatever it may still be given is not leaked.</summary>
    public abstract Task GiveUpAsync();
}
