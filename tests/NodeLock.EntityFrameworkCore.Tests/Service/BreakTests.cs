using System.Net;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace NodeLock.Tests.Service;

/// <summary>What an operator takes away.</summary>
public sealed class BreakTests
{
    [Fact]
    public async Task A_reservation_is_broken_by_its_token_and_its_holder_loses_the_node()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> switching = client.SetPowerAsync("bm-01", "on", 20);
        JsonElement reservation = await client.HeldAsync("bm-01", "power on");

        using HttpResponseMessage broken = await client.BreakAsync("bm-01", reservation.Token());
        Assert.Equal(HttpStatusCode.NoContent, broken.StatusCode);
        JsonElement problem = await switching.ProblemOf(HttpStatusCode.ServiceUnavailable);
        Assert.Contains("it was broken: a test", problem.Text("detail"), StringComparison.Ordinal);
        Assert.Empty(await client.ListAsync("reservations"));
        Assert.Equal("off", (await client.GetNodeAsync("bm-01")).Text("power"));
        await client.SetPowerAsync("bm-01", "on", 0.1).NodeOf();
    }

    [Fact]
    public async Task A_token_that_has_moved_on_breaks_nothing_and_is_answered_with_what_stands()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        Task<HttpResponseMessage> switching = client.SetPowerAsync("bm-01", "on", 1.5);
        JsonElement reservation = await client.HeldAsync("bm-01", "power on");

        JsonElement problem = await client.BreakAsync("bm-01", reservation.Token() - 1)
            .ProblemOf(HttpStatusCode.Conflict);
        Assert.Equal(reservation.ToString(), problem.GetProperty("reservation").ToString());
        await switching.NodeOf();

        JsonElement free = await client.BreakAsync("bm-01", reservation.Token()).ProblemOf(HttpStatusCode.Conflict);
        Assert.Equal(JsonValueKind.Null, free.GetProperty("reservation").ValueKind);
    }

    [Fact]
    public async Task One_who_shares_the_node_is_broken_by_name()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        TaskManager manager = service.Services.GetRequiredService<TaskManager>();
        await using TaskScope? task = await manager.TryAcquireAsync(new NodeId("bm-01"), "look",
            ReservationMode.Shared);
        Assert.NotNull(task);

        JsonElement listed = Assert.Single(await client.ListAsync("reservations"));
        Assert.Equal(("bm-01", "shared", manager.Holder, "held"),
            (listed.Text("nodeId"), listed.Text("mode"), listed.Holder(), listed.Text("state")));
        await client.BreakAsync("bm-01", listed.Token()).ProblemOf(HttpStatusCode.Conflict);
        await client.DeleteAsync("/reservations/bm-01?holder=beta%2F00&reason=a+test")
            .ProblemOf(HttpStatusCode.Conflict);
        Assert.False(task.Lost.IsCancellationRequested);

        using HttpResponseMessage broken = await client.DeleteAsync(
            $"/reservations/bm-01?holder={Uri.EscapeDataString(manager.Holder)}&reason=a+test");
        Assert.Equal(HttpStatusCode.NoContent, broken.StatusCode);
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        Assert.Empty(await client.ListAsync("reservations"));
    }

    [Theory]
    [InlineData("reason=a+test", "token")]
    [InlineData("token=1&holder=alpha%2F00&reason=a+test", "token")]
    [InlineData("holder=&reason=a+test", "token")]
    [InlineData("token=first&reason=a+test", "token")]
    [InlineData("token=1", "reason")]
    [InlineData("token=1&reason=", "reason")]
    [InlineData("token=1&reason=%07", "reason")]
    [InlineData("holder=alpha%2F00&reason=+", "reason")]
    public async Task A_break_must_say_what_and_why(string query, string missing)
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        JsonElement problem = await client.DeleteAsync($"/reservations/bm-01?{query}")
            .ProblemOf(HttpStatusCode.BadRequest);
        Assert.Contains(missing, problem.Text("detail"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_stands_on_an_unknown_node()
    {
        await using ServiceInMemory service = new();
        using HttpClient client = service.CreateClient();
        await client.BreakAsync("bm-21", 1).ProblemOf(HttpStatusCode.NotFound);
    }
}
