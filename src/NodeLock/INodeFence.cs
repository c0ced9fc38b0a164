namespace NodeLock;

/// <summary>
/// Makes sure that a dead holder can no longer act on a node, before anybody else may have it: by switching the machine
/// off, say, or by taking its access to storage away. Registered with <c>AddFence</c>.
/// </summary>
/// <remarks>
/// With a fence registered, the nodes of this conductor, should it die, stay taken until a living conductor has fenced
/// each of them. Nodes that it only shared need no fence and are free at once. For each dead conductor one living one
/// does so; for each node its reservation is revoked first, then the fence runs, and when it returns, the node is free.
/// A fence that throws is tried again, after 1 second at first and up to 1 minute later on; it may therefore be called
/// more than once for one node and must bear that.
/// </remarks>
public interface INodeFence
{
    /// <summary>Fences one node. To return is to say: the dead holder cannot act on it any more.</summary>
    /// <param name="node">The node, and who held it.</param>
    /// <param name="cancellationToken">Fires when this conductor may no longer believe that it is the one to fence, or
    /// stops. Another goes on then, so that a fence must not have effects long after.</param>
    Task FenceAsync(NodeToFence node, CancellationToken cancellationToken);
}

/// <summary>A node whose holder is dead.</summary>
/// <param name="NodeId">The node.</param>
/// <param name="DeadHolder">The conductor that held it.</param>
/// <param name="Purpose">What it was held for.</param>
/// <param name="ReservedAt">Since when, by the store's clock.</param>
/// <param name="FencingToken">The fresh token under which it is fenced: greater than that of the dead holder, so that a
/// store that remembers the greatest it has seen refuses the dead holder from the fence on.</param>
public sealed record NodeToFence(
    NodeId NodeId, string DeadHolder, string Purpose, DateTimeOffset ReservedAt, long FencingToken);
