using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace NodeLock.ConductorService;

/// <summary>The machines, and NodeLock's tables beside them.</summary>
public sealed class FleetContext(DbContextOptions<FleetContext> options) : DbContext(options)
{
    /// <summary>The machines.</summary>
    public DbSet<Node> Nodes => Set<Node>();

    /// <summary>The latest deployment of each.</summary>
    public DbSet<Deployment> Deployments => Set<Deployment>();

    /// <inheritdoc/>
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Node>(node =>
        {
            node.ToTable("nodes");
            node.Property(n => n.Id).HasColumnName("id").HasMaxLength(Node.MaxIdLength);
            node.Property(n => n.Power).HasColumnName("power").HasMaxLength(3).HasConversion(
                power => power == Power.On ? "on" : "off", text => text == "on" ? Power.On : Power.Off);
            node.Property(n => n.FencingToken).HasColumnName("fencing_token");

            // Seeded by the migration, which runs once however many instances start at the same time.
            node.HasData(Node.Simulated);
        });
        modelBuilder.Entity<Deployment>(deployment =>
        {
            deployment.ToTable("deployments");
            deployment.HasKey(d => d.NodeId);
            deployment.HasOne<Node>().WithOne().HasForeignKey<Deployment>(d => d.NodeId);
            deployment.Property(d => d.NodeId).HasColumnName("node_id").HasMaxLength(Node.MaxIdLength);
            deployment.Property(d => d.Image).HasColumnName("image").HasMaxLength(Deployment.MaxImageLength);
            deployment.Property(d => d.State).HasColumnName("state").HasMaxLength(20).HasConversion<string>();
            deployment.Property(d => d.Progress).HasColumnName("progress");
            deployment.Property(d => d.Since).HasColumnName("since");
            deployment.Property(d => d.FencingToken).HasColumnName("fencing_token");
            deployment.Property(d => d.Outcome).HasColumnName("outcome");
        });
        modelBuilder.AddNodeLock<Node>();
    }
}

/// <summary>Makes the context for <c>dotnet ef migrations add</c>, which needs the model and no database.</summary>
internal sealed class FleetContextFactory : IDesignTimeDbContextFactory<FleetContext>
{
    public FleetContext CreateDbContext(string[] args) =>
        new(new DbContextOptionsBuilder<FleetContext>().UseNpgsql().Options);
}
