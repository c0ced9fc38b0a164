using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>
/// A commit whose synchronous standby the server stopped waiting for may be gone after a failover: it counts as
/// unknown. No standby ever comes here; commits that are made to wait for it do so until they are cancelled.
/// </summary>
public sealed class ReplicationTests : IAsyncLifetime
{
    private static readonly NodeId Node = new("replicated");

    private PrivateCluster? cluster;
    private TestFleet? fleet;

    private TestFleet Fleet => fleet ?? throw new InvalidOperationException("The test has not begun.");

    public async ValueTask InitializeAsync()
    {
        cluster = await PrivateCluster.StartNewAsync(
            ("synchronous_standby_names", "nobody"), ("synchronous_commit", "local"));
        fleet = await TestFleet.CreateAsync(await cluster.CreateDatabaseAsync("replication"));
        await fleet.ExecuteAsync("""
            create function wait_for_standby() returns trigger language plpgsql as $$
            begin
              perform set_config('synchronous_commit', 'on', true);
              return null;
            end $$;
            """);
    }

    public async ValueTask DisposeAsync()
    {
        if (fleet is not null)
        {
            await fleet.ExecuteAsync("drop function wait_for_standby cascade");
            await fleet.DisposeAsync();
        }

        if (cluster is not null) await cluster.DisposeAsync();
    }

    [Fact]
    public async Task A_reserve_that_was_not_replicated_is_unknown_and_the_next_one_names_its_token()
    {
        TestConductor a = await Fleet.StartAsync();
        await Fleet.ExecuteAsync("""
            create constraint trigger wait_for_standby after update on nodelock_nodes deferrable initially deferred
              for each row when (new.reservation_purpose = 'replicated') execute function wait_for_standby();
            """);

        Task<TaskScope> acquire = a.AcquireOnceAsync(Node, "replicated");
        await CancelOneWaitAsync();
        NpgsqlException unknown = await Assert.ThrowsAnyAsync<NpgsqlException>(() => acquire);
        await using TaskScope task = await a.AcquireOnceAsync(Node, "local");

        Assert.Contains("synchronous replication", unknown.Message, StringComparison.Ordinal);
        Assert.Equal(task.FencingToken, await Fleet.TokenOfAsync(Node));
    }

    [Fact]
    public async Task Renewals_that_were_not_replicated_do_not_prolong_the_trust()
    {
        TestConductor a = await Fleet.StartAsync(new ConductorSetup { Options = ConductorSetup.Hurried });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("""
            create constraint trigger wait_for_standby after update on nodelock_conductors
              deferrable initially deferred for each row execute function wait_for_standby();
            """);

        for (Task lost = task.Lost.FiredAsync(); !lost.IsCompleted;) await CancelOneWaitAsync(lost);

        Assert.Throws<ReservationLostException>(task.EnsureHeld);
    }

    [Fact]
    public async Task A_guarded_save_that_was_not_replicated_is_not_reported_as_saved()
    {
        TestConductor a = await Fleet.StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        await Fleet.ExecuteAsync("""
            create constraint trigger wait_for_standby after insert on machines deferrable initially deferred
              for each row execute function wait_for_standby();
            """);
        await using FleetContext context = new(
            new DbContextOptionsBuilder<FleetContext>().UseNpgsql(Fleet.ConnectionString).Options);
        context.Add(new Machine { Id = 1 });

        Task<int> save = context.SaveChangesGuardedAsync(task);
        await CancelOneWaitAsync();
        InvalidOperationException unknown = await Assert.ThrowsAsync<InvalidOperationException>(() => save);

        Assert.Contains("unknown", unknown.Message, StringComparison.Ordinal);
        Assert.Contains("synchronous replication", unknown.InnerException?.Message, StringComparison.Ordinal);
        Assert.Equal(EntityState.Added, context.ChangeTracker.Entries().Single().State);
    }

    [Fact]
    public async Task Any_other_warning_changes_nothing()
    {
        TestConductor a = await Fleet.StartAsync();
        await Fleet.ExecuteAsync("""
            create function warn() returns trigger language plpgsql as $$
            begin
              raise warning 'The database must be vacuumed.';
              return null;
            end $$;
            create trigger warn after update on nodelock_nodes for each row execute function warn();
            """);

        await using TaskScope task = await a.AcquireOnceAsync(Node);

        task.EnsureHeld();
    }

    /// <summary>Waits until some commit waits for its standby, and ends that wait; or until something else is
    /// over.</summary>
    private async Task CancelOneWaitAsync(Task? orUntil = null)
    {
        const string Cancel = """
            select count(pg_cancel_backend(pid)) > 0 from pg_stat_activity
            where wait_event = 'SyncRep' and datname = current_database()
            """;
        long began = TimeProvider.System.GetTimestamp();
        while (orUntil?.IsCompleted != true && await Fleet.ScalarAsync(Cancel) is not true)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Tests.Eventually.Limit, "No commit waits.");
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }
    }
}
