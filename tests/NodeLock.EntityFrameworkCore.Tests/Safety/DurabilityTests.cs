using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>What must outlive a crash waits for the disk, and a release does not; of each statement alone, see
/// <see cref="ReleaseSqlTests"/>.</summary>
public sealed class DurabilityTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("durable");

    [Fact]
    public async Task Tokens_registrations_renewals_and_deaths_are_durable_where_the_default_is_not()
    {
        await ByDefaultAsync("synchronous_commit", "off");
        await Fleet.ExecuteAsync("""
            insert into nodelock_conductors (holder, kind, name, state, started_at, heartbeat_at, expires_at)
            values ('stale/1', 'nodelock_nodes', 'stale', 'alive', now(), now(), now())
            """);
        await Fleet.ExecuteAsync("""
            create table commits (what text, synchronous text);
            create function note() returns trigger language plpgsql as $$
            begin
              insert into commits values (
                case when tg_table_name = 'nodelock_nodes'
                  then case when to_jsonb(new) ->> 'reservation' is null then 'release' else 'reserve' end
                  else case when tg_op = 'INSERT' then 'register'
                    when to_jsonb(new) ->> 'state' = 'alive' then 'renew' else to_jsonb(new) ->> 'state' end
                end, current_setting('synchronous_commit'));
              return null;
            end $$;
            create constraint trigger note after update on nodelock_nodes deferrable initially deferred
              for each row execute function note();
            create constraint trigger note after insert or update on nodelock_conductors deferrable initially deferred
              for each row execute function note();
            """);
        ConductorSetup hurried = new() { Options = ConductorSetup.Hurried };
        await Fleet.StartAsync(hurried);
        await Fleet.UntilAsync("select exists (select from commits where what = 'fenced')");

        Assert.Equal("fenced on, register on, release off, renew on, reserve on",
            await Fleet.ScalarAsync("""
                select string_agg(distinct what || ' ' || synchronous, ', ' order by what || ' ' || synchronous)
                from commits where what <> 'left'
                """));
    }

    [Theory]
    [InlineData("local")]
    [InlineData("remote_apply")]
    public async Task A_default_that_waits_for_the_disk_is_left_as_it_is_but_for_a_release(string setting)
    {
        await ByDefaultAsync("synchronous_commit", setting);
        await Fleet.ExecuteAsync("""
            create table commits (what text);
            create function note() returns trigger language plpgsql as $$
            begin
              insert into commits values (case when new.reservation is null then 'release ' else 'reserve ' end
                || current_setting('synchronous_commit'));
              return null;
            end $$;
            create constraint trigger note after update on nodelock_nodes deferrable initially deferred
              for each row execute function note();
            """);

        await Fleet.StartAsync();

        Assert.Equal($"release off, reserve {setting}",
            await Fleet.ScalarAsync("select string_agg(distinct what, ', ' order by what) from commits"));
    }

    private async Task ByDefaultAsync(string setting, string value)
    {
        string database = new NpgsqlConnectionStringBuilder(Fleet.ConnectionString).Database!;
        await Fleet.ExecuteAsync($"alter database {database} set {setting} = '{value}'");
        await using NpgsqlConnection connection = new(Fleet.ConnectionString);
        NpgsqlConnection.ClearPool(connection); // the sessions it has began with the old default
    }
}
