using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>
/// Holds up the commit of grants at the server: the reserve has decided, and its answer waits behind a lock of another
/// session. (Waiting for the row itself is bounded to 250 ms.)
/// </summary>
internal sealed class HeldUpGrants : IAsyncDisposable
{
    private readonly NpgsqlConnection session;

    private HeldUpGrants(NpgsqlConnection session) => this.session = session;

    /// <summary>From now on grants for this purpose are held up.</summary>
    public static async Task<HeldUpGrants> BeginAsync(TestFleet fleet, string purpose)
    {
        await fleet.ExecuteAsync($"""
            create function hold_up() returns trigger language plpgsql set lock_timeout = 0 as $$
            begin
              perform pg_advisory_xact_lock_shared(42);
              return null;
            end $$;
            create constraint trigger hold_up after update on nodelock_nodes deferrable initially deferred
              for each row when (new.reservation_purpose = '{purpose}') execute function hold_up();
            """);
        NpgsqlConnection holder = await fleet.OpenAsync();
        await new NpgsqlCommand("select pg_advisory_lock(42)", holder).ExecuteNonQueryAsync();
        return new HeldUpGrants(holder);
    }

    /// <summary>Waits until a grant is held up.</summary>
    public static Task ReachedAsync(TestFleet fleet) => fleet.UntilAsync(
        "select exists (select from pg_locks where locktype = 'advisory' and objid = 42 and not granted)");

    /// <summary>Lets the grants go on.</summary>
    public async ValueTask DisposeAsync()
    {
        await using (session)
            await new NpgsqlCommand("select pg_advisory_unlock_all()", session).ExecuteNonQueryAsync();
    }
}
