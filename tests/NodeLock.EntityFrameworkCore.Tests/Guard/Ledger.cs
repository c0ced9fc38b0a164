using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql.EntityFrameworkCore.PostgreSQL.Infrastructure;

namespace NodeLock.Tests.Guard;

/// <summary>A user's context on the database of the reservations, with no NodeLock in its model.</summary>
internal sealed class Ledger(DbContextOptions<Ledger> options) : DbContext(options)
{
    public DbSet<Entry> Entries => Set<Entry>();

    public static Ledger Open(string connectionString, Action<NpgsqlDbContextOptionsBuilder>? npgsql = null,
        params IInterceptor[] interceptors) => new(new DbContextOptionsBuilder<Ledger>()
            .UseNpgsql(connectionString, npgsql ?? (_ => { })).AddInterceptors(interceptors).Options);

    /// <summary>With an entry that is not saved yet.</summary>
    public Ledger With(string text)
    {
        Entries.Add(new Entry { Text = text });
        return this;
    }

    /// <summary>What the context believes of its one entry.</summary>
    public EntityState State => ChangeTracker.Entries().Single().State;

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.Entity<Entry>(entry =>
    {
        entry.ToTable("entries");
        entry.Property(e => e.Id).HasColumnName("id").UseIdentityByDefaultColumn();
        entry.Property(e => e.Text).HasColumnName("text");
    });
}

internal sealed class Entry
{
    public long Id { get; set; }

    public required string Text { get; set; }
}
