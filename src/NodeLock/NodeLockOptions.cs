using System.ComponentModel.DataAnnotations;

namespace NodeLock;

/// <summary>The settings of a conductor, usually bound from the configuration section <c>NodeLock</c>.</summary>
/// <remarks>
/// Values that are out of bounds or do not fit together are refused when the service starts. The retry,
/// <see cref="MaxWaiters"/> and the thresholds are read again for every acquire, so that an edit of the configuration
/// takes effect at the next one; a changed configuration that does not validate is logged once as an error and the
/// last good values stay. All other settings hold until the process restarts.
/// </remarks>
public sealed class NodeLockOptions
{
    /// <summary>The name by which a person knows this conductor; the first part of its holder.</summary>
    /// <value>The default is the machine's name. 1 to 100 characters; no white space, no control characters, no
    /// <c>/</c>.</value>
    [Required]
    [RegularExpression(@"[^\s/\p{C}]{1,100}", ErrorMessage =
        "{0} must be 1 to 100 characters, and none of them white space, a control character or '/'.")]
    public string ConductorName { get; set; } = Environment.MachineName;

    /// <summary>How often an acquire asks for a node that is locked, the first time included.</summary>
    /// <value>The default is 3; 1 means no retry. From 1 to 1,000,000.</value>
    [Range(1, 1_000_000)]
    public int NodeLockedRetryAttempts { get; set; } = 3;

    /// <summary>The time from one attempt to the next.</summary>
    /// <value>The default is 1 second. From 1 ms to 1 day.</value>
    [Range(typeof(TimeSpan), "00:00:00.001", "1.00:00:00")]
    public TimeSpan NodeLockedRetryInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long the store believes in a conductor that has stopped renewing it.</summary>
    /// <value>The default is 60 seconds. From 300 ms to 1 day, and at least three times
    /// <see cref="HeartbeatInterval"/>.</value>
    [Range(typeof(TimeSpan), "00:00:00.300", "1.00:00:00")]
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>The time from one renewal to the next, and the limit for the answer to a renewal or a
    /// reserve.</summary>
    /// <value>The default is 10 seconds. From 100 ms to 8 hours.</value>
    [Range(typeof(TimeSpan), "00:00:00.100", "08:00:00")]
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the dispose of a task scope tries to release the node before it leaves the rest to the
    /// conductor.</summary>
    /// <value>The default is 5 seconds. From 10 ms to 1 hour.</value>
    [Range(typeof(TimeSpan), "00:00:00.010", "01:00:00")]
    public TimeSpan ReleaseTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How many acquires may wait at the same time. One more gets a single attempt and no wait, so that
    /// requests do not pile up behind a node that stays locked.</summary>
    /// <value>The default is 1000; 0 means that nobody waits.</value>
    [Range(0, int.MaxValue)]
    public int MaxWaiters { get; set; } = 1000;

    /// <summary>How much spawned work may run at the same time, in this process and for this kind of node.</summary>
    /// <value>The default is 100. From 1 to 1,000,000.</value>
    [Range(1, 1_000_000)]
    public int WorkerPoolSize { get; set; } = 100;

    /// <summary>How many of the <see cref="WorkerPoolSize"/> are kept for work that is spawned as urgent.</summary>
    /// <value>The default is 5. From 0, and less than <see cref="WorkerPoolSize"/>.</value>
    [Range(0, 1_000_000)]
    public int ReservedWorkers { get; set; } = 5;

    /// <summary>A node held for longer than this is warned about, once per task scope; a fence that runs for longer,
    /// each time this has passed (for fences it holds until restart).</summary>
    /// <value>The default is 5 minutes. From 1 ms to 365 days.</value>
    [Range(typeof(TimeSpan), "00:00:00.001", "365.00:00:00")]
    public TimeSpan LongHoldThreshold { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>An acquire that waits for longer than this is warned about, once.</summary>
    /// <value>The default is 10 seconds. From 1 ms to 365 days.</value>
    [Range(typeof(TimeSpan), "00:00:00.001", "365.00:00:00")]
    public TimeSpan LongWaitThreshold { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Whether a waiter is woken when another conductor gives its node back. Otherwise, and wherever it cannot
    /// be told, it finds out at its next attempt.</summary>
    /// <value>The default is true; it takes one connection, which is open as long as the conductor runs.</value>
    public bool ListenForReleases { get; set; } = true;

    /// <summary>The connection string for that connection alone. Of use where the usual one leads through a pooler that
    /// does not pass notifications on, such as PgBouncer in transaction mode.</summary>
    /// <value>The default is null: the usual one.</value>
    public string? ListenConnectionString { get; set; }

    /// <summary>Whether requests that arrive while others are under way go together in one statement.</summary>
    internal bool GroupsStatements { get; set; } = true;

    internal NodeLockOptions Copy() => (NodeLockOptions)MemberwiseClone();

    /// <summary>These settings with what may be edited while they are in use; the others hold until restart.</summary>
    internal NodeLockOptions WithEdits(NodeLockOptions edited)
    {
        NodeLockOptions result = Copy();
        result.NodeLockedRetryAttempts = edited.NodeLockedRetryAttempts;
        result.NodeLockedRetryInterval = edited.NodeLockedRetryInterval;
        result.MaxWaiters = edited.MaxWaiters;
        result.LongHoldThreshold = edited.LongHoldThreshold;
        result.LongWaitThreshold = edited.LongWaitThreshold;
        return result;
    }
}
