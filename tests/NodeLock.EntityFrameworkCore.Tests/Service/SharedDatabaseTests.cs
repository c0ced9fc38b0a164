using System.Diagnostics;
using System.Net;
using System.Text.Json;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Service;

/// <summary>Two instances of the service on one database.</summary>
public sealed class SharedDatabaseTests(PostgresFixture postgres)
{
    [Fact]
    public async Task Two_that_start_at_once_on_an_empty_database_share_its_machines()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_start");
        foreach (ServiceProcess service in pair.Both)
        {
            Assert.Equal(20, (await service.Client.ListAsync("nodes")).Length);
            Assert.Contains("The machines are in PostgreSQL", service.Log, StringComparison.Ordinal);
            Assert.DoesNotContain("fail:", service.Log, StringComparison.Ordinal);
            Assert.False(service.Log.Contains("warn:", StringComparison.Ordinal), service.Log);
        }

        await pair.Alpha.Client.SetPowerAsync("bm-01", "on", 0.1).NodeOf();
        Assert.Equal("on", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));
    }

    [Fact]
    public async Task A_node_that_one_works_on_is_locked_at_the_other_which_names_the_holder()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_locked", "NodeLock__NodeLockedRetryAttempts=2",
            "NodeLock__NodeLockedRetryInterval=00:00:00.200");
        Task<HttpResponseMessage> switching = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 4);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");

        JsonElement problem = await pair.Beta.Client.SetPowerAsync("bm-01", "off", 0.1)
            .ProblemOf(HttpStatusCode.Conflict);
        Assert.StartsWith("alpha/", problem.Text("holder"), StringComparison.Ordinal);
        Assert.Equal(reservation.Holder(), problem.Text("holder"));
        Assert.Equal("power on", problem.Text("purpose"));
        Assert.Equal(reservation.Text("since"), problem.Text("since"));

        JsonElement listed = Assert.Single(await pair.Beta.Client.ListAsync("reservations"));
        Assert.Equal(("bm-01", reservation.Holder()), (listed.Text("nodeId"), listed.Holder()));

        Assert.Equal("on", (await switching.NodeOf()).Text("power"));
        Assert.Equal("on", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));
        Assert.Empty(await pair.Beta.Client.ListAsync("reservations"));
    }

    [Fact]
    public async Task A_request_to_one_waits_for_a_request_to_the_other()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_wait", ServicePair.Patient);
        Task<HttpResponseMessage> first = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 4);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");
        Task<HttpResponseMessage> second = pair.Beta.Client.SetPowerAsync("bm-01", "off", 4);

        JsonElement next = await pair.Alpha.Client.HeldAsync("bm-01", "power off");
        Assert.StartsWith("beta/", next.Holder(), StringComparison.Ordinal);
        Assert.True(next.GetProperty("fencingToken").GetInt64() > reservation.GetProperty("fencingToken").GetInt64());
        await first.NodeOf();
        Assert.Equal("off", (await second.NodeOf()).Text("power"));
    }

    [Fact]
    public async Task The_node_of_one_that_is_killed_is_free_for_the_other_when_its_lease_is_over()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_kill", [.. ServicePair.ShortLease, .. ServicePair.Patient]);
        Task<HttpResponseMessage> cut = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 30);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");

        pair.Alpha.Signal(ChildSignal.Kill);
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => cut);
        long began = Stopwatch.GetTimestamp();
        Assert.Equal("off", (await pair.Beta.Client.SetPowerAsync("bm-01", "off", 0.1).NodeOf()).Text("power"));

        // Its last renewal was up to one heartbeat before; the rest is for a machine under load.
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 2, 20);
        Assert.Contains($"Declared {reservation.Holder()} dead", pair.Beta.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_that_was_paused_beyond_its_lease_does_not_write_over_what_the_other_did()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_pause", [.. ServicePair.ShortLease, .. ServicePair.Patient]);
        Task<HttpResponseMessage> late = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 4);
        string before = (await pair.Beta.Client.HeldAsync("bm-01", "power on")).Holder();

        pair.Alpha.Signal(ChildSignal.Stop);
        await pair.Beta.Client.SetPowerAsync("bm-01", "off", 0.1).NodeOf();
        pair.Alpha.Signal(ChildSignal.Continue);

        JsonElement problem = await late.ProblemOf(HttpStatusCode.ServiceUnavailable);
        Assert.Contains("is lost", problem.Text("detail"), StringComparison.Ordinal);
        Assert.Equal("off", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));

        // It goes on, as another holder.
        Task<HttpResponseMessage> again = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 1);
        string after = (await pair.Beta.Client.HeldAsync("bm-01", "power on")).Holder();
        Assert.StartsWith("alpha/", after, StringComparison.Ordinal);
        Assert.NotEqual(before, after);
        Assert.Equal("on", (await again.NodeOf()).Text("power"));
    }

    [Fact]
    public async Task One_whose_database_is_away_starts_answers_that_it_is_and_works_once_it_is_back()
    {
        await using PrivateCluster server = await PrivateCluster.StartNewAsync();
        await server.StopAsync(ClusterStop.Fast);
        await using ServiceProcess service = await ServiceProcess.StartAsync("alpha", server.ConnectionString,
            ServicePair.Patient);

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
}
