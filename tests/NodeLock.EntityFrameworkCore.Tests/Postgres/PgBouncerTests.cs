using Npgsql;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class PgBouncerTests(PostgresFixture postgres)
{
    [Fact]
    public async Task Transactions_of_many_clients_share_few_sessions()
    {
        string direct = await postgres.Server.CreateDatabaseAsync("bouncer");
        await using (PgBouncer bouncer = await PgBouncer.StartNewAsync(direct, poolSize: 1))
        {
            await using var one = new NpgsqlConnection(bouncer.ConnectionString);
            await using var other = new NpgsqlConnection(bouncer.ConnectionString);
            await one.OpenAsync();
            await other.OpenAsync();

            Assert.Equal(await SessionAsync(one), await SessionAsync(other));
        }

        await postgres.Server.DropDatabaseAsync("bouncer");
    }

    [Fact]
    public async Task Nothing_listens_after_a_bouncer_was_disposed()
    {
        PgBouncer bouncer = await PgBouncer.StartNewAsync(postgres.Server.ConnectionString);
        await bouncer.DisposeAsync();

        await using var connection = new NpgsqlConnection(bouncer.ConnectionString);
        await Assert.ThrowsAsync<NpgsqlException>(() => connection.OpenAsync());
    }

    private static async Task<object?> SessionAsync(NpgsqlConnection connection)
    {
        await using var command = new NpgsqlCommand("SELECT pg_backend_pid()", connection);
        return await command.ExecuteScalarAsync();
    }
}
