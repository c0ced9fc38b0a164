using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// What it costs the server that 500 tasks of one process wait for a node which another process holds.
/// </summary>
internal static class Waiting
{
    private const int Tasks = 500;
    private const string Purpose = "power on";

    // Until a session has told the server's statistics what it has done, and a second more.
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(11);

    // Until a session that is closed has ended.
    private static readonly TimeSpan Ending = TimeSpan.FromMilliseconds(300);

    private static readonly NodeId Held = 1;
    private static readonly NodeId Other = 2;

    public static async Task RunAsync(BenchmarkRun run)
    {
        await using BenchmarkDatabase database = await run.DatabaseAsync(2);
        await using SessionCount sessions = new(run, database);
        TaskManager holder = database.TaskManager(FewHeartbeats, WithoutReset);
        TaskManager waiter = database.TaskManager(FewHeartbeats, WithoutReset);
        await using TaskScope scope = await holder.AcquireAsync(Held, Purpose, run.Stop);
        Cost idle = await CellAsync(tasks: 0, LockRetry.Patient, "nobody waits");
        Cost patient = await CellAsync(Tasks, LockRetry.Patient, "patiently");
        Cost limited = await CellAsync(Tasks, retry: null, "with the default retry, again and again");
        Add("patient", patient);
        Add("limited", limited);
        run.Add("limited.refusals", limited.Refusals, "refusals");
        run.Add("idle.statements_per_second", idle.StatementsPerSecond, "1/s");
        run.Add("idle.connections", idle.Connections, "connections");

        Task<Cost> CellAsync(int tasks, LockRetry? retry, string how)
        {
            Figures.Progress($"  {tasks} tasks, {how}");
            return CostOfAsync(run, database, sessions, waiter, tasks, retry);
        }

        void Add(string name, Cost cost)
        {
            run.Add($"{name}.statements_per_second", cost.StatementsPerSecond - idle.StatementsPerSecond, "1/s");
            run.Add($"{name}.connections", cost.Connections - idle.Connections, "connections");
        }
    }

    // Both beat once, at the start, and not while transactions are counted.
    private static void FewHeartbeats(NodeLockOptions options)
    {
        options.HeartbeatInterval = TimeSpan.FromMinutes(10);
        options.LeaseDuration = TimeSpan.FromMinutes(30);
    }

    // The driver resets a session together with the first statement of who has it next: a transaction too, but not
    // ours.
    private static void WithoutReset(NpgsqlConnectionStringBuilder pool) => pool.NoResetOnClose = true;

    private static async Task<Cost> CostOfAsync(BenchmarkRun run, BenchmarkDatabase database, SessionCount sessions,
        TaskManager waiter, int tasks, LockRetry? retry)
    {
        TimeSpan time = run.Lasting(10, quick: 4);
        await waiter.CycleAsync(Other, Purpose, run.Stop); // has a connection, whose beginning is a transaction too
        await Task.Delay(Settling, run.Stop);

        long before = await sessions.TransactionsAsync(database);
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(run.Stop);
        AcquireOptions options = new() { Purpose = Purpose, Retry = retry };
        Task<int>[] waits = [.. Enumerable.Range(0, tasks).Select(_ => WaitAsync(waiter, options, enough.Token))];
        await Task.Delay(time, run.Stop);
        database.ClearPools(); // a session that ends tells what it has done
        await Task.Delay(Ending, run.Stop);
        long transactions = await sessions.TransactionsAsync(database) - before;
        double connections = await HeldConnectionsAsync(database, sessions, run.Stop);
        await enough.CancelAsync();
        int refusals = (await Task.WhenAll(waits)).Sum();
        return new Cost(transactions / time.TotalSeconds, connections, refusals);
    }

    /// <summary>What is left when the pool is cleared, at most moments: not that of a request under way just
    /// then.</summary>
    private static async Task<double> HeldConnectionsAsync(
        BenchmarkDatabase database, SessionCount sessions, CancellationToken stop)
    {
        List<double> seen = [];
        for (int i = 0; i < 5; i++)
        {
            database.ClearPools();
            await Task.Delay(Ending, stop);
            seen.Add(await sessions.NowAsync());
        }

        return seen.Median();
    }

    /// <summary>Waits, and when it is told to give up, again, until it is enough.</summary>
    /// <returns>How often it was told.</returns>
    private static async Task<int> WaitAsync(TaskManager manager, AcquireOptions options, CancellationToken enough)
    {
        for (int refusals = 0; ; refusals++)
        {
            try
            {
                await using TaskScope scope = await manager.AcquireAsync(Held, options, enough);
                throw new InvalidOperationException("The node was not held.");
            }
            catch (NodeLockedException)
            {
                // Asks again.
            }
            catch (OperationCanceledException)
            {
                return refusals;
            }
        }
    }

    private sealed record Cost(double StatementsPerSecond, double Connections, int Refusals);
}
