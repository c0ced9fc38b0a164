using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;

namespace NodeLock.ConductorService;

/// <summary>
/// Brings the database up to date before anything else starts. While it is away the service starts all the same,
/// answers 503, and this goes on trying.
/// </summary>
internal sealed class SchemaMigration(IDbContextFactory<FleetContext> contexts, TimeProvider timeProvider,
    ILogger<SchemaMigration> log) : BackgroundService, IHostedLifecycleService
{
    private const long TurnKey = 0x6E6F64656C6F636B; // "nodelock"; nothing else in the database uses advisory locks
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private string? reported;
    private bool done;

    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        using CancellationTokenSource limit = new(StartLimit, timeProvider);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token,
            cancellationToken);
        done = await TryAsync(either.Token);
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!done)
        {
            await Task.Delay(Interval, timeProvider, stoppingToken);
            done = await TryAsync(stoppingToken);
        }
    }

    private async Task<bool> TryAsync(CancellationToken cancellationToken)
    {
        try
        {
            await MigrateAsync(cancellationToken);
            if (reported is not null) log.Migrated();
            return true;
        }
        catch (Exception e) when (e is DbException or OperationCanceledException or TimeoutException
            || e.InnerException is DbException)
        {
            string reason = e.GetBaseException().Message;
            if (reason != reported) log.NotMigrated(reason);
            reported = reason;
            return false;
        }
    }

    private async Task MigrateAsync(CancellationToken cancellationToken)
    {
        // Instances that start at the same time take turns. EF Core's own lock ends with the transaction of each
        // migration: between two of them another instance takes up what the first is about to do, and one fails.
        await using FleetContext turn = await contexts.CreateDbContextAsync(cancellationToken);
        IRelationalDatabaseCreator database = turn.GetService<IRelationalDatabaseCreator>();
        if (!await database.ExistsAsync(cancellationToken)) await database.CreateAsync(cancellationToken);
        await using IDbContextTransaction _ = await turn.Database.BeginTransactionAsync(cancellationToken);
        await turn.Database.ExecuteSqlAsync($"select pg_advisory_xact_lock({TurnKey})", cancellationToken);

        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Database.MigrateAsync(cancellationToken);
    }
}
