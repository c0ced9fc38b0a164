using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P14: dispose is idempotent, bounded, and throws nothing of its own.</summary>
public sealed class DisposeTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("disposed");

    [Fact]
    public async Task However_often_a_scope_is_disposed_it_releases_once()
    {
        TestConductor a = await Fleet.StartAsync();
        TaskScope task = await a.AcquireOnceAsync(Node);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(async () =>
        {
            if (i % 2 == 0) task.Dispose();
            else await task.DisposeAsync();
        }))).WithinLimit();
        await Fleet.FreeAsync(Node);
        await using TaskScope next = await a.AcquirePatientlyAsync(Node);
        await task.DisposeAsync();
        task.Dispose();

        next.EnsureHeld();
        Assert.Equal([a.Holder, null, a.Holder], (await Fleet.ChangesOfAsync(Node)).Select(c => c.NewHolder));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_scope_whose_node_was_lost_is_disposed_in_silence(bool synchronously)
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        TestConductor b = await Fleet.StartAsync(new ConductorSetup { Name = "b" });
        TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.DeclareDeadAsync(a.Holder);
        await using TaskScope other = await b.AcquireOnceAsync(Node);
        await task.Lost.FiredAsync();

        await DisposeAsync(task, synchronously).WithinLimit();

        other.EnsureHeld();
        Assert.Equal(b.Holder, await Fleet.HolderOfAsync(Node));
        Assert.True(task.Lost.IsCancellationRequested);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_session_killed_before_the_release_is_replaced_by_another(bool synchronously)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync();
        TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("""
            select pg_terminate_backend(pid, 30000) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()
            """);

        await DisposeAsync(task, synchronously).WithinLimit();

        await Fleet.FreeAsync(Node);
        Assert.False(task.Lost.IsCancellationRequested);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_release_that_nobody_answers_ends_in_time_and_the_conductor_goes_on_with_it(bool synchronously)
    {
        TestConductor a = await Fleet.StartBehindProxyAsync(new ConductorSetup
        {
            Options = o =>
            {
                o.ReleaseTimeout = TimeSpan.FromSeconds(1);
                o.HeartbeatInterval = TimeSpan.FromSeconds(1);
            },
        });
        TaskScope task = await a.AcquireOnceAsync(Node);
        using HeldRequests release = Fleet.Proxy.HoldRequests(r => r.IsReleaseOf(Node));

        long began = Stopwatch.GetTimestamp();
        await DisposeAsync(task, synchronously).WithinLimit();
        TimeSpan took = Stopwatch.GetElapsedTime(began);

        Assert.True(took < TimeSpan.FromSeconds(8), $"A dispose that may take a second took {took}.");
        Assert.NotEqual(0, release.Matches);
        await Fleet.FreeAsync(Node); // by the heartbeat: the releases of the scope itself stay held
        await Tests.Eventually.TrueAsync(() => a.Log.With(25).Any(), "what was given back is logged");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_network_that_swallows_everything_holds_up_no_dispose(bool synchronously)
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup
        {
            ConnectionString = $"{Fleet.Proxy.ConnectionString};Pooling=false", // so that the release has to connect
            Options = o => o.ReleaseTimeout = TimeSpan.FromSeconds(1),
        });
        TaskScope task = await a.AcquireOnceAsync(Node);
        Fleet.Proxy.Swallow = true;

        long began = Stopwatch.GetTimestamp();
        await DisposeAsync(task, synchronously).WithinLimit();
        TimeSpan took = Stopwatch.GetElapsedTime(began);

        Assert.True(took < TimeSpan.FromSeconds(8), $"A dispose that may take a second took {took}.");
        Fleet.Proxy.Swallow = false;
        await using TaskScope again = await a.AcquireWhenBackAsync(Node);
        again.EnsureHeld();
    }

    private static async Task DisposeAsync(TaskScope task, bool synchronously)
    {
        if (synchronously) await Task.Run(task.Dispose);
        else await task.DisposeAsync();
    }
}
