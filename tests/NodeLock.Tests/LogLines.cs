using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace NodeLock.Tests;

/// <summary>What was logged, in order, for a test to look at.</summary>
internal sealed class LogLines : ILoggerFactory, ILoggerProvider, ILogger
{
    private readonly ConcurrentQueue<LogLine> lines = [];

    public IReadOnlyList<LogLine> All => [.. lines];

    /// <summary>Called for each line; what it throws, logging throws.</summary>
    public Action<LogLine>? Written { get; set; }

    public IReadOnlyList<LogLine> With(int id) => [.. lines.Where(l => l.Id == id)];

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public bool IsEnabled(LogLevel logLevel) => true;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        LogLine line = new(logLevel, eventId.Id, formatter(state, exception), exception);
        lines.Enqueue(line);
        Written?.Invoke(line);
    }

    public void Dispose()
    {
    }
}

internal sealed record LogLine(LogLevel Level, int Id, string Message, Exception? Exception);
