namespace NodeLock.Tests.Safety;

/// <summary>Processes at work on the same nodes, undisturbed, with a counter that nothing else protects.</summary>
internal sealed class Crew : IAsyncDisposable
{
    private readonly List<ConductorProcess> members = [];

    private Crew()
    {
    }

    /// <summary>Everything that they have written.</summary>
    public IEnumerable<string> Lines => members.SelectMany(member => member.Lines);

    /// <summary>In both modes; where a repository or none is broken, exclusively.</summary>
    public static async Task<Crew> StartAsync(Yard yard, int processes, string[] nodes, RepositoryFault? fault = null)
    {
        await Counters.CreateAsync(yard, nodes);
        await Accounts.CreateAsync(yard, nodes);
        WorkOrder mixed = new()
        {
            Nodes = nodes,
            Workers = 3,
            Hold = TimeSpan.FromMilliseconds(6),
            IsGuarded = false,
            IsSaving = false,
        };
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
                    Fault = fault ?? RepositoryFault.None,
                });
                crew.members.Add(member);
                await member.AskAsync(
                    fault is null ? $"work-mixed {mixed}" : $"work-unguarded 3 6 {string.Join(',', nodes)}", "working");
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
