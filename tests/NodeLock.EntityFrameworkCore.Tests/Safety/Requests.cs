using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>Tells the statements of a conductor apart as they pass the proxy.</summary>
internal static class Requests
{
    public static bool IsReserve(this ProxiedRequest request) => request.Contains("decided as materialized");

    public static bool IsReserveOf(this ProxiedRequest request, NodeId node) =>
        request.IsReserve() && request.Contains(node.ToString());

    public static bool IsRelease(this ProxiedRequest request) =>
        request.Contains("n.reservation_token = $3 and settings.row_wait");

    public static bool IsReleaseOf(this ProxiedRequest request, NodeId node) =>
        request.IsRelease() && request.Contains(node.ToString());

    /// <summary>The next in line gets what the one before it had.</summary>
    public static bool IsHandOver(this ProxiedRequest request) => request.Contains("$6 > n.reservation_token");

    /// <summary>A reserve of several nodes.</summary>
    public static bool IsReserveOfMany(this ProxiedRequest request) => request.Contains("verdict as materialized");

    /// <summary>An upgrade, or a reserve of a node that others share.</summary>
    public static bool IsUpgradeOf(this ProxiedRequest request, NodeId node) =>
        request.Contains("as outbid") && request.Contains(node.ToString());

    /// <summary>A share or a downgrade.</summary>
    public static bool IsShareOf(this ProxiedRequest request, NodeId node) =>
        request.Contains("drawn as materialized") && request.Contains(node.ToString());

    public static bool IsJoinOf(this ProxiedRequest request, NodeId node) =>
        request.Contains("as waits") && request.Contains(node.ToString());

    public static bool IsSharedReleaseOf(this ProxiedRequest request, NodeId node) =>
        request.Contains("= any (n.reservation_shared) and settings.row_wait") && request.Contains(node.ToString());

    public static bool IsRenewal(this ProxiedRequest request) => request.Contains("returning c.heartbeat_at");

    /// <summary>The heartbeat's release of what nobody uses.</summary>
    public static bool IsGivingBack(this ProxiedRequest request) => request.Contains("unnest($1, $2, $3)")
        && request.Contains("returning l.id, l.token, l.shared");
}
