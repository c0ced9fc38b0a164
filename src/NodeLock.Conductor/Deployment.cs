namespace NodeLock.ConductorService;

/// <summary>The latest deployment of a machine, as far as it has come.</summary>
public sealed record Deployment
{
    /// <summary>The longest name of an image.</summary>
    public const int MaxImageLength = 64;

    /// <summary>The machine.</summary>
    public required string NodeId { get; init; }

    /// <summary>What is written to it.</summary>
    public required string Image { get; init; }

    /// <summary>How it stands.</summary>
    public DeploymentState State { get; init; }

    /// <summary>How much of it is done, in percent.</summary>
    public int Progress { get; init; }

    /// <summary>When the node was reserved for it, by the store's clock.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>The fencing token of the reservation under which it runs: without that, it does not run.</summary>
    public required long FencingToken { get; init; }

    /// <summary>What it came to, in words; null while it runs.</summary>
    public string? Outcome { get; init; }
}

/// <summary>How a deployment stands.</summary>
public enum DeploymentState
{
    /// <summary>It is under way.</summary>
    Running,

    /// <summary>The machine runs the image.</summary>
    Succeeded,

    /// <summary>It came to an end without.</summary>
    Failed,

    /// <summary>Whoever was at it is dead or has lost the node, and will not go on. Never recorded, since there is
    /// nobody left who could: it is what a record that says running means once its reservation is gone.</summary>
    Interrupted,
}
