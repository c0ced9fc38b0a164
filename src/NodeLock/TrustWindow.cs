namespace NodeLock;

/// <summary>
/// How long a conductor may believe in its own lease: from the moment a renewal was sent until a margin before the
/// store could end the lease. See "The trust window" on the protocol page.
/// </summary>
/// <param name="ClosesAt">On the <see cref="MonotonicClock"/> of this process.</param>
internal readonly record struct TrustWindow(TimeSpan ClosesAt)
{
    public static TrustWindow Closed => new(TimeSpan.MinValue);

    /// <summary>
    /// The store starts the lease when it executes the renewal, which is after it was sent; counted from the sending,
    /// the window closes first however long the request or its answer was on the way.
    /// </summary>
    public static TrustWindow OpenedBy(TimeSpan sentAt, TimeSpan lease) => new(sentAt + lease - MarginOf(lease));

    /// <summary>A tenth of the lease, raised to one second for the sake of slow schedulers and drifting clocks, but
    /// never above a third, which would leave short leases no window.</summary>
    public static TimeSpan MarginOf(TimeSpan lease)
    {
        TimeSpan tenth = lease / 10;
        TimeSpan raised = tenth > TimeSpan.FromSeconds(1) ? tenth : TimeSpan.FromSeconds(1);
        TimeSpan third = lease / 3;
        return raised < third ? raised : third;
    }

    public bool IsOpenAt(TimeSpan now) => now < ClosesAt;
}
