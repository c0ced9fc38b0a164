namespace NodeLock.Tests.Conformance;

public sealed class InMemoryConformanceTests : NodeLockRepositoryConformance
{
    private InMemoryNodeLockRepository repository = null!;

    protected override IReadOnlyList<NodeId> Nodes { get; } = [1, 2, 3];

    protected override NodeId? Missing => 4;

    protected override Task<INodeLockRepository> CreateAsync()
    {
        repository = new InMemoryNodeLockRepository { Nodes = Nodes.ToHashSet() };
        return Task.FromResult<INodeLockRepository>(repository);
    }

    protected override INodeLockRepository OpenOther() => new InMemoryNodeLockRepository();

    protected override Task EraseConductorAsync(string holder)
    {
        repository.Conductors.Remove(holder);
        return Task.CompletedTask;
    }
}
