using Microsoft.EntityFrameworkCore;

namespace NodeLock.EntityFrameworkCore.Tests;

/// <summary>A user's context, whose model and conventions are what a test says.</summary>
internal sealed class TestContext(
    Action<ModelBuilder> build,
    Action<ModelConfigurationBuilder>? conventions = null,
    string connectionString = "Host=127.0.0.1") : DbContext
{
    public ReservationModel Reservations(KindName kind) => ReservationModel.Of(this, kind);

    protected override void OnConfiguring(DbContextOptionsBuilder optionsBuilder) => optionsBuilder
        .UseNpgsql(connectionString)
        .EnableServiceProviderCaching(false); // a model is otherwise built once for a class of contexts

    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder) =>
        conventions?.Invoke(configurationBuilder);

    protected override void OnModelCreating(ModelBuilder modelBuilder) => build(modelBuilder);
}

internal sealed class Server
{
    public Guid Id { get; set; }
}

internal sealed class BareMetalNode
{
    public required string Id { get; set; }
}

internal sealed class VMImage
{
    public int Id { get; set; }
}

internal sealed class Tenant
{
    public long Id { get; set; }
}

internal readonly record struct DeviceId(Guid Value);

internal sealed class Device
{
    public DeviceId Id { get; set; }
}
