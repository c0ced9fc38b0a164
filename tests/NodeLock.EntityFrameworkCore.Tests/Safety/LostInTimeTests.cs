using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P8: <c>Lost</c> fires before the lease can end as the database sees it, whatever hinders
/// renewals.</summary>
public sealed class LostInTimeTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("lost in time");

    [Theory]
    [InlineData("the network swallows everything")]
    [InlineData("a renewal hangs")]
    [InlineData("a renewal waits in the database")]
    [InlineData("every connection breaks")]
    public async Task Lost_fires_while_the_database_still_believes(string fault)
    {
        TestConductor a =
            await Fleet.StartBehindProxyAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        string holder = a.Holder;
        await using NpgsqlConnection direct = await Fleet.OpenAsync();
        await using NpgsqlCommand left = new(
            "select extract(epoch from expires_at - clock_timestamp())::float8 from nodelock_conductors "
                + "where holder = $1",
            direct)
        { Parameters = { new() { Value = holder } } };
        await left.PrepareAsync();
        TaskCompletionSource<double> leftWhenLost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        task.Lost.Register(() => leftWhenLost.SetResult((double)left.ExecuteScalar()!));

        await using IAsyncDisposable broken = await BreakAsync(fault, holder);
        double seconds = await leftWhenLost.Task.WithinLimit();

        Assert.True(seconds > 0, $"The lease had been over for {-seconds} s when Lost fired.");
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
    }

    private async Task<IAsyncDisposable> BreakAsync(string fault, string holder)
    {
        switch (fault)
        {
            case "the network swallows everything":
                Fleet.Proxy.Swallow = true;
                return new Repair(() => Fleet.Proxy.Swallow = false);
            case "a renewal hangs":
                return new Repair(Fleet.Proxy.HoldRequests(r => r.IsRenewal()).Dispose);
            case "a renewal waits in the database":
                NpgsqlConnection session = await Fleet.OpenAsync();
                await new NpgsqlCommand(
                    $"begin; select from nodelock_conductors where holder = '{holder}' for update", session)
                    .ExecuteNonQueryAsync();
                return session;
            default:
                CancellationTokenSource over = new();
                Task cutting = CutAsync(over.Token);
                return new Repair(() =>
                {
                    over.Cancel();
                    cutting.GetAwaiter().GetResult();
                });
        }
    }

    private async Task CutAsync(CancellationToken over)
    {
        using WatchedRequests renewals = Fleet.Proxy.WatchRequests("returning c.heartbeat_at");
        using HeldRequests held = Fleet.Proxy.HoldRequests(r => r.IsRenewal());
        for (int cuts = 1; !over.IsCancellationRequested; cuts++)
        {
            await Task.WhenAny(renewals.WaitForMatchesAsync(cuts, Limit), Task.Delay(Timeout.Infinite, over));
            Fleet.Proxy.CutAll();
        }
    }

    private sealed class Repair(Action repair) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            repair();
            return default;
        }
    }
}
