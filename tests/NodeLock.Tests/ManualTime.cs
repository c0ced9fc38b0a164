namespace NodeLock.Tests;

/// <summary>A clock that stands still until the test moves it, and fires what falls due on the way, in order.</summary>
/// <remarks>
/// Timers fire on the thread that moves the clock, and what they complete goes on there: when <see cref="Advance"/>
/// returns, all that hung on the time alone has happened. No lock is held meanwhile, so that another thread may move
/// the clock on while a callback blocks.
/// </remarks>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock sync = new();
    private readonly List<ManualTimer> timers = [];
    private DateTimeOffset now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow()
    {
        lock (sync) return now;
    }

    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ManualTimer timer = new(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves the clock, stopping at each timer that falls due to fire it.</summary>
    public void Advance(TimeSpan time)
    {
        DateTimeOffset end;
        lock (sync) end = now + time;
        // A context of the test runner would send continuations to the pool, where the test could not wait for them.
        SynchronizationContext? context = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(null);
        try
        {
            while (NextDue(end) is { } timer) timer.Fire();
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(context);
        }

        lock (sync)
        {
            if (now < end) now = end;
        }
    }

    /// <summary>Moves the clock and fires nothing: a machine that slept, or a process that was paused. What fell due
    /// meanwhile fires at the next <see cref="Advance"/>, late.</summary>
    public void Jump(TimeSpan time)
    {
        lock (sync) now += time;
    }

    private ManualTimer? NextDue(DateTimeOffset end)
    {
        lock (sync)
        {
            ManualTimer? next = timers.Where(t => t.Due <= end).MinBy(t => t.Due);
            if (next?.Due > now) now = next.Due.Value;
            next?.Reschedule_NeedsLock();
            return next;
        }
    }

    private sealed class ManualTimer(ManualTime time, TimerCallback callback, object? state) : ITimer
    {
        private TimeSpan period;
        private bool disposed;

        /// <summary>Null while the timer does not run.</summary>
        public DateTimeOffset? Due { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time.sync)
            {
                if (disposed) return false;
                this.period = period;
                time.timers.Remove(this);
                Due = dueTime == Timeout.InfiniteTimeSpan ? null : time.now + dueTime;
                if (Due is not null) time.timers.Add(this);
                return true;
            }
        }

        public void Fire() => callback(state);

        public void Reschedule_NeedsLock()
        {
            Due = period > TimeSpan.Zero ? Due + period : null;
            if (Due is null) time.timers.Remove(this);
        }

        public void Dispose()
        {
            lock (time.sync)
            {
                disposed = true;
                Due = null;
                time.timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
