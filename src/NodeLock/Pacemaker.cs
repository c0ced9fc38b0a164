namespace NodeLock;

/// <summary>
/// Runs one step again and again: when the step last asked for it, or at once when woken. Never two at a time.
/// </summary>
/// <param name="step">Answers how long to wait until it is run again; does not throw.</param>
/// <param name="last">Run once, after the last step.</param>
internal abstract class Pacemaker(Func<TimeSpan> step, Action last)
{
    // Steps do not throw; should one do so all the same, a conductor that tries again is better than a dead process.
    private static readonly TimeSpan AfterFault = TimeSpan.FromSeconds(1);

    public static Pacemaker Create(string name, Func<TimeSpan> step, Action last, HeartbeatPace pace,
        TimeProvider timeProvider) => pace switch
        {
            HeartbeatPace.OwnThread => new ThreadPacemaker(name, step, last),
            HeartbeatPace.Timer => new TimerPacemaker(step, last, timeProvider),
            _ => throw new ArgumentOutOfRangeException(nameof(pace)),
        };

    /// <summary>Runs the first step; false when that was begun before.</summary>
    public abstract bool Start();

    public abstract void Wake();

    /// <summary>Lets the step that is under way end, runs the last one, and is done when that has ended.</summary>
    public abstract Task StopAsync();

    private TimeSpan Step()
    {
        try
        {
            return step();
        }
        catch (Exception)
        {
            return AfterFault;
        }
    }

    private void Last()
    {
        try
        {
            last();
        }
        catch (Exception)
        {
            // It was the last thing to do; the lease ends by itself.
        }
    }

    private sealed class ThreadPacemaker(string name, Func<TimeSpan> step, Action last) : Pacemaker(step, last)
    {
        private readonly object sync = new(); // a monitor, to be waited on
        private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private bool woken;
        private bool stopping;
        private int started;

        public override bool Start()
        {
            if (Interlocked.Exchange(ref started, 1) != 0) return false;
            try
            {
                // UnsafeStart: what flows with the first caller (a transaction, an activity) is none of this thread's.
                new Thread(Run) { Name = name, IsBackground = true, Priority = ThreadPriority.AboveNormal }
                    .UnsafeStart();
                return true;
            }
            catch (OutOfMemoryException)
            {
                Volatile.Write(ref started, 0); // for the next who asks
                throw;
            }
        }

        public override void Wake()
        {
            lock (sync)
            {
                woken = true;
                Monitor.Pulse(sync);
            }
        }

        public override Task StopAsync()
        {
            Volatile.Write(ref stopping, true);
            if (Interlocked.Exchange(ref started, 1) == 0) ended.TrySetResult(); // it never ran, so it has ended
            Wake();
            return ended.Task;
        }

        private void Run()
        {
            while (!Volatile.Read(ref stopping)) WaitUntil(Step());
            Last();
            ended.SetResult();
        }

        private void WaitUntil(TimeSpan due)
        {
            lock (sync)
            {
                if (!woken && !stopping) Monitor.Wait(sync, due);
                woken = false;
            }
        }
    }

    private sealed class TimerPacemaker : Pacemaker
    {
        private readonly Lock running = new();
        private readonly ITimer timer;
        private int started;
        private bool stopped;

        public TimerPacemaker(Func<TimeSpan> step, Action last, TimeProvider timeProvider) : base(step, last)
        {
            // What flows with the first caller is none of the timer's.
            using AsyncFlowControl? suppressed =
                ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
            timer = timeProvider.CreateTimer(_ => Wake(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        public override bool Start()
        {
            if (Interlocked.Exchange(ref started, 1) != 0) return false;
            Wake();
            return true;
        }

        /// <summary>Runs the step here and now, so that a test under a manual clock sees what it did.</summary>
        public override void Wake()
        {
            lock (running)
            {
                if (!stopped) timer.Change(Step(), Timeout.InfiniteTimeSpan);
            }
        }

        public override Task StopAsync()
        {
            lock (running)
            {
                if (!stopped)
                {
                    stopped = true;
                    timer.Dispose();
                    Last();
                }
            }

            return Task.CompletedTask;
        }
    }
}
