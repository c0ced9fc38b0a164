namespace NodeLock.ConductorService;

/// <summary>The records of the machines.</summary>
internal interface IFleet
{
    /// <summary>Where they are, for the log.</summary>
    string Location { get; }

    /// <summary>All of them, by id.</summary>
    Task<IReadOnlyList<Node>> ListAsync(CancellationToken cancellationToken);

    /// <exception cref="NodeNotFoundException">There is no such machine.</exception>
    Task<Node> GetAsync(NodeId id, CancellationToken cancellationToken);

    /// <summary>Notes what a power change came to. Only for one who holds the node.</summary>
    /// <exception cref="NodeNotFoundException">There is no such machine.</exception>
    Task SetPowerAsync(NodeId id, Power power, CancellationToken cancellationToken);
}
