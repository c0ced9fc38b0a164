namespace NodeLock.ConductorService;

/// <summary>A machine as a client sees it.</summary>
internal sealed record NodeView(string Id, Power Power, ReservationView? Reservation);

internal static class NodeEndpoints
{
    public static void MapNodes(this IEndpointRouteBuilder app)
    {
        RouteGroupBuilder nodes = app.MapGroup("/nodes");
        nodes.MapGet("/", ListAsync);
        nodes.MapGet("/{id}", GetAsync);
        nodes.MapPut("/{id}/power", SetPowerAsync);
    }

    private static async Task<IEnumerable<NodeView>> ListAsync(IFleet fleet, TaskManager taskManager,
        CancellationToken cancellationToken)
    {
        IReadOnlyList<Node> nodes = await fleet.ListAsync(cancellationToken);
        IReadOnlyList<Reservation> reservations = await taskManager.ListReservationsAsync(cancellationToken);
        Dictionary<string, Reservation> byNode = reservations.ToDictionary(r => r.NodeId.ToString());
        return nodes.Select(node =>
            new NodeView(node.Id, node.Power, ReservationView.Of(byNode.GetValueOrDefault(node.Id))));
    }

    private static async Task<NodeView> GetAsync(NodeId id, IFleet fleet, TaskManager taskManager,
        CancellationToken cancellationToken)
    {
        Node node = await fleet.GetAsync(id, cancellationToken);
        return new NodeView(node.Id, node.Power,
            ReservationView.Of(await taskManager.GetReservationAsync(id, cancellationToken)));
    }

    private static async Task<NodeView> SetPowerAsync(NodeId id, PowerChange change, IFleet fleet, BareMetal machines,
        TaskManager taskManager, CancellationToken cancellationToken)
    {
        // A client that hangs up ends the wait for the node. A switch that has begun is carried through all the same,
        // unless the node is lost: then it ends before anybody else can begin one.
        await using (TaskScope task = await taskManager.AcquireAsync(id, change.Purpose, cancellationToken))
        {
            try
            {
                await machines.SwitchAsync(id, change.Target, change.Takes, task.Lost);
                await fleet.SetPowerAsync(task, change.Target, task.Lost);
            }
            catch (OperationCanceledException) when (task.Lost.IsCancellationRequested)
            {
                task.EnsureHeld(); // throws, and says what was lost
                throw;
            }
        }

        return new NodeView(id.ToString(), change.Target, Reservation: null); // as this request left it
    }
}
