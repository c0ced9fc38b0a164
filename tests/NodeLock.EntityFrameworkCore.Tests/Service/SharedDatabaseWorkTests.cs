using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using NodeLock.ConductorService;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Service;

/// <summary>Deployments, breaks, fences and the power sync of instances that share a database.</summary>
public sealed class SharedDatabaseWorkTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_deployment_at_one_is_followed_at_the_other_to_its_end()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_deploy",
            "NodeLock__NodeLockedRetryAttempts=1");
        using HttpResponseMessage accepted = await pair.Alpha.Client.DeployAsync("bm-01", "debian-13", 12);
        Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);

        HttpClient beta = pair.Beta.Client;
        JsonElement begun = await beta.DeploymentAsync("bm-01", "running");
        JsonElement problem = await beta.DeployAsync("bm-01", "other", 1).ProblemOf(HttpStatusCode.Conflict);
        Assert.StartsWith("alpha/", problem.Text("holder"), StringComparison.Ordinal);
        Assert.Equal("deploy debian-13", problem.Text("purpose"));
        Assert.Equal(begun.GetProperty("since").GetDateTimeOffset(), problem.GetProperty("since").GetDateTimeOffset());
        await beta.DeploymentAsync("bm-01", d => d.GetProperty("progress").GetInt32() is > 0 and < 100);

        // The last save releases too: with the outcome in sight, node and machine are as it left them.
        JsonElement ended = await beta.DeploymentAsync("bm-01", d => d.Text("state") != "running");
        Assert.Equal(("succeeded", 100), (ended.Text("state"), ended.GetProperty("progress").GetInt32()));
        JsonElement node = await beta.GetNodeAsync("bm-01");
        Assert.Equal(("on", JsonValueKind.Null), (node.Text("power"), node.GetProperty("reservation").ValueKind));
        await beta.SetPowerAsync("bm-01", "off", 0.1).NodeOf();
        using HttpResponseMessage again = await beta.DeployAsync("bm-01", "broken", 0.1);
        Assert.Equal("broken", (await pair.Alpha.Client.DeploymentAsync("bm-01", "failed")).Text("image"));
        Assert.Empty(await beta.ListAsync("reservations"));
    }

    [Fact]
    public async Task A_deployment_whose_conductor_is_killed_is_interrupted_and_the_node_can_be_deployed_again()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_interrupt",
            [.. ServicePair.ShortLease, .. ServicePair.Patient]);
        using HttpResponseMessage accepted = await pair.Alpha.Client.DeployAsync("bm-01", "debian-13", 30);
        await pair.Beta.Client.DeploymentAsync("bm-01", "running");

        pair.Alpha.Signal(ChildSignal.Kill);
        JsonElement interrupted = await pair.Beta.Client.DeploymentAsync("bm-01", "interrupted");
        Assert.Equal("debian-13", interrupted.Text("image"));

        using HttpResponseMessage again = await pair.Beta.Client.DeployAsync("bm-01", "debian-14", 0.5);
        JsonElement ended = await pair.Beta.Client.DeploymentAsync("bm-01", "succeeded");
        Assert.Equal("debian-14", ended.Text("image"));
    }

    [Fact]
    public async Task A_deployment_that_was_paused_beyond_its_lease_does_not_write_over_the_next()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_late",
            [.. ServicePair.ShortLease, .. ServicePair.Patient]);
        using HttpResponseMessage late = await pair.Alpha.Client.DeployAsync("bm-01", "late", 8);
        await pair.Beta.Client.DeploymentAsync("bm-01", "running");

        pair.Alpha.Signal(ChildSignal.Stop);
        using HttpResponseMessage next = await pair.Beta.Client.DeployAsync("bm-01", "next", 0.5);
        await pair.Beta.Client.DeploymentAsync("bm-01", "succeeded");
        pair.Alpha.Signal(ChildSignal.Continue);

        await FleetRequests.UntilAsync(() => Task.FromResult(
            pair.Alpha.Log.Contains("spawned on node bm-01", StringComparison.Ordinal)));
        JsonElement ended = await pair.Alpha.Client.DeploymentAsync("bm-01", "succeeded");
        Assert.Equal("next", ended.Text("image"));
    }

    [Fact]
    public async Task One_whose_reservation_is_broken_at_the_other_loses_the_node_and_records_nothing()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_break", ServicePair.ShortLease);
        Task<HttpResponseMessage> switching = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 20);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");

        await pair.Beta.Client.BreakAsync("bm-01", reservation.Token() + 1).ProblemOf(HttpStatusCode.Conflict);
        using HttpResponseMessage broken = await pair.Beta.Client.BreakAsync("bm-01", reservation.Token());
        Assert.Equal(HttpStatusCode.NoContent, broken.StatusCode);
        await LoggedAsync(pair.Beta, ": a test");
        await switching.ProblemOf(HttpStatusCode.ServiceUnavailable);
        Assert.Equal("off", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));
        await pair.Beta.Client.SetPowerAsync("bm-01", "on", 0.1).NodeOf();
    }

    [Fact]
    public async Task With_a_fence_the_machine_of_one_that_is_killed_is_off_before_the_other_has_it()
    {
        await using ServicePair pair = await ServicePair.StartAsync(postgres, "service_fence",
            [.. ServicePair.ShortLease, .. ServicePair.Patient, "Fleet__Fence=true"]);
        await pair.Alpha.Client.SetPowerAsync("bm-01", "on", 0.1).NodeOf();
        Task<HttpResponseMessage> cut = pair.Alpha.Client.SetPowerAsync("bm-01", "on", 30);
        JsonElement reservation = await pair.Beta.Client.HeldAsync("bm-01", "power on");
        Assert.Equal("on", (await pair.Beta.Client.GetNodeAsync("bm-01")).Text("power"));

        pair.Alpha.Signal(ChildSignal.Kill);
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => cut);

        // It is free the moment it is fenced, and only a machine that is off can be deployed.
        using HttpResponseMessage deployed = await pair.Beta.Client.DeployAsync("bm-01", "debian-13", 0.5);
        Assert.Equal(HttpStatusCode.Accepted, deployed.StatusCode);
        await pair.Beta.Client.DeploymentAsync("bm-01", "succeeded");
        await LoggedAsync(pair.Beta, "Fenced node bm-01");
        await LoggedAsync(pair.Beta, $"Declared {reservation.Holder()} dead");
    }

    [Fact]
    public async Task The_power_sync_looks_beside_others_who_look_and_switches_once_it_is_alone()
    {
        string connectionString = await postgres.Server.CreateDatabaseAsync("service_sync");
        await using ServiceProcess service = await ServiceProcess.StartAsync("alpha", connectionString,
            "PowerSync__Interval=00:00:00.200", "Logging__LogLevel__NodeLock.ConductorService.PowerSync=Debug");
        PooledDbContextFactory<FleetContext> contexts =
            new(new DbContextOptionsBuilder<FleetContext>().UseNpgsql(connectionString).Options);
        await using TaskManager other =
            new(EntityFrameworkCoreNodeLockRepository.For<FleetContext, Node>(contexts));
        await using (TaskScope reading = await other.AcquireAsync(new NodeId("bm-05"),
            new AcquireOptions { Purpose = "look", Mode = ReservationMode.Shared }))
        {
            await LoggedAsync(service, "Power sync: 20 nodes are as their records say");
            await using (FleetContext context = await contexts.CreateDbContextAsync())
                await context.Nodes.Where(n => n.Id == "bm-05" || n.Id == "bm-06")
                    .ExecuteUpdateAsync(set => set.SetProperty(n => n.Power, Power.On));

            await LoggedAsync(service, "Power sync skipped node bm-05, which is taken.");
            await LoggedAsync(service, "Power sync switched node bm-06 On");
            Assert.DoesNotContain("switched node bm-05", service.Log, StringComparison.Ordinal);
            reading.EnsureHeld();
        }

        await LoggedAsync(service, "Power sync switched node bm-05 On");
        await using FleetContext end = await contexts.CreateDbContextAsync();
        Assert.Equal(2, await end.Nodes.CountAsync(n => n.Power == Power.On && n.FencingToken > 0));
    }

    [Fact]
    public async Task A_database_of_the_version_before_is_brought_up_to_date_and_keeps_its_machines()
    {
        string connectionString = await postgres.Server.CreateDatabaseAsync("service_update");
        DbContextOptions<FleetContext> options =
            new DbContextOptionsBuilder<FleetContext>().UseNpgsql(connectionString).Options;
        await using (FleetContext context = new(options))
        {
            await context.GetService<IMigrator>().MigrateAsync("20261120141536_Initial");
            await context.Database.ExecuteSqlAsync($"update nodes set power = 'on' where id = 'bm-02'");
        }

        await using ServiceProcess service = await ServiceProcess.StartAsync("alpha", connectionString);
        Assert.Equal("on", (await service.Client.GetNodeAsync("bm-02")).Text("power"));
        using HttpResponseMessage accepted = await service.Client.DeployAsync("bm-01", "debian-13", 0.5);
        await service.Client.DeploymentAsync("bm-01", "succeeded");
    }

    private static Task LoggedAsync(ServiceProcess service, string line) => FleetRequests.UntilAsync(
        () => Task.FromResult(service.Log.Contains(line, StringComparison.Ordinal)));
}
