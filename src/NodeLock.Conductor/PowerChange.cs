using System.Text.Json;

namespace NodeLock.ConductorService;

/// <summary>The body of a power request: <c>{"target":"on","seconds":1.5}</c>.</summary>
/// <param name="Target">What the machine is to be.</param>
/// <param name="Takes">How long the simulated machine takes for it.</param>
internal sealed record PowerChange(Power Target, TimeSpan Takes)
{
    private const string Form = """{"target":"on","seconds":1.5}""";
    private const double Shortest = 0.1, Longest = 30, Default = 1;

    /// <summary>What the node is reserved for, and the words others see while they wait for it.</summary>
    public string Purpose => Target == Power.On ? "power on" : "power off";

    /// <summary>Reads it from a request, whatever the content type says.</summary>
    /// <exception cref="BadHttpRequestException">It is something else; the message says what.</exception>
    public static async ValueTask<PowerChange> BindAsync(HttpContext context)
    {
        Body? body;
        try
        {
            body = await JsonSerializer.DeserializeAsync<Body>(context.Request.Body, JsonSerializerOptions.Web,
                context.RequestAborted);
        }
        catch (JsonException e)
        {
            string where = e.Path is { Length: > 1 } path ? $" at {path}" : "";
            throw new BadHttpRequestException($"The body is missing or not of the form {Form}{where}.", e);
        }

        Power target = body?.Target switch
        {
            "on" => Power.On,
            "off" => Power.Off,
            _ => throw new BadHttpRequestException($"\"target\" must be \"on\" or \"off\", as in {Form}."),
        };
        double seconds = body.Seconds ?? Default;
        return seconds is >= Shortest and <= Longest
            ? new PowerChange(target, TimeSpan.FromSeconds(seconds))
            : throw new BadHttpRequestException($"\"seconds\" must be from 0.1 to 30, as in {Form}.");
    }

    private sealed record Body(string? Target, double? Seconds);
}
