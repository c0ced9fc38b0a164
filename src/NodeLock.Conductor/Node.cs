using System.Globalization;

namespace NodeLock.ConductorService;

/// <summary>A simulated machine.</summary>
public sealed class Node
{
    /// <summary>The longest id.</summary>
    public const int MaxIdLength = 64;

    /// <summary>The machines that a new fleet consists of: bm-01 to bm-20, all switched off.</summary>
    public static IReadOnlyList<Node> Simulated { get; } =
    [
        .. Enumerable.Range(1, 20).Select(
            n => new Node { Id = string.Create(CultureInfo.InvariantCulture, $"bm-{n:00}"), Power = Power.Off }),
    ];

    /// <summary>Its name, such as bm-01.</summary>
    public required string Id { get; set; }

    /// <summary>Whether it runs, as of the last operation that ended well.</summary>
    public Power Power { get; set; }

    /// <summary>The fencing token under which that was written; 0 while nobody has.</summary>
    public long FencingToken { get; set; }
}

/// <summary>Whether a machine runs.</summary>
public enum Power
{
    /// <summary>It does not.</summary>
    Off,

    /// <summary>It does.</summary>
    On,
}
