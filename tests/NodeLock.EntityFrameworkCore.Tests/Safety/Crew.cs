namespace NodeLock.Tests.Safety;

/// <summary>A few processes at work on the same nodes, undisturbed, with a counter that nothing else
/// protects.</summary>
internal sealed class Crew : IAsyncDisposable
{
    private readonly List<ConductorProcess> members = [];

    private Crew()
    {
    }

    /// <summary>Everything that they have written.</summary>
    public IEnumerable<string> Lines => members.SelectMany(member => member.Lines);

    public static async Task<Crew> StartAsync(Yard yard, int processes, RepositoryFault fault, string[] nodes)
    {
        await Counters.CreateAsync(yard, nodes);
        Crew crew = new();
        try
        {
            for (int i = 0; i < processes; i++)
            {
                ConductorProcess member = await ConductorProcess.StartAsync(new ConductorSettings
                {
                    ConnectionString = yard.ConnectionString,
                    Name = $"crew{i}",
                    Lease = TimeSpan.FromSeconds(10),
                    Heartbeat = TimeSpan.FromSeconds(1),
                    Fault = fault,
                });
                crew.members.Add(member);
                await member.AskAsync($"work-unguarded 3 6 {string.Join(',', nodes)}", "working");
            }

            return crew;
        }
        catch
        {
            await crew.DisposeAsync();
            throw;
        }
    }

    public async Task RestAsync()
    {
        foreach (ConductorProcess member in members)
            await member.RestAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ConductorProcess member in members)
            await member.DisposeAsync();
    }
}
