using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection;

namespace NodeLock;

/// <summary>What <c>AddNodeLock</c> returns: says where the reservations of a kind are kept.</summary>
public sealed class NodeLockBuilder
{
    internal NodeLockBuilder(IServiceCollection services, string? key)
    {
        Services = services;
        Key = key;
    }

    /// <summary>The services that are being registered.</summary>
    public IServiceCollection Services { get; }

    /// <summary>The key of a keyed registration; null for the one without.</summary>
    public string? Key { get; }

    /// <summary>Keeps the reservations in a repository of your own.</summary>
    /// <param name="repository">Makes it, once.</param>
    /// <exception cref="InvalidOperationException">This registration has a repository already.</exception>
    [Experimental(INodeLockRepository.DiagnosticId)]
    public NodeLockBuilder UseRepository(Func<IServiceProvider, INodeLockRepository> repository)
    {
        ArgumentNullException.ThrowIfNull(repository);
        if (Services.Any(s => s.ServiceType == typeof(INodeLockRepository) && Equals(s.ServiceKey, Key)))
            throw new InvalidOperationException($"{Name} has a repository already; call one Use… method only.");
        Services.AddKeyedSingleton(Key, (provider, _) => repository(provider));
        return this;
    }

    /// <summary>
    /// Keeps the reservations in the memory of this process: for tests and demonstrations, and for a service of which
    /// there is never more than one process.
    /// </summary>
    /// <exception cref="InvalidOperationException">This registration has a repository already.</exception>
    public NodeLockBuilder UseInMemory() => UseInMemory(nodes: null);

    /// <summary>Keeps the reservations in the memory of this process, for these nodes only.</summary>
    /// <param name="nodes">The nodes that exist; null for all.</param>
    /// <exception cref="InvalidOperationException">This registration has a repository already.</exception>
    public NodeLockBuilder UseInMemory(IEnumerable<NodeId>? nodes) => UseRepository(provider =>
        new InMemoryNodeLockRepository(provider.GetService<TimeProvider>() ?? TimeProvider.System)
        {
            Nodes = nodes?.ToHashSet(),
        });

    /// <summary>
    /// Fences the nodes of conductors that have died before anybody else may have them. Should this conductor die, its
    /// nodes stay taken until a living one that has a fence too has fenced each of them: register it in all.
    /// </summary>
    /// <typeparam name="T">The fence. It is made anew, in a scope of its own, for each node that is fenced.</typeparam>
    /// <exception cref="InvalidOperationException">This registration has a fence already.</exception>
    public NodeLockBuilder AddFence<T>() where T : class, INodeFence
    {
        if (HasFence) throw new InvalidOperationException($"{Name} has a fence already; a node is fenced by one.");
        HasFence = true;
        Services.AddKeyedScoped<INodeFence, T>(Key);
        return this;
    }

    internal bool HasFence { get; private set; }

    internal string Name => Key is null ? "NodeLock" : $"NodeLock \"{Key}\"";
}
