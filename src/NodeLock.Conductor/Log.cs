namespace NodeLock.ConductorService;

/// <summary>Every message of the service.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "The machines are in {Location}.")]
    public static partial void FleetIs(this ILogger log, string location);

    [LoggerMessage(2, LogLevel.Warning, "The database cannot be brought up to date yet; this is tried again every "
        + "second, and reported when it succeeds: {Reason}")]
    public static partial void NotMigrated(this ILogger log, string reason);

    [LoggerMessage(3, LogLevel.Information, "The database is up to date now.")]
    public static partial void Migrated(this ILogger log);

    [LoggerMessage(4, LogLevel.Information, "Power sync: {Synced} nodes are as their records say, {Skipped} were taken "
        + "and skipped.")]
    public static partial void RoundEnded(this ILogger log, int synced, int skipped);

    [LoggerMessage(5, LogLevel.Debug, "Power sync skipped node {NodeId}, which is taken.")]
    public static partial void Skipped(this ILogger log, NodeId nodeId);

    [LoggerMessage(6, LogLevel.Warning, "A round of the power sync failed; the next one goes over all nodes again.")]
    public static partial void RoundFailed(this ILogger log, Exception exception);

    [LoggerMessage(7, LogLevel.Warning, "A request failed because the database is away or cannot be used: {Reason}")]
    public static partial void StoreFailed(this ILogger log, string reason);

    [LoggerMessage(8, LogLevel.Information, "Power sync switched node {NodeId} {Power}, as its record says.")]
    public static partial void Switched(this ILogger log, NodeId nodeId, Power power);
}
