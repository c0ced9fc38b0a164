using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>What must outlive a crash waits for the disk; what the server did not wait for counts as unknown.</summary>
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
    public async Task A_default_that_waits_for_the_disk_is_left_as_it_is(string setting)
    {
        await ByDefaultAsync("synchronous_commit", setting);
        await Fleet.ExecuteAsync("""
            create table commits (synchronous text);
            create function note() returns trigger language plpgsql as $$
            begin
              insert into commits values (current_setting('synchronous_commit'));
              return null;
            end $$;
            create constraint trigger note after update on nodelock_nodes deferrable initially deferred
              for each row execute function note();
            """);

        await Fleet.StartAsync();

        Assert.Equal(setting, await Fleet.ScalarAsync("select string_agg(distinct synchronous, ', ') from commits"));
    }

    /// <summary>
    /// With such a warning (01000) a server confirms a commit for whose synchronous standby it did not wait.
    /// </summary>
    [Fact]
    public async Task A_reserve_with_a_warning_is_unknown_and_the_next_one_names_its_token()
    {
        TestConductor a = await Fleet.StartAsync();
        await Fleet.ExecuteAsync("""
            create function warn() returns trigger language plpgsql as $$
            begin
              raise warning 'The transaction has already committed locally, but might not have been replicated.';
              return null;
            end $$;
            create constraint trigger warn after update on nodelock_nodes deferrable initially deferred
              for each row when (new.reservation_purpose = 'warned') execute function warn();
            """);

        NpgsqlException unknown =
            await Assert.ThrowsAnyAsync<NpgsqlException>(() => a.AcquireOnceAsync(Node, "warned"));
        await using TaskScope task = await a.AcquireOnceAsync(Node, "not warned");

        Assert.Contains("might not have been replicated", unknown.Message, StringComparison.Ordinal);
        Assert.Equal(task.FencingToken, await Fleet.TokenOfAsync(Node));
    }

    [Fact]
    public async Task A_renewal_with_a_warning_does_not_prolong_the_trust()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("""
            create function warn() returns trigger language plpgsql as $$
            begin
              raise warning 'not replicated';
              return null;
            end $$;
            create constraint trigger warn after update on nodelock_conductors deferrable initially deferred
              for each row execute function warn();
            """);

        await task.Lost.FiredAsync();

        Assert.Throws<ReservationLostException>(task.EnsureHeld);
    }

    private async Task ByDefaultAsync(string setting, string value)
    {
        string database = new NpgsqlConnectionStringBuilder(Fleet.ConnectionString).Database!;
        await Fleet.ExecuteAsync($"alter database {database} set {setting} = '{value}'");
        await using NpgsqlConnection connection = new(Fleet.ConnectionString);
        NpgsqlConnection.ClearPool(connection); // the sessions it has began with the old default
    }
}
