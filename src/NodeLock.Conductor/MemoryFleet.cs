using System.Collections.Concurrent;

namespace NodeLock.ConductorService;

/// <summary>Machines that are gone when the process ends, for a service that nobody configured. There is no transaction
/// in which a write could be guarded: here one looks first.</summary>
internal sealed class MemoryFleet : IFleet
{
    private readonly ConcurrentDictionary<string, Power> power = new(
        Node.Simulated.Select(node => KeyValuePair.Create(node.Id, node.Power)));

    private readonly ConcurrentDictionary<string, Deployment> deployments = [];

    public string Location => "the memory of this process, 20 of them and simulated; set ConnectionStrings__NodeLock "
        + "to use PostgreSQL, which several instances may share";

    public Task<IReadOnlyList<Node>> ListAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<Node>>([.. power.Select(NodeOf).OrderBy(n => n.Id, StringComparer.Ordinal)]);

    public Task<Node> GetAsync(NodeId id, CancellationToken cancellationToken) =>
        power.TryGetValue(id.ToString(), out Power now)
            ? Task.FromResult(NodeOf(new(id.ToString(), now)))
            : throw new NodeNotFoundException(id, "memory");

    public Task SetPowerAsync(TaskScope task, Power power, CancellationToken cancellationToken)
    {
        task.EnsureExclusive();
        this.power[task.NodeId.ToString()] = power;
        return Task.CompletedTask;
    }

    public Task<Deployment?> FindDeploymentAsync(NodeId id, CancellationToken cancellationToken) =>
        Task.FromResult(deployments.GetValueOrDefault(id.ToString()));

    public Task SaveDeploymentAsync(TaskScope task, Deployment deployment, CancellationToken cancellationToken)
    {
        task.EnsureExclusive();
        deployments[deployment.NodeId] = deployment;
        return Task.CompletedTask;
    }

    public async Task EndDeploymentAsync(TaskScope task, Deployment deployment, Power power,
        CancellationToken cancellationToken)
    {
        await SetPowerAsync(task, power, cancellationToken);
        await SaveDeploymentAsync(task, deployment, cancellationToken);
    }

    /// <summary>Never called: who could fence for this process would have to share its memory.</summary>
    public Task RecordFencedAsync(NodeToFence fenced, CancellationToken cancellationToken)
    {
        power[fenced.NodeId.ToString()] = Power.Off;
        return Task.CompletedTask;
    }

    private static Node NodeOf(KeyValuePair<string, Power> machine) =>
        new() { Id = machine.Key, Power = machine.Value };
}
