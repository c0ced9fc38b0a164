using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>A statement that the server gave up for the sake of others has changed nothing and is asked again.</summary>
public sealed class RepeatedStatementTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("contended");

    [Theory]
    [InlineData("40P01")]
    [InlineData("40001")]
    public async Task What_ended_in_a_deadlock_or_a_conflict_is_asked_again_at_once(string sqlState)
    {
        TestConductor a = await Fleet.StartAsync();
        await (await a.AcquireOnceAsync(Node)).DisposeAsync();
        await FailFirstAsync(times: 2, sqlState);

        await using TaskScope task = await a.AcquireOnceAsync(Node);

        task.EnsureHeld();
        Assert.Equal(3L, await Fleet.ScalarAsync("select last_value from attempts"));
    }

    [Fact]
    public async Task What_ends_so_for_ever_is_the_providers_own_exception()
    {
        TestConductor a = await Fleet.StartAsync();
        await (await a.AcquireOnceAsync(Node)).DisposeAsync();
        await FailFirstAsync(times: 1000, "40P01");

        PostgresException e = await Assert.ThrowsAsync<PostgresException>(() => a.AcquireOnceAsync(Node));

        Assert.Equal("40P01", e.SqlState);
    }

    /// <summary>By a trigger that counts with a sequence, which no rollback undoes.</summary>
    private Task FailFirstAsync(int times, string sqlState) => Fleet.ExecuteAsync($"""
        create sequence attempts;
        create function fail() returns trigger language plpgsql as $$
        begin
          if new.reservation is not null and nextval('attempts') <= {times} then
            raise exception 'given up' using errcode = '{sqlState}';
          end if;
          return new;
        end $$;
        create trigger fail before update on nodelock_nodes for each row execute function fail();
        """);
}
