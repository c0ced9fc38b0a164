namespace NodeLock;

/// <summary>What an operator asks: who has what, and to take it away.</summary>
public sealed partial class TaskManager
{
    /// <summary>Who holds a node, why and since when; null when it is free.</summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="cancellationToken">Ends the query.</param>
    /// <exception cref="ArgumentException">The id is <c>default</c> or not of the key's type.</exception>
    /// <exception cref="NodeNotFoundException">There is no such node, and the store knows which nodes
    /// exist.</exception>
    /// <exception cref="InvalidOperationException">The store is not set up; the message says what is
    /// missing.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed, or did not answer
    /// within 30 seconds.</exception>
    public async ValueTask<Reservation?> GetReservationAsync(NodeId nodeId,
        CancellationToken cancellationToken = default) =>
        await repository.FindAsync(NodeOf(nodeId), cancellationToken).ConfigureAwait(false);

    /// <summary>All reservations of this kind of node, by whichever conductor, in the order of their ids.</summary>
    /// <param name="cancellationToken">Ends the query.</param>
    /// <exception cref="InvalidOperationException">The store is not set up; the message says what is
    /// missing.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed, or did not answer
    /// within 30 seconds.</exception>
    public async ValueTask<IReadOnlyList<Reservation>> ListReservationsAsync(
        CancellationToken cancellationToken = default) =>
        await repository.ListAsync(cancellationToken).ConfigureAwait(false);

    /// <summary>
    /// For an operator: takes a node away from whoever holds it exclusively with this token, dead or alive, without a
    /// fence. Its scope is lost within a heartbeat, which is later than somebody else may have the node: the one
    /// exception to what <see cref="TaskScope.Lost"/> promises. Guarded writes of the old holder are refused from now
    /// on. It is logged with the reason.
    /// </summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="fencingToken">The token that the operator saw.</param>
    /// <param name="reason">Why, for the log: 1 to 500 characters.</param>
    /// <param name="cancellationToken">Ends the wait for the answer, not the break.</param>
    /// <returns>False when no such reservation stands (any more), nor such a node: look again before breaking
    /// another.</returns>
    /// <exception cref="ArgumentException">The id is <c>default</c> or not of the key's type, or the reason (or the
    /// holder) is empty or too long.</exception>
    /// <exception cref="InvalidOperationException">The store is not set up; the message says what is
    /// missing.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="TimeoutException">The store did not answer within <see
    /// cref="NodeLockOptions.HeartbeatInterval"/>, or a transaction has the node's row in hand.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed; the provider's own
    /// exception.</exception>
    public async ValueTask<bool> BreakAsync(NodeId nodeId, long fencingToken, string reason,
        CancellationToken cancellationToken = default)
    {
        NodeId node = NodeOf(nodeId);
        Text.Reason(reason, nameof(reason));
        cancellationToken.ThrowIfCancellationRequested();
        return await AnswerAsync(BreakNowAsync(), node, cancellationToken).ConfigureAwait(false);

        async Task<bool> BreakNowAsync()
        {
            if (!await repository.BreakAsync(node, fencingToken, settings.Current.HeartbeatInterval)
                .ConfigureAwait(false)) return false;
            log.Broke(node, fencingToken, reason);
            conductor.Lose(conductor.Current.Holdings().Where(h => h.HeldNode == new HeldNode(node, fencingToken)),
                $"it was broken: {reason}");
            return true;
        }
    }

    /// <summary>For an operator: takes a node away from a conductor that shares it, with all its scopes there. It
    /// draws no token, since readers write nothing. Otherwise as the break of an exclusive reservation.</summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="holder">The conductor, as one of <see cref="Reservation.Holders"/>.</param>
    /// <param name="reason">Why, for the log: 1 to 500 characters.</param>
    /// <param name="cancellationToken">Ends the wait for the answer, not the break.</param>
    /// <returns>False when it does not share the node (any more).</returns>
    /// <inheritdoc cref="BreakAsync(NodeId, long, string, CancellationToken)" path="/exception"/>
    public async ValueTask<bool> BreakAsync(NodeId nodeId, string holder, string reason,
        CancellationToken cancellationToken = default)
    {
        NodeId node = NodeOf(nodeId);
        ArgumentException.ThrowIfNullOrWhiteSpace(holder);
        Text.Reason(reason, nameof(reason));
        cancellationToken.ThrowIfCancellationRequested();
        return await AnswerAsync(BreakNowAsync(), node, cancellationToken).ConfigureAwait(false);

        async Task<bool> BreakNowAsync()
        {
            if (!await repository.BreakAsync(node, holder, settings.Current.HeartbeatInterval).ConfigureAwait(false))
                return false;
            log.BrokeShare(node, holder, reason);
            conductor.Lose(conductor.Current.Holdings().Where(h => h.NodeId == node
                && h.Mode == ReservationMode.Shared && h.Registration.Holder == holder), $"it was broken: {reason}");
            return true;
        }
    }

    private async ValueTask<bool> AnswerAsync(Task<bool> breaks, NodeId node, CancellationToken cancellationToken)
    {
        BoundedAnswer<bool> statement = new(repository, settings.Current.HeartbeatInterval, timeProvider);
        try
        {
            return await statement.AnswerAsync(new ValueTask<bool>(breaks),
                static node => $"the reservation of node {node} is broken.", node, cancellationToken)
                .ConfigureAwait(false);
        }
        finally
        {
            // Broken after nobody waits for it any more, it is logged and told all the same.
            if (statement.Abandoned is { } abandoned)
                background.Own(abandoned, $"breaking a reservation of node {node}");
        }
    }
}
