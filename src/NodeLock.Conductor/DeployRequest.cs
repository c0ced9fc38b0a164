namespace NodeLock.ConductorService;

/// <summary>The body of a request to deploy: <c>{"image":"debian-13","seconds":4}</c>.</summary>
/// <param name="Image">What is written to the machine.</param>
/// <param name="Takes">How long the simulated machine takes for all of it.</param>
internal sealed record DeployRequest(string Image, TimeSpan Takes)
{
    private const string Form = """{"image":"debian-13","seconds":4}""";
    private const int Longest = 60, Default = 4;

    /// <summary>What the node is reserved for, and the words others see while they wait for it.</summary>
    public string Purpose => $"deploy {Image}";

    /// <summary>Reads it from a request.</summary>
    /// <exception cref="BadHttpRequestException">It is something else; the message says what.</exception>
    public static async ValueTask<DeployRequest> BindAsync(HttpContext context)
    {
        Body? body = await RequestBody.ReadAsync<Body>(context, Form);
        return body?.Image is { Length: > 0 and <= Deployment.MaxImageLength } image && image.All(IsInName)
            ? new DeployRequest(image, RequestBody.Duration(body.Seconds ?? Default, Longest, Form))
            : throw new BadHttpRequestException($"\"image\" must be a name of up to {Deployment.MaxImageLength} "
                + $"letters, digits, dots, dashes and underscores, as in {Form}.");
    }

    private static bool IsInName(char c) => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_';

    private sealed record Body(string? Image, double? Seconds);
}
