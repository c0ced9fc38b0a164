using System.Text.Json;

namespace NodeLock.Benchmarks;

/// <summary>What a conductor in another process is started with.</summary>
internal sealed record ChildSettings(string ConnectionString)
{
    public bool ListenForReleases { get; init; } = true;

    public TimeSpan HeartbeatInterval { get; init; } = new NodeLockOptions().HeartbeatInterval;

    public TimeSpan LeaseDuration { get; init; } = new NodeLockOptions().LeaseDuration;

    public static ChildSettings Parse(string text) => JsonSerializer.Deserialize<ChildSettings>(text)
        ?? throw new FormatException($"No settings: {text}");

    public override string ToString() => JsonSerializer.Serialize(this);

    public void Apply(NodeLockOptions options)
    {
        options.ListenForReleases = ListenForReleases;
        options.HeartbeatInterval = HeartbeatInterval;
        options.LeaseDuration = LeaseDuration;
    }
}
