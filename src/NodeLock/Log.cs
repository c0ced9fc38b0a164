using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>Every message of the core. Ids are never given a new meaning; 1 to 99 belong to this file.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Debug, "Reserved node {NodeId} for \"{Purpose}\", fencing token {FencingToken}.")]
    public static partial void Reserved(this ILogger log, NodeId nodeId, string purpose, long fencingToken);

    [LoggerMessage(2, LogLevel.Debug, "Released node {NodeId}, held for \"{Purpose}\", fencing token "
        + "{FencingToken}.")]
    public static partial void Released(this ILogger log, NodeId nodeId, string purpose, long fencingToken);

    [LoggerMessage(3, LogLevel.Warning, "Took over node {NodeId} for \"{Purpose}\", fencing token "
        + "{FencingToken}, from {DeadHolder}, which is dead or has left.")]
    public static partial void TookOver(this ILogger log, NodeId nodeId, string purpose, long fencingToken,
        string deadHolder);

    [LoggerMessage(4, LogLevel.Warning, "Lost node {NodeId}, held for \"{Purpose}\", fencing token "
        + "{FencingToken}, holder {Holder}, after {Elapsed:0.0} s: {Reason}.")]
    public static partial void Lost(this ILogger log, NodeId nodeId, string purpose, long fencingToken, string holder,
        double elapsed, string reason);

    [LoggerMessage(5, LogLevel.Error, "The task scope of node {NodeId}, for \"{Purpose}\", fencing token "
        + "{FencingToken}, was dropped without dispose. The node stays reserved until this process ends; find "
        + "the acquire with this purpose and dispose what it returns.")]
    public static partial void Dropped(this ILogger log, NodeId nodeId, string purpose, long fencingToken);

    [LoggerMessage(6, LogLevel.Debug, "Could not release node {NodeId}, held for \"{Purpose}\", fencing token "
        + "{FencingToken}; it is tried again.")]
    public static partial void ReleaseFailed(this ILogger log, Exception exception, NodeId nodeId, string purpose,
        long fencingToken);

    [LoggerMessage(7, LogLevel.Warning, "Node {NodeId} has been held for \"{Purpose}\", fencing token "
        + "{FencingToken}, for {Elapsed:0.0} s.")]
    public static partial void LongHold(this ILogger log, NodeId nodeId, string purpose, long fencingToken,
        double elapsed);

    [LoggerMessage(8, LogLevel.Warning, "Still waiting for node {NodeId} for \"{Purpose}\" after {Elapsed:0.0} "
        + "s; in the way when last asked: {Obstacle}.")]
    public static partial void LongWait(this ILogger log, NodeId nodeId, string purpose, double elapsed,
        string obstacle);

    [LoggerMessage(9, LogLevel.Warning, "A reserve of node {NodeId} for \"{Purpose}\", whose caller no longer "
        + "waits, was not answered; if it reserved the node, the heartbeat gives it back.")]
    public static partial void AbandonedReserveFailed(this ILogger log, Exception exception, NodeId nodeId,
        string purpose);

    [LoggerMessage(10, LogLevel.Warning, "Node {NodeId}, held for \"{Purpose}\", fencing token {FencingToken}, "
        + "is not released yet; the heartbeat goes on with it.")]
    public static partial void ReleasePutOff(this ILogger log, NodeId nodeId, string purpose, long fencingToken);

    [LoggerMessage(11, LogLevel.Warning, "As many acquires wait as MaxWaiters allows ({MaxWaiters}); more are "
        + "turned away after one attempt.")]
    public static partial void TooManyWaiters(this ILogger log, int maxWaiters);

    [LoggerMessage(12, LogLevel.Debug, "Upgraded node {NodeId} for \"{Purpose}\", fencing token {FencingToken}.")]
    public static partial void Upgraded(this ILogger log, NodeId nodeId, string purpose, long fencingToken);

    [LoggerMessage(13, LogLevel.Debug, "Downgraded node {NodeId}, held for \"{Purpose}\", fencing token "
        + "{FencingToken}.")]
    public static partial void Downgraded(this ILogger log, NodeId nodeId, string purpose, long fencingToken);

    [LoggerMessage(14, LogLevel.Warning, "The work that was spawned on node {NodeId} for \"{Purpose}\", fencing "
        + "token {FencingToken}, failed.")]
    public static partial void WorkFailed(this ILogger log, Exception exception, NodeId nodeId, string purpose,
        long fencingToken);

    [LoggerMessage(15, LogLevel.Debug, "Could not release {Count} nodes of {Holder} in one step; they are released one "
        + "by one.")]
    public static partial void ReleaseManyFailed(this ILogger log, Exception exception, int count, string holder);

    [LoggerMessage(16, LogLevel.Warning, "Broke the reservation of node {NodeId} with fencing token {BrokenToken}: "
        + "{Reason}")]
    public static partial void Broke(this ILogger log, NodeId nodeId, long brokenToken, string reason);

    [LoggerMessage(17, LogLevel.Warning, "Broke the shared reservation of node {NodeId} by {Holder}: {Reason}")]
    public static partial void BrokeShare(this ILogger log, NodeId nodeId, string holder, string reason);

    [LoggerMessage(18, LogLevel.Warning, "A change of mode of node {NodeId}, held for \"{Purpose}\", fencing token "
        + "{FencingToken}, was not answered; the scope counts as shared.")]
    public static partial void ChangeNotAnswered(this ILogger log, Exception exception, NodeId nodeId, string purpose,
        long fencingToken);

    [LoggerMessage(20, LogLevel.Information, "Conductor {ConductorName} started as {Holder} at {Location}.")]
    public static partial void Started(this ILogger log, string conductorName, string holder, string location);

    [LoggerMessage(21, LogLevel.Information, "Conductor {ConductorName} stopped; it was {Holder}.")]
    public static partial void Stopped(this ILogger log, string conductorName, string holder);

    [LoggerMessage(22, LogLevel.Warning, "This conductor was declared dead as {DeadHolder}; it starts over as "
        + "{Holder}.")]
    public static partial void DeclaredDead(this ILogger log, string deadHolder, string holder);

    [LoggerMessage(23, LogLevel.Warning, "{Holder} could not leave: nodes still carry its name, or it was "
        + "fencing. Its lease ends "
        + "by itself.")]
    public static partial void StillNamed(this ILogger log, string holder);

    [LoggerMessage(24, LogLevel.Warning, "{Holder} could not leave; its lease ends by itself.")]
    public static partial void LeaveFailed(this ILogger log, Exception exception, string holder);

    [LoggerMessage(25, LogLevel.Warning, "Gave back {Count} nodes that carried the name of {Holder} and that "
        + "nobody used.")]
    public static partial void GaveBack(this ILogger log, int count, string holder);

    [LoggerMessage(30, LogLevel.Warning, "{Location} cannot be reached; the lease is not renewed. This is "
        + "tried again, and reported when it succeeds.")]
    public static partial void StoreAway(this ILogger log, Exception exception, string location);

    [LoggerMessage(31, LogLevel.Information, "{Location} is back.")]
    public static partial void StoreBack(this ILogger log, string location);

    [LoggerMessage(32, LogLevel.Error, "{Location} cannot be used: {Reason}")]
    public static partial void StoreUnfit(this ILogger log, Exception exception, string location, string reason);

    [LoggerMessage(33, LogLevel.Debug, "The conductor's connection to {Location} did not close in good order.")]
    public static partial void NotDisconnected(this ILogger log, Exception exception, string location);

    [LoggerMessage(34, LogLevel.Warning, "After a renewal, the look at what is held and at who is dead failed "
        + "at {Location}; the next heartbeat repeats it.")]
    public static partial void LookAfterFailed(this ILogger log, Exception exception, string location);

    [LoggerMessage(35, LogLevel.Warning, "Cannot hear from {Location} when a node becomes free; until that is mended, "
        + "whoever waits finds out at the next attempt.")]
    public static partial void NotListening(this ILogger log, Exception exception, string location);

    [LoggerMessage(36, LogLevel.Information, "Hears from {Location} again when a node becomes free.")]
    public static partial void ListensAgain(this ILogger log, string location);

    [LoggerMessage(40, LogLevel.Warning, "Declared {DeadHolder} dead: its lease is over and it did not renew "
        + "it.")]
    public static partial void DeclaredOtherDead(this ILogger log, string deadHolder);

    [LoggerMessage(41, LogLevel.Information, "Freed {Count} nodes of conductors that are dead or have left.")]
    public static partial void Swept(this ILogger log, int count);

    [LoggerMessage(42, LogLevel.Warning, "{Holder} holds nodes and has no entry; it was entered as dead.")]
    public static partial void Buried(this ILogger log, string holder);

    [LoggerMessage(43, LogLevel.Warning, "The store's clock moved by {StoreSeconds:0.0} s while {Seconds:0.0} "
        + "s passed here; nobody is declared dead until the others have had time to renew.")]
    public static partial void StoreClockJumped(this ILogger log, double storeSeconds, double seconds);

    [LoggerMessage(44, LogLevel.Warning, "Fencing node {NodeId}, held for \"{Purpose}\" by {DeadHolder}, under fencing "
        + "token {FencingToken}.")]
    public static partial void Fencing(this ILogger log, NodeId nodeId, string purpose, long fencingToken,
        string deadHolder);

    [LoggerMessage(45, LogLevel.Warning, "Fenced node {NodeId}, held for \"{Purpose}\" by {DeadHolder}, under fencing "
        + "token {FencingToken}; it is free.")]
    public static partial void Fenced(this ILogger log, NodeId nodeId, string purpose, long fencingToken,
        string deadHolder);

    [LoggerMessage(46, LogLevel.Warning, "The fence of node {NodeId}, held by {DeadHolder}, failed; it is tried again, "
        + "and the node stays locked until it succeeds.")]
    public static partial void FenceFailed(this ILogger log, Exception exception, NodeId nodeId, string deadHolder);

    [LoggerMessage(47, LogLevel.Warning, "The fence of node {NodeId}, held by {DeadHolder}, has been running for "
        + "{Elapsed:0.0} s; the node stays locked until it succeeds.")]
    public static partial void SlowFence(this ILogger log, NodeId nodeId, string deadHolder, double elapsed);

    [LoggerMessage(48, LogLevel.Information, "All nodes of {DeadHolder} are fenced.")]
    public static partial void FencedAll(this ILogger log, string deadHolder);

    [LoggerMessage(49, LogLevel.Warning, "Could not go on fencing the nodes of {DeadHolder}; the next heartbeat does.")]
    public static partial void FenceAllFailed(this ILogger log, Exception exception, string deadHolder);

    [LoggerMessage(50, LogLevel.Error, "The changed configuration is refused, and the last good one stays: "
        + "{Reason}")]
    public static partial void ReloadRefused(this ILogger log, string reason);

    [LoggerMessage(51, LogLevel.Error, "Background work failed: {Work}.")]
    public static partial void BackgroundWorkFailed(this ILogger log, Exception exception, string work);
}
