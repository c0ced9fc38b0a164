namespace NodeLock;

/// <summary>Several nodes at once.</summary>
public sealed partial class TaskManager
{
    private const int MostNodes = 500;

    /// <summary>
    /// Reserves those of several nodes that are free now, in one statement: one attempt each, as by
    /// <see cref="TryAcquireAsync"/>. One that is locked, missing or failing never keeps the others; what was passed
    /// over, and why, is in <see cref="TaskScopes.Skipped"/>.
    /// </summary>
    /// <param name="nodeIds">The nodes, at most 500; one that is named twice counts once.</param>
    /// <param name="purpose">Why, in a few words: 1 to 500 characters.</param>
    /// <param name="cancellationToken">Ends the wait for the answer, never the holding: what was reserved is
    /// released.</param>
    /// <returns>The scopes of those that were free, in the order given; dispose it.</returns>
    /// <exception cref="ArgumentException">There are more than 500 nodes, an id is <c>default</c>, or the purpose is
    /// empty or too long.</exception>
    /// <exception cref="ConductorStoppingException">The process is shutting down, or this is disposed.</exception>
    /// <exception cref="InvalidOperationException">The store is not set up; the message says what is
    /// missing.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="TimeoutException">The store did not answer within
    /// <see cref="NodeLockOptions.HeartbeatInterval"/>.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed; the provider's own
    /// exception.</exception>
    public async ValueTask<TaskScopes> TryAcquireManyAsync(IEnumerable<NodeId> nodeIds, string purpose,
        CancellationToken cancellationToken = default)
    {
        NodeId[] given = Several(nodeIds);
        Text.Purpose(purpose, nameof(purpose));
        cancellationToken.ThrowIfCancellationRequested();
        conductor.ThrowIfStopping();

        AcquireFree acquire = new(scopes, conductor, releases, gates, acquires, repository, settings.Current, purpose,
            AcquisitionAt, background, timeProvider, log);
        return await acquire.RunAsync(given, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Reserves several nodes, all or none, asking again while any of them is locked as the settings say. While it
    /// waits for one, it keeps none of the others from anybody, so that two of these never wait for each other.
    /// </summary>
    /// <param name="nodeIds">The nodes, at most 500; one that is named twice counts once.</param>
    /// <param name="purpose">Why, in a few words: 1 to 500 characters.</param>
    /// <param name="cancellationToken">Ends the wait, never the holding.</param>
    /// <inheritdoc cref="AcquireAllAsync(IEnumerable{NodeId}, AcquireOptions, CancellationToken)"
    /// path="/*[not(self::param)]"/>
    public ValueTask<TaskScopes> AcquireAllAsync(IEnumerable<NodeId> nodeIds, string purpose,
        CancellationToken cancellationToken = default) =>
        AcquireAllAsync(nodeIds, new AcquireOptions { Purpose = Text.Purpose(purpose, nameof(purpose)) },
            cancellationToken);

    /// <summary>
    /// Reserves several nodes, all or none, asking again while any of them is locked as the options say. While it waits
    /// for one, it keeps none of the others from anybody, so that two of these never wait for each other.
    /// </summary>
    /// <param name="nodeIds">The nodes, at most 500; one that is named twice counts once.</param>
    /// <param name="options">Why, and how often to ask. The mode is exclusive.</param>
    /// <param name="cancellationToken">Ends the wait, never the holding.</param>
    /// <returns>The scopes, in the order given; dispose it.</returns>
    /// <exception cref="ArgumentException">There are more than 500 nodes, an id is <c>default</c> or not of the key's
    /// type, the mode is not exclusive, or the purpose is empty or too long.</exception>
    /// <exception cref="NodeLockedException">One of them stayed locked through all attempts; it says which.</exception>
    /// <exception cref="NodeNotFoundException">One of them does not exist.</exception>
    /// <exception cref="ReservationLostException">They were reserved, but the answer came too late to be believed.
    /// </exception>
    /// <exception cref="ConductorStoppingException">The process is shutting down, or this is disposed.</exception>
    /// <exception cref="InvalidOperationException">The store is not set up; the message says what is
    /// missing.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="TimeoutException">The store did not answer within
    /// <see cref="NodeLockOptions.HeartbeatInterval"/>.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed; the provider's own
    /// exception.</exception>
    public async ValueTask<TaskScopes> AcquireAllAsync(IEnumerable<NodeId> nodeIds, AcquireOptions options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        NodeId[] nodes = [.. Several(nodeIds).Select(repository.Spell).Distinct()];
        string purpose = Text.Purpose(options.Purpose, nameof(options));
        if (options.Mode != ReservationMode.Exclusive)
            throw new ArgumentException("Several nodes are acquired exclusively.", nameof(options));
        cancellationToken.ThrowIfCancellationRequested();
        conductor.ThrowIfStopping();
        if (nodes.Length == 0) return new TaskScopes(scopes, [], []);

        AcquireAll acquire = new(scopes, conductor, releases, gates, repository, settings.Current, nodes, purpose,
            timeProvider, log);
        return await acquires.GetAsync("acquire_all", acquire, options.Retry, cancellationToken).ConfigureAwait(false);
    }

    private static NodeId[] Several(IEnumerable<NodeId> nodeIds)
    {
        ArgumentNullException.ThrowIfNull(nodeIds);
        NodeId[] nodes = [.. nodeIds.Take(MostNodes + 1)];
        if (nodes.Length > MostNodes)
            throw new ArgumentException($"At most {MostNodes} nodes are acquired at once.", nameof(nodeIds));
        foreach (NodeId node in nodes) node.OrRefuseDefault(nameof(nodeIds));
        return nodes;
    }
}
