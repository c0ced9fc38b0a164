using System.Diagnostics;
using System.Net;
using System.Text.Json;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Service;

/// <summary>Two instances of the service on one database.</summary>
public sealed class SharedDatabaseTests(PostgresFixture postgres)
{
    // A lease of three seconds leaves a machine under load the time for its heartbeats.
    private static readonly string[] ShortLease =
        ["NodeLock__LeaseDuration=00:00:03", "NodeLock__HeartbeatInterval=00:00:00.500"];

    private static readonly string[] Patient =
        ["NodeLock__NodeLockedRetryAttempts=200", "NodeLock__NodeLockedRetryInterval=00:00:00.100"];

    [Fact]
    public async Task Two_that_start_at_once_on_an_empty_database_share_its_machines()
    {
        await using Pair pair = await Pair.StartAsync(postgres, "service_start");
        foreach (ServiceProcess service in pair.Both)
        {
            Assert.Equal(20, (await service.Client.ListAsync("nodes")).Length);
            Assert.Contains("The machines are in PostgreSQL", service.Log, StringComparison.Ordinal);
            Assert.DoesNotContain("fail:", service.Log, StringComparison.Ordinal);
            Assert.DoesNotContain("warn:", service.Log, StringComparison.Ordinal);
        }

        await pair.Alpha.Client.SetPowerAsync("bm-01", "on", 0.1).NodeOf();
        Assert.Equal("on", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));
    }

    [Fact]
    public async Task A_node_that_one_works_on_is_locked_at_the_other_which_names_the_holder()
    {
        await using Pair pair = await Pair.StartAsync(postgres, "service_locked", "NodeLock__NodeLockedRetryAttempts=2",
            "NodeLock__NodeLockedRetryInterval=00:00:00.200");
        Task<HttpResponseMessage> switching = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 4);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");

        JsonElement problem = await pair.Beta.Client.SetPowerAsync("bm-01", "off", 0.1)
            .ProblemOf(HttpStatusCode.Conflict);
        Assert.StartsWith("alpha/", problem.Text("holder"), StringComparison.Ordinal);
        Assert.Equal(reservation.Text("holder"), problem.Text("holder"));
        Assert.Equal("power on", problem.Text("purpose"));
        Assert.Equal(reservation.Text("since"), problem.Text("since"));

        JsonElement listed = Assert.Single(await pair.Beta.Client.ListAsync("reservations"));
        Assert.Equal(("bm-01", reservation.Text("holder")), (listed.Text("nodeId"), listed.Text("holder")));

        Assert.Equal("on", (await switching.NodeOf()).Text("power"));
        Assert.Equal("on", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));
        Assert.Empty(await pair.Beta.Client.ListAsync("reservations"));
    }

    [Fact]
    public async Task A_request_to_one_waits_for_a_request_to_the_other()
    {
        await using Pair pair = await Pair.StartAsync(postgres, "service_wait");
        Task<HttpResponseMessage> first = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 1);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");
        Task<HttpResponseMessage> second = pair.Beta.Client.SetPowerAsync("bm-01", "off", 1);

        JsonElement next = await pair.Alpha.Client.HeldAsync("bm-01", "power off");
        Assert.StartsWith("beta/", next.Text("holder"), StringComparison.Ordinal);
        Assert.True(next.GetProperty("fencingToken").GetInt64() > reservation.GetProperty("fencingToken").GetInt64());
        await first.NodeOf();
        Assert.Equal("off", (await second.NodeOf()).Text("power"));
    }

    [Fact]
    public async Task The_node_of_one_that_is_killed_is_free_for_the_other_when_its_lease_is_over()
    {
        await using Pair pair = await Pair.StartAsync(postgres, "service_kill", [.. ShortLease, .. Patient]);
        Task<HttpResponseMessage> cut = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 30);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");

        pair.Alpha.Signal(ChildSignal.Kill);
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => cut);
        long began = Stopwatch.GetTimestamp();
        Assert.Equal("off", (await pair.Beta.Client.SetPowerAsync("bm-01", "off", 0.1).NodeOf()).Text("power"));

        // Its last renewal was up to one heartbeat before; the rest is for a machine under load.
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 2, 20);
        Assert.Contains($"Declared {reservation.Text("holder")} dead", pair.Beta.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_that_was_paused_beyond_its_lease_does_not_write_over_what_the_other_did()
    {
        await using Pair pair = await Pair.StartAsync(postgres, "service_pause", [.. ShortLease, .. Patient]);
        Task<HttpResponseMessage> late = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 4);
        string before = (await pair.Beta.Client.HeldAsync("bm-01", "power on")).Text("holder");

        pair.Alpha.Signal(ChildSignal.Stop);
        await pair.Beta.Client.SetPowerAsync("bm-01", "off", 0.1).NodeOf();
        pair.Alpha.Signal(ChildSignal.Continue);

        JsonElement problem = await late.ProblemOf(HttpStatusCode.ServiceUnavailable);
        Assert.Contains("is lost", problem.Text("detail"), StringComparison.Ordinal);
        Assert.Equal("off", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));

        // It goes on, as another holder.
        Task<HttpResponseMessage> again = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 1);
        string after = (await pair.Beta.Client.HeldAsync("bm-01", "power on")).Text("holder");
        Assert.StartsWith("alpha/", after, StringComparison.Ordinal);
        Assert.NotEqual(before, after);
        Assert.Equal("on", (await again.NodeOf()).Text("power"));
    }

    [Fact]
    public async Task One_whose_database_is_away_starts_answers_that_it_is_and_works_once_it_is_back()
    {
        await using PrivateCluster server = await PrivateCluster.StartNewAsync();
        await server.StopAsync(ClusterStop.Fast);
        await using ServiceProcess service = await ServiceProcess.StartAsync("alpha", server.ConnectionString, Patient);

        await service.Client.GetAsync("/nodes").ProblemOf(HttpStatusCode.ServiceUnavailable);
        await service.Client.SetPowerAsync("bm-01", "on", 0.1).ProblemOf(HttpStatusCode.ServiceUnavailable);

        await server.StartAsync();
        await FleetRequests.UntilAsync(async () =>
        {
            using HttpResponseMessage answer = await service.Client.SetPowerAsync("bm-01", "on", 0.1);
            return answer.IsSuccessStatusCode;
        });
        Assert.Equal("on", (await service.Client.GetNodeAsync("bm-01")).Text("power"));
        Assert.Equal(20, (await service.Client.ListAsync("nodes")).Length);
    }

    private sealed class Pair(PostgresServer server, string database, ServiceProcess[] both) : IAsyncDisposable
    {
        public IReadOnlyList<ServiceProcess> Both => both;

        public ServiceProcess Alpha => both[0];

        public ServiceProcess Beta => both[1];

        public static async Task<Pair> StartAsync(PostgresFixture postgres, string database, params string[] settings)
        {
            string connectionString = await postgres.Server.CreateDatabaseAsync(database);
            return new Pair(postgres.Server, database, await Task.WhenAll(
                ServiceProcess.StartAsync("alpha", connectionString, settings),
                ServiceProcess.StartAsync("beta", connectionString, settings)));
        }

        public async ValueTask DisposeAsync()
        {
            foreach (ServiceProcess service in both) await service.DisposeAsync();
            await server.DropDatabaseAsync(database);
        }
    }
}
