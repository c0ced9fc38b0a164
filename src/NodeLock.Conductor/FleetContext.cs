using System.Globalization;
using Microsoft.EntityFrameworkCore;

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
            node.HasData(Enumerable.Range(1, 20).Select(
                n => new Node { Id = string.Create(CultureInfo.InvariantCulture, $"bm-{n:00}"), Power = Power.Off }));
        });
        modelBuilder.AddNodeLock<Node>();
    }
}
