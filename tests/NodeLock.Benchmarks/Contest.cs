using System.Globalization;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>NodeLock, plain updates by Npgsql, and pgbench, on one database.</summary>
internal sealed class Contest : IAsyncDisposable
{
    public const int RawConnections = 16; // with more, pgbench gains little or loses

    private const string Purpose = "power on";
    private const int NodeLockConnections = 8;
    private const int OfTheConductor = 2; // heartbeat and listener; the pool has what is left

    private static readonly AcquireOptions Patient = new() { Purpose = Purpose, Retry = LockRetry.Patient };

    private readonly BenchmarkRun run;
    private readonly BenchmarkDatabase database;
    private readonly Pgbench pgbench;
    private readonly NpgsqlDataSource connections;
    private readonly SessionCount sessions;
    private readonly PlainNodes plain;
    private readonly TaskManager manager;

    private Contest(BenchmarkRun run, Pgbench pgbench, BenchmarkDatabase database)
    {
        (this.run, this.pgbench, this.database) = (run, pgbench, database);
        connections = database.DataSource("raw", RawConnections);
        sessions = new SessionCount(run, database);
        plain = new PlainNodes(connections, "plain");
        manager = database.TaskManager(options => options.MaxWaiters = int.MaxValue,
            pool => pool.MaxPoolSize = NodeLockConnections - OfTheConductor);
    }

    public int Connections => sessions.Most;

    private NodeId AnyNode => database.Nodes[Random.Shared.Next(database.Nodes.Count)];

    public static async Task<Contest> StartAsync(BenchmarkRun run, Pgbench pgbench, int nodes)
    {
        Figures.Progress($"  makes {nodes} nodes");
        Contest contest = new(run, pgbench, await run.DatabaseAsync(nodes));
        await PlainNodes.CreateTableAsync(contest.database);
        contest.sessions.Watch();
        return contest;
    }

    /// <summary>Until the code that all cells run is compiled as it will stay.</summary>
    public async Task WarmUpAsync()
    {
        Load load = new(Tasks: 64, WarmUp: TimeSpan.Zero, Time: run.Lasting(5, quick: 0.5));
        await load.RunAsync(CycleAsync, run.Stop);
        await load.RunAsync(RawCycleAsync, run.Stop);
    }

    public async Task<Cell> RunAsync(int tasks)
    {
        Load load = new(tasks, WarmUp: TimeSpan.FromSeconds(1), Time: run.Lasting(3, quick: 1));
        await TidyAsync();
        double nodeLock = await load.RunAsync(CycleAsync, run.Stop);
        await TidyAsync();
        double raw = await load.RunAsync(RawCycleAsync, run.Stop);
        (double best, int clients) = await BestOfPgbenchAsync(load);

        int nodes = database.Nodes.Count;
        Figures.Progress($"  {tasks} tasks, {nodes} nodes: {nodeLock:F0}/s, raw {raw:F0}/s, pgbench {best:F0}/s");
        string name = string.Create(CultureInfo.InvariantCulture, $"{tasks}_tasks.{nodes}_nodes");
        run.Add($"{name}.rate", nodeLock, "1/s");
        run.Add($"{name}.raw.rate", raw, "1/s");
        run.Add($"{name}.pgbench.rate", best, "1/s");
        run.Add($"{name}.pgbench.clients", clients, "clients");
        run.Add($"{name}.ratio_to_raw", nodeLock / raw, "x");
        run.Add($"{name}.ratio_to_pgbench", nodeLock / best, "x");
        return new Cell(nodeLock, raw, best);
    }

    public async ValueTask DisposeAsync()
    {
        await sessions.DisposeAsync();
        await connections.DisposeAsync();
        await database.DisposeAsync();
    }

    private async Task<bool> CycleAsync(CancellationToken stop)
    {
        await using TaskScope scope = await manager.AcquireAsync(AnyNode, Patient, stop);
        return true;
    }

    private Task<bool> RawCycleAsync(CancellationToken stop) => plain.TryCycleAsync(AnyNode, Purpose, stop);

    private async Task<(double Rate, int Clients)> BestOfPgbenchAsync(Load load)
    {
        (double Rate, int Clients) best = default;
        foreach (int clients in (int[])[1, 4, 16, 64])
        {
            await TidyAsync();
            run.Stop.ThrowIfCancellationRequested();
            await pgbench.RunAsync(database, clients, load.WarmUp);
            double rate = await pgbench.RunAsync(database, clients, load.Time);
            if (rate > best.Rate) best = (rate, clients);
        }

        return best;
    }

    /// <summary>So that none pays for what another has left.</summary>
    private async Task TidyAsync()
    {
        foreach (string table in (string[])[BenchmarkContext.Table, PlainNodes.Table])
            await database.ExecuteAsync($"vacuum (analyze) {table}");
        await database.ExecuteAsync("checkpoint");
    }
}

/// <summary>Cycles a second.</summary>
internal sealed record Cell(double NodeLock, double Raw, double Pgbench);
