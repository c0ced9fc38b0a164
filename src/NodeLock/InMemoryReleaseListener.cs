using System.Threading.Channels;

namespace NodeLock;

/// <summary>Hears what the <see cref="InMemoryNodeLockRepository"/> tells.</summary>
internal sealed class InMemoryReleaseListener(InMemoryNodeLockRepository repository) : IReleaseListener
{
    private readonly Channel<NodeId?> told = Channel.CreateUnbounded<NodeId?>();

    public void Tell(NodeId? nodeId) => told.Writer.TryWrite(nodeId);

    public ValueTask<NodeId?> HearAsync(CancellationToken cancellationToken) =>
        told.Reader.ReadAsync(cancellationToken);

    public ValueTask DisposeAsync()
    {
        lock (repository.Sync) repository.Listeners.Remove(this);
        return default;
    }
}
