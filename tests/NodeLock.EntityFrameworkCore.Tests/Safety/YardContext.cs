using Microsoft.EntityFrameworkCore;

namespace NodeLock.Tests.Safety;

/// <summary>The user's model in the tests with several conductors: nodes that are names, numbers and Guids.</summary>
internal sealed class YardContext(DbContextOptions<YardContext> options) : DbContext(options)
{
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Machine>().ToTable("machines").Property(m => m.Id).ValueGeneratedNever();
        modelBuilder.Entity<Rack>().ToTable("racks").Property(r => r.Id).ValueGeneratedNever();
        modelBuilder.AddNodeLock().AddNodeLock<Machine>().AddNodeLock<Rack>();
    }

    internal sealed class Machine
    {
        public int Id { get; set; }
    }

    internal sealed class Rack
    {
        public Guid Id { get; set; }
    }
}
