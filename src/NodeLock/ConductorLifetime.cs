using Microsoft.Extensions.Hosting;

namespace NodeLock;

/// <summary>
/// Ties the conductor to the host. A lifecycle service, since a plain hosted service is stopped before those that were
/// registered earlier are told: here all work is told first, has the host's time, and then the conductor ends.
/// </summary>
internal sealed class ConductorLifetime(TaskManager manager) : IHostedLifecycleService
{
    /// <summary>Does not wait: a database that is away does not keep a service from starting.</summary>
    public Task StartingAsync(CancellationToken cancellationToken)
    {
        manager.Start();
        return Task.CompletedTask;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        manager.BeginStop();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await manager.DrainAsync(cancellationToken).ConfigureAwait(false);
        await manager.DisposeAsync().ConfigureAwait(false);
    }
}
