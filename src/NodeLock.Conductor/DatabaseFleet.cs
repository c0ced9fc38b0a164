using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace NodeLock.ConductorService;

/// <summary>Machines in PostgreSQL, shared by all instances on one database.</summary>
internal sealed class DatabaseFleet(IDbContextFactory<FleetContext> contexts) : IFleet
{
    public string Location
    {
        get
        {
            using FleetContext context = contexts.CreateDbContext();
            NpgsqlConnectionStringBuilder settings = new(context.Database.GetConnectionString());
            return $"PostgreSQL at {settings.Host}:{settings.Port}, database {settings.Database}, which several "
                + "instances may share";
        }
    }

    public async Task<IReadOnlyList<Node>> ListAsync(CancellationToken cancellationToken)
    {
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Nodes.AsNoTracking().OrderBy(node => node.Id).ToListAsync(cancellationToken);
    }

    public async Task<Node> GetAsync(NodeId id, CancellationToken cancellationToken)
    {
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        return await FindAsync(context, id, cancellationToken);
    }

    public async Task SetPowerAsync(TaskScope task, Power power, CancellationToken cancellationToken)
    {
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        await NotePowerAsync(context, task, power, cancellationToken);
        await context.SaveChangesGuardedAsync(task, cancellationToken);
    }

    public async Task<Deployment?> FindDeploymentAsync(NodeId id, CancellationToken cancellationToken)
    {
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Deployments.FindAsync([id.ToString()], cancellationToken);
    }

    public async Task SaveDeploymentAsync(TaskScope task, Deployment deployment, CancellationToken cancellationToken)
    {
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        await NoteAsync(context, deployment, cancellationToken);
        await context.SaveChangesGuardedAsync(task, cancellationToken);
    }

    public async Task EndDeploymentAsync(TaskScope task, Deployment deployment, Power power,
        CancellationToken cancellationToken)
    {
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        await NoteAsync(context, deployment, cancellationToken);
        await NotePowerAsync(context, task, power, cancellationToken);
        await context.SaveChangesAndReleaseAsync(task, cancellationToken);
    }

    public async Task RecordFencedAsync(NodeToFence fenced, CancellationToken cancellationToken)
    {
        // There is no scope to guard this with. Tokens only grow, so one that compares them, and is late because it was
        // paused on the way, changes nothing that was written after another had fenced the node.
        string key = fenced.NodeId.ToString();
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        await context.Nodes.Where(node => node.Id == key && node.FencingToken < fenced.FencingToken)
            .ExecuteUpdateAsync(set => set.SetProperty(node => node.Power, Power.Off)
                .SetProperty(node => node.FencingToken, fenced.FencingToken), cancellationToken);
    }

    private static async Task<Node> FindAsync(FleetContext context, NodeId id, CancellationToken cancellationToken) =>
        await context.Nodes.FindAsync([id.ToString()], cancellationToken)
            ?? throw new NodeNotFoundException(id, "nodes");

    // What these read before the guarded save is still so at the save: nobody else writes what belongs to the node.

    private static async Task NotePowerAsync(FleetContext context, TaskScope task, Power power,
        CancellationToken cancellationToken)
    {
        Node node = await FindAsync(context, task.NodeId, cancellationToken);
        node.Power = power;
        node.FencingToken = task.FencingToken;
    }

    private static async Task NoteAsync(FleetContext context, Deployment deployment,
        CancellationToken cancellationToken)
    {
        if (await context.Deployments.FindAsync([deployment.NodeId], cancellationToken) is { } noted)
            context.Entry(noted).CurrentValues.SetValues(deployment);
        else
            context.Add(deployment);
    }
}
