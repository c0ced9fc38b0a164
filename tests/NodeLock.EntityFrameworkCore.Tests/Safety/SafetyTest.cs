using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>A test of what must be true, on a real database of its own.</summary>
public abstract class SafetyTest(PostgresFixture postgres) : IAsyncLifetime
{
    private readonly string database = $"safety_{Guid.NewGuid():N}";
    private TestFleet? fleet;

    private protected static TimeSpan Limit => Tests.Eventually.Limit;

    private protected TestFleet Fleet => fleet ?? throw new InvalidOperationException("The test has not begun.");

    public async ValueTask InitializeAsync() =>
        fleet = await TestFleet.CreateAsync(await postgres.Server.CreateDatabaseAsync(database));

    public async ValueTask DisposeAsync()
    {
        if (fleet is not null) await fleet.DisposeAsync();
        await postgres.Server.DropDatabaseAsync(database);
        GC.SuppressFinalize(this);
    }
}
