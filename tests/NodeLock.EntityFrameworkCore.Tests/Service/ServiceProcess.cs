using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Service;

/// <summary>An instance of the service as an operator runs it: a process of its own, with a port of its own.</summary>
internal sealed class ServiceProcess : IAsyncDisposable
{
    private const string Listening = "      Now listening on: ";
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);

    private readonly ChildProcess process;

    private ServiceProcess(ChildProcess process, Uri address)
    {
        this.process = process;
        Client = new HttpClient { BaseAddress = address, Timeout = TimeSpan.FromMinutes(1) };
    }

    public HttpClient Client { get; }

    public string Log => process.Log;

    /// <param name="name">The conductor's name.</param>
    /// <param name="connectionString">Leads to the database that the instances share.</param>
    /// <param name="settings">Environment variables, such as <c>NodeLock__LeaseDuration=00:00:03</c>.</param>
    public static async Task<ServiceProcess> StartAsync(string name, string connectionString, params string[] settings)
    {
        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        string service = Path.Combine(AppContext.BaseDirectory, "NodeLock.Conductor.dll");
        ChildProcess child = await ChildProcess.StartAsync("env",
            [$"ConnectionStrings__NodeLock={connectionString}", $"NodeLock__ConductorName={name}", .. settings,
            host, service, "--urls", "http://127.0.0.1:0", "--contentRoot", AppContext.BaseDirectory]);
        try
        {
            string line = await child.ReadLineAsync(Listening, StartLimit);
            return new ServiceProcess(child, new Uri(line[Listening.Length..]));
        }
        catch
        {
            await child.DisposeAsync();
            throw;
        }
    }

    public void Signal(ChildSignal signal) => process.Signal(signal);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await process.DisposeAsync();
    }
}
