using System.Text.Json;

namespace NodeLock.ConductorService;

/// <summary>Reads bodies, and says what is wrong with those that ask for nothing possible.</summary>
internal static class RequestBody
{
    private const double Shortest = 0.1;

    /// <summary>Reads one, whatever the content type says.</summary>
    /// <param name="context">The request.</param>
    /// <param name="form">What a body looks like, for the message.</param>
    /// <exception cref="BadHttpRequestException">It is something else; the message says what.</exception>
    public static async ValueTask<T?> ReadAsync<T>(HttpContext context, string form)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync<T>(context.Request.Body, JsonSerializerOptions.Web,
                context.RequestAborted);
        }
        catch (JsonException e)
        {
            string where = e.Path is { Length: > 1 } path ? $" at {path}" : "";
            throw new BadHttpRequestException($"The body is missing or not of the form {form}{where}.", e);
        }
    }

    /// <summary>How long the simulated machine is to take.</summary>
    /// <exception cref="BadHttpRequestException">It is out of bounds.</exception>
    public static TimeSpan Duration(double seconds, int longest, string form) =>
        seconds >= Shortest && seconds <= longest
            ? TimeSpan.FromSeconds(seconds)
            : throw new BadHttpRequestException($"\"seconds\" must be from 0.1 to {longest}, as in {form}.");
}
