using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace NodeLock.ConductorService;

/// <summary>The machines, and NodeLock's tables beside them.</summary>
public sealed class FleetContext(DbContextOptions<FleetContext> options) : DbContext(options)
{
    /// <summary>The machines.</summary>
    public DbSet<Node> Nodes => Set<Node>();

    /// <inheritdoc/>
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Node>(node =>
        {
            node.ToTable("nodes");
            node.Property(n => n.Id).HasColumnName("id").HasMaxLength(Node.MaxIdLength);
            node.Property(n => n.Power).HasColumnName("power").HasMaxLength(3).HasConversion(
                power => power == Power.On ? "on" : "off", text => text == "on" ? Power.On : Power.Off);

            // Seeded by the migration, which runs once however many instances start at the same time.
            node.HasData(Node.Simulated);
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
