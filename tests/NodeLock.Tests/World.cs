namespace NodeLock.Tests;

/// <summary>One store, one clock that the test moves, and as many conductors as it asks for.</summary>
internal sealed class World : IAsyncDisposable
{
    private readonly List<TaskManager> managers = [];

    public World(IEnumerable<NodeId>? nodes = null)
    {
        Memory = new InMemoryNodeLockRepository(StoreTime) { Nodes = nodes?.ToHashSet() };
        Way = new StoreWithFaults(Memory);
        Manager = NewManager(Way);
    }

    public static TimeSpan Second { get; } = TimeSpan.FromSeconds(1);

    /// <summary>The smallest step of the clock.</summary>
    public static TimeSpan Tick { get; } = TimeSpan.FromTicks(1);

    /// <summary>The clock of the conductors.</summary>
    public ManualTime Time { get; } = new();

    /// <summary>The clock of the store; <see cref="Pass"/> moves it along.</summary>
    public ManualTime StoreTime { get; } = new();

    public LogLines Log { get; } = new();

    public InMemoryNodeLockRepository Memory { get; }

    public INodeLockRepository Store => Memory;

    /// <summary>The way from <see cref="Manager"/> to the store.</summary>
    public StoreWithFaults Way { get; }

    public TaskManager Manager { get; }

    /// <summary>Another conductor, with a way of its own where none is given.</summary>
    public TaskManager NewManager(INodeLockRepository? way = null, NodeLockOptions? options = null,
        INodeFence? fence = null)
    {
        TaskManager manager = new(way ?? new StoreWithFaults(Memory), options, Time, Log, fence);
        managers.Add(manager);
        return manager;
    }

    /// <summary>Another conductor, which hears already what is told.</summary>
    public async Task<TaskManager> NewListeningManagerAsync()
    {
        TaskManager manager = NewManager();
        int before = Listeners();
        await (await manager.AcquireAsync(9, "start")).DisposeAsync();
        await Eventually.TrueAsync(() => Listeners() > before, "it listens");
        return manager;

        int Listeners()
        {
            lock (Memory.Sync) return Memory.Listeners.Count;
        }
    }

    /// <summary>Node 1, for all to read.</summary>
    public static Task<TaskScope> ReadAsync(TaskManager manager, string purpose = "read", LockRetry? retry = null,
        CancellationToken cancellationToken = default) => manager.AcquireAsync(1,
            new AcquireOptions { Purpose = purpose, Mode = ReservationMode.Shared, Retry = retry },
            cancellationToken).AsTask();

    /// <summary>Node 1, for one to write.</summary>
    public static Task<TaskScope> WriteAsync(TaskManager manager, string purpose = "write", LockRetry? retry = null,
        CancellationToken cancellationToken = default) => manager.AcquireAsync(1,
            new AcquireOptions { Purpose = purpose, Retry = retry }, cancellationToken).AsTask();

    /// <summary>Lets time pass, here and at the store, in steps small enough that neither runs ahead.</summary>
    public void Pass(TimeSpan time)
    {
        TimeSpan step = TimeSpan.FromMilliseconds(100);
        for (; time > step; time -= step) Move(step);
        Move(time);
    }

    /// <summary>Whether no node is reserved by anybody.</summary>
    public bool IsAllFree
    {
        get
        {
            lock (Memory.Sync) return Memory.Rows.Values.All(r => r.ToReservation() is null);
        }
    }

    public async Task<Reservation?> FindAsync(NodeId node) => await Store.FindAsync(node, CancellationToken.None);

    /// <summary>Waits for something that needs time to pass.</summary>
    public Task UntilAsync(Func<bool> condition, string what) => Eventually.TrueAsync(() =>
    {
        if (condition()) return true;
        Pass(TimeSpan.FromMilliseconds(100));
        return condition();
    }, what);

    /// <summary>As when a process ends without a word: its heartbeat fails from now on.</summary>
    public static void Cut(StoreWithFaults way) => way.BeforeStatement = _ => throw new StoreException("cut off");

    public async ValueTask DisposeAsync()
    {
        foreach (TaskManager manager in managers)
        {
            Task end = Task.Run(() => manager.DisposeAsync().AsTask());
            await UntilAsync(() => end.IsCompleted, "the end of a manager");
            await end;
        }
    }

    private void Move(TimeSpan time)
    {
        StoreTime.Advance(time);
        Time.Advance(time);
    }
}
