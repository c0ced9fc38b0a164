using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace NodeLock.ConductorService;

/// <summary>The settings of the power sync, from the section <c>PowerSync</c>.</summary>
internal sealed class PowerSyncOptions
{
    /// <summary>The time from one round to the next, and from the start to the first.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "1.00:00:00")]
    public TimeSpan Interval { get; set; } = TimeSpan.FromMinutes(1);
}

/// <summary>
/// Goes over all machines now and then and switches those that are not as their records say. Whoever works on a node is
/// not disturbed: it is skipped, and looked at in the next round.
/// </summary>
internal sealed class PowerSync(IFleet fleet, BareMetal machines, TaskManager taskManager, TimeProvider timeProvider,
    IOptions<PowerSyncOptions> options, ILogger<PowerSync> log) : BackgroundService
{
    private const int AtATime = 8;
    private static readonly TimeSpan SwitchTakes = TimeSpan.FromMilliseconds(100);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using PeriodicTimer timer = new(options.Value.Interval, timeProvider);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await SyncAllAsync(stoppingToken);
            }
            catch (ConductorStoppingException)
            {
                return;
            }
            // A database that is away, for one: the next round finds what this one has missed.
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                log.RoundFailed(e);
            }
        }
    }

    private async Task SyncAllAsync(CancellationToken stoppingToken)
    {
        int synced = 0, skipped = 0;
        ParallelOptions parallel = new() { MaxDegreeOfParallelism = AtATime, CancellationToken = stoppingToken };
        await Parallel.ForEachAsync(await fleet.ListAsync(stoppingToken), parallel, async (node, cancellationToken) =>
        {
            if (await TrySyncAsync(new NodeId(node.Id), cancellationToken)) Interlocked.Increment(ref synced);
            else Interlocked.Increment(ref skipped);
        });
        log.RoundEnded(synced, skipped);
    }

    /// <summary>False when somebody else works on the node, or it was lost on the way.</summary>
    private async Task<bool> TrySyncAsync(NodeId id, CancellationToken cancellationToken)
    {
        // Most machines are as their records say, and to see that, others may look at the same time.
        await using TaskScope? task = await taskManager.TryAcquireAsync(id, "power sync", ReservationMode.Shared,
            cancellationToken);
        if (task is null)
        {
            log.Skipped(id);
            return false;
        }

        if (machines.Is(id, (await fleet.GetAsync(id, cancellationToken)).Power)) return true;
        try
        {
            await task.UpgradeAsync("power sync: switch", LockRetry.None, cancellationToken);
            // What is to be written is decided on what was read exclusively.
            Node node = await fleet.GetAsync(id, cancellationToken);
            if (!machines.Is(id, node.Power)) await SwitchAsync(task, node.Power, cancellationToken);
            return true;
        }
        catch (NodeLockedException)
        {
            log.Skipped(id);
            return false;
        }
        catch (Exception e) when (e is ReservationLostException
            || (e is OperationCanceledException && task.Lost.IsCancellationRequested))
        {
            return false;
        }
    }

    private async Task SwitchAsync(TaskScope task, Power power, CancellationToken cancellationToken)
    {
        using CancellationTokenSource end =
            CancellationTokenSource.CreateLinkedTokenSource(task.Lost, cancellationToken);
        await machines.SwitchAsync(task.NodeId, power, SwitchTakes, end.Token);
        await fleet.SetPowerAsync(task, power, end.Token);
        log.Switched(task.NodeId, power);
    }
}

internal static class PowerSyncRegistration
{
    public static void AddPowerSync(this WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<PowerSyncOptions>().BindConfiguration("PowerSync").ValidateDataAnnotations()
            .ValidateOnStart();
        builder.Services.AddHostedService<PowerSync>();
    }
}
