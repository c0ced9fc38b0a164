namespace NodeLock.Tests.Safety;

/// <summary>Tokens to be waited for.</summary>
internal static class Signals
{
    /// <summary>Waits until a token has fired.</summary>
    public static async Task FiredAsync(this CancellationToken token)
    {
        TaskCompletionSource fired = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (token.Register(fired.SetResult)) await fired.Task.WithinLimit();
    }
}
