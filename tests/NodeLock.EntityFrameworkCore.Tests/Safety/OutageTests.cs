using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>L5, and P14 and P23 where they need a server that is really gone.</summary>
public sealed class OutageTests : IAsyncLifetime
{
    private static readonly NodeId Node = new("outage");

    private PrivateCluster? cluster;
    private TestFleet? fleet;

    private PrivateCluster Cluster => cluster ?? throw new InvalidOperationException();

    private TestFleet Fleet => fleet ?? throw new InvalidOperationException();

    public async ValueTask InitializeAsync()
    {
        cluster = await PrivateCluster.StartNewAsync();
        fleet = await TestFleet.CreateAsync(await cluster.CreateDatabaseAsync("outage"));
    }

    public async ValueTask DisposeAsync()
    {
        if (fleet is not null) await fleet.DisposeAsync();
        if (cluster is not null) await cluster.DisposeAsync();
    }

    [Theory]
    [InlineData(ClusterStop.Fast)]
    [InlineData(ClusterStop.Kill)]
    public async Task An_outage_shorter_than_what_is_left_of_the_lease_loses_nothing(ClusterStop stop)
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup
        {
            Options = o => o.HeartbeatInterval = TimeSpan.FromSeconds(1),
        });
        string holder = a.Holder;
        await using TaskScope task = await a.AcquireOnceAsync(Node);

        await Cluster.StopAsync(stop);
        await a.LoggedAsync(30);
        await Cluster.StartAsync();
        await a.LoggedAsync(31);

        task.EnsureHeld();
        Assert.False(task.Lost.IsCancellationRequested);
        await using TaskScope other = await a.AcquireWhenBackAsync(new NodeId("after the outage"));
        Assert.Equal((holder, holder), (a.Holder, await Fleet.HolderOfAsync(Node)));
        Assert.Equal(task.FencingToken, await Fleet.TokenOfAsync(Node));
        Assert.True(other.FencingToken > task.FencingToken);
    }

    [Fact]
    public async Task A_longer_outage_ends_in_Lost_and_the_conductor_recovers_by_itself()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Cluster.StopAsync(ClusterStop.Immediate);

        await task.Lost.FiredAsync();
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(new NodeId("meanwhile")));
        await Cluster.StartAsync();
        await a.LoggedAsync(31);

        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        await task.DisposeAsync();
        await using TaskScope again = await a.AcquireWhenBackAsync(Node);
        again.EnsureHeld();
        Assert.True(again.FencingToken > task.FencingToken);
        Assert.Equal((a.Holder, again.FencingToken),
            (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
    }

    [Fact]
    public async Task An_outage_is_warned_about_once_and_names_host_and_database_and_no_password()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup
        {
            ConnectionString = $"{Fleet.ConnectionString};Password=verysecret",
            Options = ConductorSetup.Hurried,
        });
        await using TaskScope task = await a.AcquireOnceAsync(new NodeId("held"));
        await Cluster.StopAsync(ClusterStop.Fast);

        await a.LoggedAsync(30);
        NpgsqlException away = await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));
        // Once the lease is no longer certain, each acquire asks for a heartbeat, and fails with it.
        await task.Lost.FiredAsync();
        for (int i = 0; i < 3; i++) await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));
        await Cluster.StartAsync();
        await a.LoggedAsync(31);

        LogLine warning = Assert.Single(a.Log.With(30));
        Assert.Contains($"127.0.0.1:{Cluster.Port}", warning.Message, StringComparison.Ordinal);
        Assert.Contains("nodelock_test_outage", warning.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(a.Log.All,
            l => $"{l.Message} {l.Exception}".Contains("verysecret", StringComparison.Ordinal));
        Assert.DoesNotContain("verysecret", away.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_stopped_server_does_not_hide_what_the_body_threw(bool synchronously)
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup
        {
            Options = o => o.ReleaseTimeout = TimeSpan.FromSeconds(1),
        });
        long began = 0;

        await Assert.ThrowsAsync<BodyException>(async () =>
        {
            if (synchronously)
            {
                using TaskScope task = await a.AcquireOnceAsync(Node);
                await FailAsync();
            }
            else
            {
                await using TaskScope task = await a.AcquireOnceAsync(Node);
                await FailAsync();
            }
        });
        TimeSpan took = Stopwatch.GetElapsedTime(began);

        Assert.True(took < TimeSpan.FromSeconds(8), $"A dispose that may take a second took {took}.");
        await Cluster.StartAsync();
        await using TaskScope again = await a.AcquireWhenBackAsync(Node);
        again.EnsureHeld();

        async Task FailAsync()
        {
            await Cluster.StopAsync(ClusterStop.Fast);
            began = Stopwatch.GetTimestamp();
            throw new BodyException();
        }
    }

    [Fact]
    public async Task A_database_that_is_away_is_its_own_exception_also_with_retries_of_the_context()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup
        {
            Npgsql = npgsql => npgsql.EnableRetryOnFailure(2, TimeSpan.FromMilliseconds(50), null),
        });
        await Cluster.StopAsync(ClusterStop.Fast);

        // The first one meets the pooled session that the server ended, the second one a closed port.
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));
        await Assert.ThrowsAnyAsync<NpgsqlException>(
            async () => await a.Manager.GetReservationAsync(Node).WithinLimit());
    }

    [Fact]
    public async Task A_conductor_that_begins_while_the_database_is_away_is_there_when_it_is_back()
    {
        await Cluster.StopAsync(ClusterStop.Fast);
        TestConductor a = Fleet.Create(new ConductorSetup { Options = ConductorSetup.Hurried });

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node));
        await Cluster.StartAsync();
        await a.LoggedAsync(20);

        await using TaskScope task = await a.AcquireWhenBackAsync(Node);
        Assert.Equal(a.Holder, await Fleet.HolderOfAsync(Node));
    }

    private sealed class BodyException : Exception;
}
