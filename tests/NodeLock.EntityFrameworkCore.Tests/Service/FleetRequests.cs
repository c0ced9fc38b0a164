using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Xunit;

namespace NodeLock.Tests.Service;

/// <summary>What a client of the service asks, wherever the service runs.</summary>
internal static class FleetRequests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static async Task<JsonElement> GetNodeAsync(this HttpClient client, string id) =>
        await client.GetFromJsonAsync<JsonElement>($"/nodes/{id}");

    public static async Task<JsonElement[]> ListAsync(this HttpClient client, string what) =>
        await client.GetFromJsonAsync<JsonElement[]>($"/{what}") ?? [];

    public static Task<HttpResponseMessage> SetPowerAsync(this HttpClient client, string id, string target,
        double seconds) => client.SetPowerAsync(id, string.Create(CultureInfo.InvariantCulture,
            $$"""{"target":"{{target}}","seconds":{{seconds}}}"""));

    public static Task<HttpResponseMessage> SetPowerAsync(this HttpClient client, string id, string? body) =>
        client.PutAsync($"/nodes/{id}/power",
            body is null ? null : new StringContent(body, Encoding.UTF8, "application/json"));

    public static Task<HttpResponseMessage> DeployAsync(this HttpClient client, string id, string image,
        double seconds) => client.DeployAsync(id, string.Create(CultureInfo.InvariantCulture,
            $$"""{"image":"{{image}}","seconds":{{seconds}}}"""));

    public static Task<HttpResponseMessage> DeployAsync(this HttpClient client, string id, string body) =>
        client.PostAsync($"/nodes/{id}/deploy", new StringContent(body, Encoding.UTF8, "application/json"));

    /// <summary>Waits until the node's deployment stands so.</summary>
    /// <returns>The deployment.</returns>
    public static async Task<JsonElement> DeploymentAsync(this HttpClient client, string id,
        Func<JsonElement, bool> stands)
    {
        JsonElement deployment = default;
        await UntilAsync(async () =>
        {
            deployment = await client.GetFromJsonAsync<JsonElement>($"/nodes/{id}/deployment");
            return stands(deployment);
        });
        return deployment;
    }

    public static Task<JsonElement> DeploymentAsync(this HttpClient client, string id, string state) =>
        client.DeploymentAsync(id, deployment => deployment.Text("state") == state);

    public static Task<HttpResponseMessage> BreakAsync(this HttpClient client, string id, long token) =>
        client.DeleteAsync(string.Create(CultureInfo.InvariantCulture,
            $"/reservations/{id}?token={token}&reason=a+test"));

    /// <summary>Waits until somebody holds the node for this.</summary>
    /// <returns>The reservation.</returns>
    public static async Task<JsonElement> HeldAsync(this HttpClient client, string id, string purpose)
    {
        JsonElement reservation = default;
        await UntilAsync(async () =>
        {
            reservation = (await client.GetNodeAsync(id)).GetProperty("reservation");
            return reservation.ValueKind == JsonValueKind.Object
                && reservation.GetProperty("purpose").GetString() == purpose;
        });
        return reservation;
    }

    public static async Task UntilAsync(Func<Task<bool>> isTrue)
    {
        using CancellationTokenSource limit = new(Limit);
        while (!await isTrue()) await Task.Delay(20, limit.Token);
    }

    public static async Task<JsonElement> NodeOf(this Task<HttpResponseMessage> answering)
    {
        using HttpResponseMessage answer = await answering;
        Assert.True(answer.IsSuccessStatusCode, $"{answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    /// <summary>Asserts that an answer is a problem of this status.</summary>
    public static async Task<JsonElement> ProblemOf(this Task<HttpResponseMessage> answering, HttpStatusCode status)
    {
        using HttpResponseMessage answer = await answering;
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == status, $"{answer.StatusCode}: {text}");
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        JsonElement problem = JsonSerializer.Deserialize<JsonElement>(text);
        // What will be otherwise without anybody's doing.
        if (status == HttpStatusCode.ServiceUnavailable || problem.TryGetProperty("holder", out _))
            Assert.True(answer.Headers.RetryAfter?.Delta > TimeSpan.Zero, "There is no Retry-After.");
        Assert.Equal((int)status, problem.GetProperty("status").GetInt32());
        return problem;
    }

    public static string Holder(this JsonElement reservation) =>
        Assert.Single(reservation.GetProperty("holders").EnumerateArray()).GetString() ?? "";

    public static long Token(this JsonElement reservation) => reservation.GetProperty("fencingToken").GetInt64();

    public static string Text(this JsonElement element, string property) =>
        element.GetProperty(property).GetString() ?? "";
}
