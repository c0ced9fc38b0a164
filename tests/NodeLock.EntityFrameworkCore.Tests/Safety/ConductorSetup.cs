using Npgsql.EntityFrameworkCore.PostgreSQL.Infrastructure;

namespace NodeLock.Tests.Safety;

/// <summary>How a <see cref="TestConductor"/> differs from one that nothing hurries.</summary>
internal sealed record ConductorSetup
{
    /// <summary>
    /// Leases that end within a test. The trust window closes a second before the lease, and two and a half heartbeats
    /// may fail to run on a busy machine before anything is lost by that.
    /// </summary>
    public static Action<NodeLockOptions> Hurried { get; } = o =>
    {
        o.LeaseDuration = TimeSpan.FromSeconds(4.5);
        o.HeartbeatInterval = TimeSpan.FromSeconds(1);
    };

    public string Name { get; init; } = "a";

    /// <summary>Where it finds the database; null for directly.</summary>
    public string? ConnectionString { get; init; }

    public Action<NodeLockOptions> Options { get; init; } = _ => { };

    public Action<NpgsqlDbContextOptionsBuilder> Npgsql { get; init; } = _ => { };

    /// <summary>Whether its nodes are machines, which have to exist.</summary>
    public bool NodesAreMachines { get; init; }

    /// <summary>Puts something between the task manager and its repository: how the controls are broken.</summary>
    public Func<INodeLockRepository, INodeLockRepository> Decorate { get; init; } = repository => repository;

    /// <summary>Its fence; null for none.</summary>
    public Func<NodeToFence, CancellationToken, Task>? Fence { get; init; }

    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}
