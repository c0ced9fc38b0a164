using System.Globalization;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// How many sessions the server has for a database: asked from another database, so that asking is not counted
/// among its transactions. NodeLock's are all but those that the benchmark itself has.
/// </summary>
internal sealed class SessionCount : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    private readonly CancellationTokenSource ends = new();
    private readonly NpgsqlDataSource elsewhere;
    private readonly string count;
    private Task watching = Task.CompletedTask;

    public SessionCount(BenchmarkRun run, BenchmarkDatabase database)
    {
        elsewhere = NpgsqlDataSource.Create(run.Server.ConnectionString);
        count = "select count(*) from pg_stat_activity where backend_type = 'client backend' "
            + $"and datname = '{database.Name}' and application_name not in ('raw', 'pgbench', 'administration')";
    }

    /// <summary>The most that were seen since the watch began.</summary>
    public int Most { get; private set; }

    public void Watch() => watching = WatchAsync();

    public async Task<int> NowAsync() => (int)await ScalarAsync<long>(count);

    /// <summary>How many transactions of the database the server has been told of. A session tells when it becomes
    /// idle, once a second at most; what is left it tells after ten seconds, or when it ends.</summary>
    public Task<long> TransactionsAsync(BenchmarkDatabase database) => ScalarAsync<long>(string.Create(
        CultureInfo.InvariantCulture,
        $"select xact_commit + xact_rollback from pg_stat_database where datname = '{database.Name}'"));

    public async ValueTask DisposeAsync()
    {
        await ends.CancelAsync();
        await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await elsewhere.DisposeAsync();
        ends.Dispose();
    }

    private async Task WatchAsync()
    {
        while (true)
        {
            Most = Math.Max(Most, await NowAsync());
            await Task.Delay(Interval, ends.Token);
        }
    }

    private async Task<T> ScalarAsync<T>(string sql)
    {
        await using NpgsqlCommand command = elsewhere.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }
}
