using System.Text.Json;

namespace NodeLock.Tests.Safety;

/// <summary>What the nodes of a conductor are.</summary>
public enum NodeKind
{
    Names,
    Machines,
    Racks,
}

/// <summary>A fault that is built into a conductor's repository, to see that the checkers catch it.</summary>
public enum RepositoryFault
{
    None,

    /// <summary>Looks whether the node is free, and then takes it whatever has happened since.</summary>
    CheckThenAct,

    /// <summary>Counts tokens in the node's row, and starts again when it is released.</summary>
    TokenResetOnRelease,

    /// <summary>Releases a shared entry by its holder, and not by its stamp.</summary>
    ReleaseOfEntryByHolder,

    /// <summary>Takes what carries its name for granted, without naming it and asking again.</summary>
    BlindAnswer,
}

/// <summary>What a conductor of the tests is started with, in this process or in another.</summary>
internal sealed record ConductorSettings
{
    public required string ConnectionString { get; init; }

    /// <summary>Leads to the server past any proxy, for what the test itself writes.</summary>
    public string? DirectConnectionString { get; init; }

    public string Name { get; init; } = "conductor";

    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(3);

    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan ReleaseTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Whether it hears of releases.</summary>
    public bool Listens { get; init; } = true;

    /// <summary>Where it hears of them; null for where it finds the rest.</summary>
    public string? ListenConnectionString { get; init; }

    /// <summary>Whether its requests go together.</summary>
    public bool Groups { get; init; } = true;

    public NodeKind Kind { get; init; }

    /// <summary>Whether it has a <see cref="YardFence"/>.</summary>
    public bool HasFence { get; init; }

    public RepositoryFault Fault { get; init; }

    public static ConductorSettings Parse(string text) => JsonSerializer.Deserialize<ConductorSettings>(text)!;

    public override string ToString() => JsonSerializer.Serialize(this);
}
