using Microsoft.EntityFrameworkCore;

namespace NodeLock.Tests.Safety;

/// <summary>A service's context: nodes that are only names, and machines that are rows.</summary>
internal sealed class FleetContext(DbContextOptions<FleetContext> options) : DbContext(options)
{
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Machine>().ToTable("machines")
            .Property(m => m.Id).HasColumnName("id").ValueGeneratedNever();
        modelBuilder.AddNodeLock().AddNodeLock<Machine>();
    }
}

internal sealed class Machine
{
    public int Id { get; set; }
}
