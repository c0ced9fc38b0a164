namespace NodeLock.ConductorService;

/// <summary>
/// Switches the machine of a dead conductor off, so that whatever it had begun there goes no further. A real one asks
/// the machine's management controller.
/// </summary>
internal sealed class SimulatedFence(IFleet fleet, BareMetal machines) : INodeFence
{
    private static readonly TimeSpan SwitchTakes = TimeSpan.FromMilliseconds(100);

    public async Task FenceAsync(NodeToFence node, CancellationToken cancellationToken)
    {
        await machines.SwitchAsync(node.NodeId, Power.Off, SwitchTakes, cancellationToken);
        await fleet.RecordFencedAsync(node, cancellationToken);
    }
}
