using System.Collections.Concurrent;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.Extensions.Logging;

namespace NodeLock.Tests.Service;

/// <summary>The service as it is without a database, in this process.</summary>
internal sealed class ServiceInMemory(params (string Key, string Value)[] settings) : WebApplicationFactory<Program>
{
    private readonly LogLines log = new();

    /// <summary>What it has logged so far.</summary>
    public IReadOnlyCollection<string> Log => log.Lines;

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        builder.UseSetting("NodeLock:ConductorName", "alpha");
        builder.UseSetting("Logging:LogLevel:NodeLock", "Debug");
        foreach ((string key, string value) in settings) builder.UseSetting(key, value);
        builder.ConfigureLogging(logging => logging.ClearProviders().AddProvider(log));
    }

    private sealed class LogLines : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) => Lines.Enqueue(formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
