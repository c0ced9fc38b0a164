namespace NodeLock.ConductorService;

/// <summary>The body of a power request: <c>{"target":"on","seconds":1.5}</c>.</summary>
/// <param name="Target">What the machine is to be.</param>
/// <param name="Takes">How long the simulated machine takes for it.</param>
internal sealed record PowerChange(Power Target, TimeSpan Takes)
{
    private const string Form = """{"target":"on","seconds":1.5}""";
    private const int Longest = 30, Default = 1;

    /// <summary>What the node is reserved for, and the words others see while they wait for it.</summary>
    public string Purpose => Target == Power.On ? "power on" : "power off";

    /// <summary>Reads it from a request.</summary>
    /// <exception cref="BadHttpRequestException">It is something else; the message says what.</exception>
    public static async ValueTask<PowerChange> BindAsync(HttpContext context)
    {
        Body? body = await RequestBody.ReadAsync<Body>(context, Form);
        Power target = body?.Target switch
        {
            "on" => Power.On,
            "off" => Power.Off,
            _ => throw new BadHttpRequestException($"\"target\" must be \"on\" or \"off\", as in {Form}."),
        };
        return new PowerChange(target, RequestBody.Duration(body.Seconds ?? Default, Longest, Form));
    }

    private sealed record Body(string? Target, double? Seconds);
}
