using Microsoft.Extensions.Logging;

namespace NodeLock;

/// <summary>
/// A log that does not throw. A sink that fails or is closed already must not cost a caller the scope that was just
/// granted, nor end the process from a thread that nobody waits for.
/// </summary>
internal sealed class QuietLogger(ILogger log) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => log.IsEnabled(logLevel);

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        try
        {
            log.Log(logLevel, eventId, state, exception, formatter);
        }
        catch (Exception)
        {
            // There is no log left to tell.
        }
    }
}
