using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L6: waiting takes no connection.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class ManyWaitersTests(PostgresFixture postgres, ITestOutputHelper output)
{
    private const int Tasks = 500;
    private const int Nodes = 20;
    private const int PoolSize = 4;

    [Fact]
    public async Task Five_hundred_waiters_are_all_served_through_four_connections()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "waiters");
        string database = new NpgsqlConnectionStringBuilder(yard.ConnectionString).Database!;
        using CancellationTokenSource served = new();
        Task<List<long>> sampling = SampleAsync(database, served.Token);
        int done = 0;
        await using (LocalConductor conductor = await LocalConductor.StartAsync(new ConductorSettings
        {
            ConnectionString = $"{yard.ConnectionString};Maximum Pool Size={PoolSize}",
            Lease = TimeSpan.FromSeconds(15),
            Heartbeat = TimeSpan.FromSeconds(5),
        }))
        {
            try
            {
                await Task.WhenAll(Enumerable.Range(0, Tasks).Select(async i =>
                {
                    await using TaskScope scope = await conductor.Manager.AcquireAsync(new NodeId($"n{i % Nodes}"),
                        new AcquireOptions { Purpose = $"task {i}", Retry = LockRetry.Patient });
                    await Task.Delay(TimeSpan.FromMilliseconds(20));
                    scope.EnsureHeld();
                    Interlocked.Increment(ref done);
                })).WaitAsync(Patience.Limit);
            }
            finally
            {
                await served.CancelAsync();
            }
        }

        List<long> samples = await sampling;
        output.WriteLine($"{samples.Count} samples, {samples.Max()} backends at most");
        Assert.Equal(Tasks, done);
        Assert.InRange(samples.Count, 10, int.MaxValue);
        Assert.InRange(samples.Max(), PoolSize, PoolSize + 2); // one for the heartbeat, one that listens
        Assert.Empty(await yard.ViolationsAsync());
    }

    /// <summary>Looks at the sessions of a database from another one, as often as it can.</summary>
    private async Task<List<long>> SampleAsync(string database, CancellationToken end)
    {
        await using NpgsqlConnection connection = new(postgres.Server.ConnectionString);
        await connection.OpenAsync(CancellationToken.None);
        await using NpgsqlCommand count = new(
            "select count(*) from pg_stat_activity where datname = $1 and backend_type = 'client backend'", connection)
        {
            Parameters = { new() { Value = database } },
        };
        List<long> samples = [];
        while (!end.IsCancellationRequested)
        {
            samples.Add((long)(await count.ExecuteScalarAsync(CancellationToken.None))!);
            await Task.Delay(TimeSpan.FromMilliseconds(5), CancellationToken.None);
        }

        return samples;
    }
}
