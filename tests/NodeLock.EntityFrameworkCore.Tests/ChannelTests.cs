using Microsoft.EntityFrameworkCore;
using NodeLock.Tests;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.EntityFrameworkCore.Tests;

/// <summary>Where a kind tells and where it listens are one channel, whatever its table is called.</summary>
public sealed class ChannelTests(PostgresFixture postgres) : IDisposable
{
    private readonly TestDatabase database = new(postgres.Server.ConnectionString);

    public void Dispose() => database.Dispose();

    [Theory]
    [InlineData("nodelock_nodes", "nodelock_nodes")]
    [InlineData("select", "select")]
    [InlineData("Reser'ved \"Nodes\"", "Reser'ved \"Nodes\"")]
    [InlineData("a.b", "a.b")]
    [InlineData("63 bytes and no more are taken of the name of a table, whatever it is", // cut off after "whatever"
        "63 bytes and no more are taken of the name of a table, whatever")]
    [InlineData("the 63rd byte is the first of a character that goes on: 567890äöüß",
        "the 63rd byte is the first of a character that goes on: 567890")]
    public async Task It_is_the_name_of_the_table_as_far_as_the_database_takes_one(string table, string channel)
    {
        using TestContext context = new(m =>
        {
            m.AddNodeLock();
            m.Model.FindEntityType("nodelock_nodes")!.SetTableName(table);
            m.Model.FindEntityType("nodelock_nodes")!.SetSchema("elsewhere");
        });
        ReservationModel model = context.Reservations(KindName.OfNames());
        Task<NpgsqlNotificationEventArgs> heard = NextAsync();

        database.Execute($"listen {model.Channel}");
        database.Execute($"select pg_notify({model.ChannelLiteral}, 'node')");

        Assert.Equal(channel, (await heard.WithinLimit()).Channel);
    }

    private Task<NpgsqlNotificationEventArgs> NextAsync()
    {
        TaskCompletionSource<NpgsqlNotificationEventArgs> heard = new();
        database.Connection.Notification += (_, told) => heard.TrySetResult(told);
        return heard.Task;
    }
}
