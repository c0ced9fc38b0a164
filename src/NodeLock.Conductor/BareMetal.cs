using System.Collections.Concurrent;

namespace NodeLock.ConductorService;

/// <summary>
/// Simulated machines. Like the real ones they do not bear two operations at the same time; they complain, where real
/// ones end up in a state that nobody asked for.
/// </summary>
internal sealed class BareMetal(TimeProvider timeProvider)
{
    /// <summary>An image that no machine can be given, for those who want to see a deployment fail.</summary>
    public const string BrokenImage = "broken";

    private readonly ConcurrentDictionary<NodeId, Power> machines = [];
    private readonly ConcurrentDictionary<NodeId, bool> busy = [];

    /// <summary>Switches a machine, which takes its time.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="target">What it is to be.</param>
    /// <param name="takes">How long that takes.</param>
    /// <param name="cancellationToken">Ends it half-way.</param>
    /// <exception cref="InvalidOperationException">Another operation is under way on it.</exception>
    public Task SwitchAsync(NodeId id, Power target, TimeSpan takes, CancellationToken cancellationToken) =>
        OperateAsync(id, takes, () => machines[id] = target, cancellationToken);

    /// <summary>Writes a part of an image to a machine, which takes its time.</summary>
    /// <exception cref="InvalidDataException">It is <see cref="BrokenImage"/>.</exception>
    /// <inheritdoc cref="SwitchAsync"/>
    public Task WriteAsync(NodeId id, string image, TimeSpan takes, CancellationToken cancellationToken) =>
        OperateAsync(id, takes, () =>
        {
            if (image == BrokenImage) throw new InvalidDataException($"The image {image} cannot be read.");
        }, cancellationToken);

    /// <summary>Whether a machine is as its record says.</summary>
    public bool Is(NodeId id, Power power) => machines.GetValueOrDefault(id) == power;

    private async Task OperateAsync(NodeId id, TimeSpan takes, Action end, CancellationToken cancellationToken)
    {
        if (!busy.TryAdd(id, true))
            throw new InvalidOperationException($"Two operations on machine {id} at the same time.");
        try
        {
            await Task.Delay(takes, timeProvider, cancellationToken);
            end();
        }
        finally
        {
            busy.TryRemove(id, out _);
        }
    }
}
