using System.Net;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Xunit;

namespace NodeLock.Tests.Service;

/// <summary>Deployments, which go on after their request has been answered.</summary>
public sealed class DeploymentTests
{
    private static readonly (string, string) OneAttempt = ("NodeLock:NodeLockedRetryAttempts", "1");

    [Fact]
    public async Task A_deployment_is_accepted_at_once_shows_how_far_it_is_and_leaves_the_machine_on()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        using HttpResponseMessage accepted = await client.DeployAsync("bm-01", "debian-13", 3);
        Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);
        Assert.Equal("/nodes/bm-01/deployment", accepted.Headers.Location?.OriginalString);

        JsonElement begun = await client.DeploymentAsync("bm-01", "running");
        Assert.Equal(JsonValueKind.Null, begun.GetProperty("outcome").ValueKind);
        JsonElement reservation = (await client.GetNodeAsync("bm-01")).GetProperty("reservation");
        Assert.Equal(("deploy debian-13", "exclusive"), (reservation.Text("purpose"), reservation.Text("mode")));
        Assert.Equal(reservation.Text("since"), begun.Text("since"));
        await client.DeploymentAsync("bm-01", d => d.Text("state") == "running"
            && d.GetProperty("progress").GetInt32() is > 0 and < 100);

        JsonElement ended = await client.DeploymentAsync("bm-01", "succeeded");
        Assert.Equal((100, "debian-13", "The machine runs debian-13."),
            (ended.GetProperty("progress").GetInt32(), ended.Text("image"), ended.Text("outcome")));
        Assert.Equal("on", (await client.GetNodeAsync("bm-01")).Text("power"));
        await FleetRequests.UntilAsync(async () => (await client.ListAsync("reservations")).Length == 0);
    }

    [Fact]
    public async Task A_node_that_somebody_works_on_is_not_deployed()
    {
        await using ServiceInMemory service = new(OneAttempt);
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> switching = client.SetPowerAsync("bm-01", "on", 2);
        JsonElement reservation = await client.HeldAsync("bm-01", "power on");

        JsonElement problem = await client.DeployAsync("bm-01", "debian-13", 1).ProblemOf(HttpStatusCode.Conflict);
        Assert.Equal((reservation.Holder(), "power on"), (problem.Text("holder"), problem.Text("purpose")));
        Assert.Equal(reservation.Token(), problem.Token());
        await switching.NodeOf();
    }

    [Fact]
    public async Task A_node_that_is_deployed_is_locked()
    {
        await using ServiceInMemory service = new(OneAttempt);
        using HttpClient client = service.CreateClient();
        using HttpResponseMessage accepted = await client.DeployAsync("bm-01", "debian-13", 2);

        JsonElement problem = await client.SetPowerAsync("bm-01", "off", 0.1).ProblemOf(HttpStatusCode.Conflict);
        Assert.Equal("deploy debian-13", problem.Text("purpose"));
        await client.DeploymentAsync("bm-01", "succeeded");
    }

    [Fact]
    public async Task A_machine_that_is_on_is_not_deployed_and_stays_free()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        await client.SetPowerAsync("bm-01", "on", 0.1).NodeOf();

        JsonElement problem = await client.DeployAsync("bm-01", "debian-13", 1).ProblemOf(HttpStatusCode.Conflict);
        Assert.Contains("is on", problem.Text("detail"), StringComparison.Ordinal);
        await client.GetAsync("/nodes/bm-01/deployment").ProblemOf(HttpStatusCode.NotFound);
        Assert.Empty(await client.ListAsync("reservations"));
    }

    [Fact]
    public async Task Where_no_worker_is_free_nothing_is_begun_and_what_was_recorded_stays()
    {
        await using ServiceInMemory service = new(("NodeLock:WorkerPoolSize", "1"), ("NodeLock:ReservedWorkers", "0"));
        using HttpClient client = service.CreateClient();
        using HttpResponseMessage first = await client.DeployAsync("bm-02", "broken", 0.1);
        await client.DeploymentAsync("bm-02", "failed");
        await FleetRequests.UntilAsync(async () => (await client.ListAsync("reservations")).Length == 0);

        HttpStatusCode second = HttpStatusCode.ServiceUnavailable; // the first's worker leaves after its reservation
        await FleetRequests.UntilAsync(async () =>
        {
            using HttpResponseMessage answer = await client.DeployAsync("bm-01", "debian-13", 2);
            second = answer.StatusCode;
            return second != HttpStatusCode.ServiceUnavailable;
        });
        Assert.Equal(HttpStatusCode.Accepted, second);

        JsonElement problem = await client.DeployAsync("bm-02", "debian-13", 1)
            .ProblemOf(HttpStatusCode.ServiceUnavailable);
        Assert.Equal("No worker is free", problem.Text("title"));
        await client.DeploymentAsync("bm-02", "failed");
        Assert.Equal("bm-01", Assert.Single(await client.ListAsync("reservations")).Text("nodeId"));
    }

    [Fact]
    public async Task A_deployment_that_fails_says_why_and_leaves_the_node_free_and_off()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        using HttpResponseMessage accepted = await client.DeployAsync("bm-01", "broken", 1);

        JsonElement failed = await client.DeploymentAsync("bm-01", "failed");
        Assert.Equal(("The image broken cannot be read.", 0),
            (failed.Text("outcome"), failed.GetProperty("progress").GetInt32()));
        Assert.Equal("off", (await client.GetNodeAsync("bm-01")).Text("power"));

        using HttpResponseMessage again = await client.DeployAsync("bm-01", "debian-13", 0.5);
        await client.DeploymentAsync("bm-01", "succeeded");
    }

    [Fact]
    public async Task A_deployment_that_has_lost_its_node_is_interrupted()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        using HttpResponseMessage accepted = await client.DeployAsync("bm-01", "debian-13", 20);
        JsonElement reservation = await client.HeldAsync("bm-01", "deploy debian-13");
        using HttpResponseMessage broken = await client.BreakAsync("bm-01", reservation.Token());
        Assert.Equal(HttpStatusCode.NoContent, broken.StatusCode);

        JsonElement interrupted = await client.DeploymentAsync("bm-01", "interrupted");
        Assert.Contains("lost the node", interrupted.Text("outcome"), StringComparison.Ordinal);
        Assert.True(interrupted.GetProperty("progress").GetInt32() < 100);

        // Its machine is free at once; what it did is at its end.
        await client.SetPowerAsync("bm-01", "on", 0.1).NodeOf();
        Assert.Equal("interrupted", (await client.DeploymentAsync("bm-01", _ => true)).Text("state"));
    }

    [Fact]
    public async Task A_service_that_stops_finishes_its_deployments()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        using HttpResponseMessage accepted = await client.DeployAsync("bm-01", "debian-13", 2);
        await client.HeldAsync("bm-01", "deploy debian-13");

        service.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        await FleetRequests.UntilAsync(() => Task.FromResult(service.Log.Any(
            line => line.StartsWith("Released node bm-01, held for \"deploy debian-13\"", StringComparison.Ordinal))));
        Assert.DoesNotContain(service.Log, line => line.StartsWith("The work that was spawned", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("", "missing")]
    [InlineData("null", "\"image\"")]
    [InlineData("{}", "\"image\"")]
    [InlineData("""{"image":""}""", "\"image\"")]
    [InlineData("""{"image":"a b"}""", "\"image\"")]
    [InlineData("""{"image":13}""", "image")]
    [InlineData("""{"image":"debian-13","seconds":0}""", "0.1 to 60")]
    [InlineData("""{"image":"debian-13","seconds":61}""", "0.1 to 60")]
    public async Task A_body_that_asks_for_nothing_possible_is_refused(string body, string reason)
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        JsonElement problem = await client.DeployAsync("bm-01", body).ProblemOf(HttpStatusCode.BadRequest);
        Assert.Contains(reason, problem.Text("detail"), StringComparison.Ordinal);
        Assert.DoesNotContain(service.Log, line => line.StartsWith("Reserved", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_unknown_node_is_not_found()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        await client.DeployAsync("bm-21", "debian-13", 1).ProblemOf(HttpStatusCode.NotFound);
        await client.GetAsync("/nodes/bm-21/deployment").ProblemOf(HttpStatusCode.NotFound);
    }
}
