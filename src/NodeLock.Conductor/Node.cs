namespace NodeLock.ConductorService;

/// <summary>A simulated machine.</summary>
public sealed class Node
{
    /// <summary>The longest id.</summary>
    public const int MaxIdLength = 64;

    /// <summary>Its name, such as bm-01.</summary>
    public required string Id { get; set; }

    /// <summary>Whether it runs, as of the last operation that ended well.</summary>
    public Power Power { get; set; }
}

/// <summary>Whether a machine runs.</summary>
public enum Power
{
    /// <summary>It does not.</summary>
    Off,

    /// <summary>It does.</summary>
    On,
}
