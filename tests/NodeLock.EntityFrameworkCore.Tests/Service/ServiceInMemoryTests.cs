using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Xunit;

namespace NodeLock.Tests.Service;

public sealed class ServiceInMemoryTests
{
    [Fact]
    public async Task Without_configuration_there_are_twenty_machines_and_the_log_says_where()
    {
        await using ServiceInMemory service = new();
        JsonElement[] nodes = await service.CreateClient().ListAsync("nodes");

        Assert.Equal(Enumerable.Range(1, 20).Select(n => string.Create(CultureInfo.InvariantCulture, $"bm-{n:00}")),
            nodes.Select(node => node.Text("id")));
        Assert.All(nodes, node => Assert.Equal("off", node.Text("power")));
        Assert.All(nodes, node => Assert.Equal(JsonValueKind.Null, node.GetProperty("reservation").ValueKind));
        Assert.Single(service.Log, line => line.Contains("memory of this process", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_machine_is_switched_and_keeps_its_state()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();

        JsonElement switched = await client.SetPowerAsync("bm-02", "on", 0.1).NodeOf();
        Assert.Equal(("bm-02", "on"), (switched.Text("id"), switched.Text("power")));
        Assert.Equal(JsonValueKind.Null, switched.GetProperty("reservation").ValueKind);
        Assert.Equal("on", (await client.GetNodeAsync("bm-02")).Text("power"));
        Assert.Equal("off", (await client.GetNodeAsync("bm-03")).Text("power"));

        await client.SetPowerAsync("bm-02", "off", 0.1).NodeOf();
        Assert.Equal("off", (await client.GetNodeAsync("bm-02")).Text("power"));
    }

    [Fact]
    public async Task Without_seconds_a_switch_takes_one()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        long began = Stopwatch.GetTimestamp();
        await client.SetPowerAsync("bm-01", """{"target":"on"}""").NodeOf();
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 0.95, 10);
    }

    [Fact]
    public async Task While_a_machine_is_switched_everybody_sees_who_holds_it_and_why()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> switching = client.SetPowerAsync("bm-07", "on", 1);

        JsonElement reservation = await client.HeldAsync("bm-07", "power on");
        Assert.StartsWith("alpha/", reservation.Holder(), StringComparison.Ordinal);
        Assert.Equal("held", reservation.Text("state"));
        Assert.True(reservation.GetProperty("fencingToken").GetInt64() > 0);
        Assert.True(reservation.GetProperty("since").TryGetDateTimeOffset(out _));

        JsonElement listed = Assert.Single(await client.ListAsync("reservations"));
        Assert.Equal("bm-07", listed.Text("nodeId"));
        Assert.All(reservation.EnumerateObject(), fact =>
            Assert.Equal(fact.Value.ToString(), listed.GetProperty(fact.Name).ToString()));
        JsonElement among = Assert.Single(await client.ListAsync("nodes"),
            node => node.GetProperty("reservation").ValueKind != JsonValueKind.Null);
        Assert.Equal("bm-07", among.Text("id"));

        await switching.NodeOf();
        Assert.Empty(await client.ListAsync("reservations"));
    }

    [Fact]
    public async Task A_request_waits_for_another_and_succeeds()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> first = client.SetPowerAsync("bm-01", "on", 0.7);
        long firstToken = (await client.HeldAsync("bm-01", "power on")).GetProperty("fencingToken").GetInt64();
        Task<HttpResponseMessage> second = client.SetPowerAsync("bm-01", "off", 0.5);

        await first.NodeOf();
        JsonElement reservation = await client.HeldAsync("bm-01", "power off");
        Assert.True(reservation.GetProperty("fencingToken").GetInt64() > firstToken);
        Assert.Equal("off", (await second.NodeOf()).Text("power"));
        Assert.Equal("off", (await client.GetNodeAsync("bm-01")).Text("power"));
    }

    [Fact]
    public async Task A_request_gives_up_after_three_attempts_a_second_apart_and_is_told_who_holds_the_node()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> first = client.SetPowerAsync("bm-01", "on", 6);
        JsonElement reservation = await client.HeldAsync("bm-01", "power on");

        long began = Stopwatch.GetTimestamp();
        JsonElement problem = await client.SetPowerAsync("bm-01", "off", 0.1).ProblemOf(HttpStatusCode.Conflict);
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 1.9, 5.9);
        Assert.Equal(reservation.Holder(), problem.Text("holder"));
        Assert.Equal("power on", problem.Text("purpose"));
        Assert.Equal(reservation.Text("since"), problem.Text("since"));
        Assert.Equal("bm-01", problem.Text("node"));

        Assert.Equal("on", (await first.NodeOf()).Text("power"));
    }

    [Fact]
    public async Task The_retry_is_what_the_configuration_says()
    {
        await using ServiceInMemory service = new(("NodeLock:NodeLockedRetryAttempts", "1"));
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> first = client.SetPowerAsync("bm-01", "on", 3);
        await client.HeldAsync("bm-01", "power on");

        await client.SetPowerAsync("bm-01", "off", 0.1).ProblemOf(HttpStatusCode.Conflict);
        Assert.False(first.IsCompleted);
        await first.NodeOf();
    }

    [Fact]
    public async Task Other_nodes_are_not_held_up()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> first = client.SetPowerAsync("bm-01", "on", 3);
        await client.HeldAsync("bm-01", "power on");

        await client.SetPowerAsync("bm-02", "on", 0.1).NodeOf();
        Assert.False(first.IsCompleted);
        await first.NodeOf();
    }

    [Fact]
    public async Task An_unknown_node_is_not_found()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        JsonElement problem = await client.GetAsync("/nodes/bm-21").ProblemOf(HttpStatusCode.NotFound);
        Assert.Contains("bm-21", problem.Text("detail"), StringComparison.Ordinal);
        await client.SetPowerAsync("bm-21", "on", 0.1).ProblemOf(HttpStatusCode.NotFound);
        await client.GetAsync("/node").ProblemOf(HttpStatusCode.NotFound);
        Assert.Equal(20, (await client.ListAsync("nodes")).Length);
    }

    [Theory]
    [InlineData(null, "missing")]
    [InlineData("", "missing")]
    [InlineData("""{"target":"on""", "form")]
    [InlineData("on", "form")]
    [InlineData("[]", "form")]
    [InlineData("null", "\"target\"")]
    [InlineData("{}", "\"target\"")]
    [InlineData("""{"target":"sideways"}""", "\"target\"")]
    [InlineData("""{"target":1}""", "target")]
    [InlineData("""{"target":"on","seconds":0.05}""", "0.1 to 30")]
    [InlineData("""{"target":"on","seconds":30.5}""", "0.1 to 30")]
    [InlineData("""{"target":"on","seconds":-1}""", "0.1 to 30")]
    [InlineData("""{"target":"on","seconds":1e999}""", "0.1 to 30")]
    [InlineData("""{"target":"on","seconds":"soon"}""", "seconds")]
    public async Task A_body_that_asks_for_nothing_possible_is_refused_and_changes_nothing(string? body, string reason)
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        JsonElement problem = await client.SetPowerAsync("bm-01", body).ProblemOf(HttpStatusCode.BadRequest);
        Assert.Contains(reason, problem.Text("detail"), StringComparison.Ordinal);
        Assert.Equal("off", (await client.GetNodeAsync("bm-01")).Text("power"));
        Assert.DoesNotContain(service.Log, line => line.StartsWith("Reserved", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_id_that_no_node_can_have_is_refused()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        await client.GetAsync($"/nodes/{new string('x', 300)}").ProblemOf(HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task The_power_sync_skips_a_node_that_somebody_works_on()
    {
        await using ServiceInMemory service = new(("PowerSync:Interval", "00:00:00.200"));
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> switching = client.SetPowerAsync("bm-05", "on", 2);
        await client.HeldAsync("bm-05", "power on");

        await FleetRequests.UntilAsync(() => Task.FromResult(
            service.Log.Any(line => line.StartsWith("Power sync: 19 nodes are as", StringComparison.Ordinal))));
        Assert.Contains("Power sync skipped node bm-05, which is taken.", service.Log);
        Assert.Equal("power on", (await client.GetNodeAsync("bm-05")).GetProperty("reservation").Text("purpose"));

        Assert.Equal("on", (await switching.NodeOf()).Text("power"));
        await FleetRequests.UntilAsync(() => Task.FromResult(
            service.Log.Any(line => line.StartsWith("Power sync: 20 nodes are as", StringComparison.Ordinal))));
        Assert.Equal("on", (await client.GetNodeAsync("bm-05")).Text("power"));
    }

    [Fact]
    public async Task A_service_that_stops_sends_waiting_requests_away_and_finishes_its_work()
    {
        await using ServiceInMemory service = new(("NodeLock:NodeLockedRetryAttempts", "100"));
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> first = client.SetPowerAsync("bm-01", "on", 1.5);
        await client.HeldAsync("bm-01", "power on");
        Task<HttpResponseMessage> second = client.SetPowerAsync("bm-01", "off", 0.1);

        service.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        await second.ProblemOf(HttpStatusCode.ServiceUnavailable);
        Assert.Equal("on", (await first.NodeOf()).Text("power"));
    }
}
