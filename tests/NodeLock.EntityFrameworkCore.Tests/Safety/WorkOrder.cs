using System.Text.Json;

namespace NodeLock.Tests.Safety;

/// <summary>What a <see cref="MixedWorkload"/> is told to do, in one word.</summary>
internal sealed record WorkOrder
{
    public required string[] Nodes { get; init; }

    public int Workers { get; init; } = 4;

    public TimeSpan Hold { get; init; } = TimeSpan.FromMilliseconds(15);

    /// <inheritdoc cref="Workload"/>
    public bool IsGuarded { get; init; } = true;

    /// <summary>Whether there are guarded writes, too, for which the repository must be the one of EF Core.</summary>
    public bool IsSaving { get; init; } = true;

    /// <summary>Whether its workers stand in line for one node, and ask for all at once.</summary>
    public bool HasLines { get; init; }

    /// <summary>The file for its record; null for what the process writes.</summary>
    public string? Record { get; init; }

    public static WorkOrder Parse(string text) => JsonSerializer.Deserialize<WorkOrder>(text)!;

    public override string ToString() => JsonSerializer.Serialize(this);
}
