using System.Collections.Concurrent;

namespace NodeLock.ConductorService;

/// <summary>Machines that are gone when the process ends, for a service that nobody configured.</summary>
internal sealed class MemoryFleet : IFleet
{
    private readonly ConcurrentDictionary<string, Power> power = new(
        Node.Simulated.Select(node => KeyValuePair.Create(node.Id, node.Power)));

    public string Location => "the memory of this process, 20 of them and simulated; set ConnectionStrings__NodeLock "
        + "to use PostgreSQL, which several instances may share";

    public Task<IReadOnlyList<Node>> ListAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<Node>>([.. power.Select(NodeOf).OrderBy(n => n.Id, StringComparer.Ordinal)]);

    public Task<Node> GetAsync(NodeId id, CancellationToken cancellationToken) =>
        power.TryGetValue(id.ToString(), out Power now)
            ? Task.FromResult(NodeOf(new(id.ToString(), now)))
            : throw new NodeNotFoundException(id, "memory");

    public async Task SetPowerAsync(NodeId id, Power power, CancellationToken cancellationToken)
    {
        await GetAsync(id, cancellationToken);
        this.power[id.ToString()] = power;
    }

    private static Node NodeOf(KeyValuePair<string, Power> machine) =>
        new() { Id = machine.Key, Power = machine.Value };
}
