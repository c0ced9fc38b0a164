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
        string key = id.ToString();
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        return await context.Nodes.AsNoTracking().SingleOrDefaultAsync(node => node.Id == key, cancellationToken)
            ?? throw new NodeNotFoundException(id, "nodes");
    }

    public async Task SetPowerAsync(NodeId id, Power power, CancellationToken cancellationToken)
    {
        string key = id.ToString();
        await using FleetContext context = await contexts.CreateDbContextAsync(cancellationToken);
        int changed = await context.Nodes.Where(node => node.Id == key)
            .ExecuteUpdateAsync(set => set.SetProperty(node => node.Power, power), cancellationToken);
        if (changed == 0) throw new NodeNotFoundException(id, "nodes");
    }
}
