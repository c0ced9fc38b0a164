using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace NodeLock.Tests.Safety;

/// <summary>What a conductor has logged, from warnings up; also written on, where there is somewhere to
/// write.</summary>
internal sealed class ConductorLog(TextWriter? echo) : ILoggerProvider, ILogger
{
    private readonly ConcurrentQueue<string> warnings = new();

    public IReadOnlyList<string> Warnings => [.. warnings];

    public ILogger CreateLogger(string categoryName) => this;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel))
            return;
        string line = $"{eventId.Id} {formatter(state, exception)} {exception?.Message}";
        warnings.Enqueue(line);
        echo?.WriteLine(line);
    }

    public void Dispose()
    {
    }
}
