namespace NodeLock.ConductorService;

/// <summary>The records of the machines. What writes takes the scope of the node that is written, and writes nothing
/// unless that has its node still.</summary>
internal interface IFleet
{
    /// <summary>Where they are, for the log.</summary>
    string Location { get; }

    /// <summary>All of them, by id.</summary>
    Task<IReadOnlyList<Node>> ListAsync(CancellationToken cancellationToken);

    /// <exception cref="NodeNotFoundException">There is no such machine.</exception>
    Task<Node> GetAsync(NodeId id, CancellationToken cancellationToken);

    /// <summary>Notes what a power change came to.</summary>
    /// <exception cref="NodeNotFoundException">There is no such machine (any more).</exception>
    /// <exception cref="ReservationLostException">The scope has lost its node.</exception>
    Task SetPowerAsync(TaskScope task, Power power, CancellationToken cancellationToken);

    /// <summary>The latest deployment of a machine, as recorded; null when there never was one.</summary>
    Task<Deployment?> FindDeploymentAsync(NodeId id, CancellationToken cancellationToken);

    /// <summary>Notes how far a deployment has come.</summary>
    /// <exception cref="ReservationLostException">The scope has lost its node.</exception>
    Task SaveDeploymentAsync(TaskScope task, Deployment deployment, CancellationToken cancellationToken);

    /// <summary>Notes what a deployment came to and how it left the machine. The scope may be spent
    /// afterwards.</summary>
    /// <exception cref="ReservationLostException">The scope has lost its node.</exception>
    Task EndDeploymentAsync(TaskScope task, Deployment deployment, Power power, CancellationToken cancellationToken);

    /// <summary>Notes that a fence has switched a machine off, unless that was noted under a later token.</summary>
    Task RecordFencedAsync(NodeToFence fenced, CancellationToken cancellationToken);
}
