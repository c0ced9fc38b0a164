namespace NodeLock.ConductorService;

/// <summary>Deploys images to machines, in the background.</summary>
internal sealed class Deployments(IFleet fleet, BareMetal machines, TaskManager taskManager)
{
    private const int Steps = 5; // the last one starts the machine

    /// <summary>Begins to deploy; it goes on after this has returned, and the node is reserved until it ends.</summary>
    /// <returns>What is recorded of it; null when the machine is on, which keeps it from being deployed.</returns>
    /// <exception cref="NodeLockedException">Somebody else works on the node.</exception>
    /// <exception cref="NoFreeWorkerException">As many deployments run as may.</exception>
    public async Task<Deployment?> TryBeginAsync(NodeId id, DeployRequest request, CancellationToken cancellationToken)
    {
        await using TaskScope task = await taskManager.AcquireAsync(id, request.Purpose, cancellationToken);
        if ((await fleet.GetAsync(id, cancellationToken)).Power == Power.On) return null;

        Deployment begun = new()
        {
            NodeId = id.ToString(),
            Image = request.Image,
            Since = task.ReservedAt,
            FencingToken = task.FencingToken,
        };
        // Recorded by the work, once it has its worker: where there is none, the last deployment's record stays. From
        // here on this scope is spent, and the node is the work's to release.
        TaskCompletionSource recorded = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task work = task.Spawn(async (own, lost) =>
        {
            await fleet.SaveDeploymentAsync(own, begun, lost);
            recorded.SetResult();
            await RunAsync(own, begun, request.Takes / Steps, lost);
        });
        Task first = await Task.WhenAny(recorded.Task, work);
        await first; // throws what kept it from being recorded
        return begun;
    }

    /// <summary>How the latest deployment of a machine stands; null when there never was one.</summary>
    /// <exception cref="NodeNotFoundException">There is no such machine.</exception>
    public async Task<Deployment?> FindAsync(NodeId id, CancellationToken cancellationToken)
    {
        await fleet.GetAsync(id, cancellationToken);
        for (long? gone = null; ;)
        {
            Deployment? deployment = await fleet.FindDeploymentAsync(id, cancellationToken);
            if (deployment is not { State: DeploymentState.Running }) return deployment;
            // The end is recorded before the reservation goes, or with it. So it takes a second look at the record to
            // tell a deployment that will never end from one that has ended between record and reservation.
            if (deployment.FencingToken == gone)
            {
                return deployment with
                {
                    State = DeploymentState.Interrupted,
                    Outcome = "The conductor that was at it is dead or has lost the node.",
                };
            }

            Reservation? reservation = await taskManager.GetReservationAsync(id, cancellationToken);
            if (reservation is { State: ReservationState.Held } && reservation.FencingToken == deployment.FencingToken)
                return deployment;
            gone = deployment.FencingToken;
        }
    }

    private async Task RunAsync(TaskScope task, Deployment deployment, TimeSpan stepTakes, CancellationToken lost)
    {
        try
        {
            for (int step = 1; step < Steps; step++)
            {
                await machines.WriteAsync(task.NodeId, deployment.Image, stepTakes, lost);
                deployment = deployment with { Progress = 100 * step / Steps };
                await fleet.SaveDeploymentAsync(task, deployment, lost);
            }

            await machines.SwitchAsync(task.NodeId, Power.On, stepTakes, lost);
            deployment = deployment with
            {
                State = DeploymentState.Succeeded,
                Progress = 100,
                Outcome = $"The machine runs {deployment.Image}.",
            };
            await fleet.EndDeploymentAsync(task, deployment, Power.On, lost);
        }
        // Who has lost the node has no say any more. NodeLock logs every failure.
        catch (Exception e) when (e is not ReservationLostException && !lost.IsCancellationRequested)
        {
            deployment = deployment with
            {
                State = DeploymentState.Failed,
                Outcome = e is InvalidDataException ? e.Message : "It failed; the conductor's log says why.",
            };
            await fleet.EndDeploymentAsync(task, deployment, Power.Off, lost);
            throw;
        }
    }
}
