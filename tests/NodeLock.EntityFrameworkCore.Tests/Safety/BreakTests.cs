using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Guard;
using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>O1: what an operator takes away from a living holder is gone at once, and the holder learns within a
/// heartbeat.</summary>
public sealed class BreakTests(PostgresFixture postgres) : GuardTest(postgres)
{
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(2);

    // The heartbeat that looks has to begin, and to end, on a busy machine.
    private static readonly TimeSpan InTime = Heartbeat + TimeSpan.FromSeconds(1);

    private static ConductorSetup Setup { get; } = new() { Options = o => o.HeartbeatInterval = Heartbeat };

    [Fact]
    public async Task What_a_living_holder_had_is_anothers_at_once_and_the_holder_learns_within_a_heartbeat()
    {
        TestConductor a = await StartAsync(Setup);
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope task = await a.AcquireOnceAsync(Node);

        long began = Stopwatch.GetTimestamp();
        Assert.True(await b.Manager.BreakAsync(Node, task.FencingToken, "a hangs"));
        await using TaskScope taken = await b.AcquireOnceAsync(Node);
        await task.Lost.FiredAsync();

        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, InTime);
        Assert.Throws<ReservationLostException>(task.EnsureHeld);
        Assert.True(taken.FencingToken > task.FencingToken);
        await task.DisposeAsync();
        taken.EnsureHeld();
        Assert.Equal(b.Holder, await Fleet.HolderOfAsync(Node));
        Assert.Single(b.Log.With(16));
    }

    /// <summary>Nothing is written, and no other holder is needed for that: the token alone is worthless.</summary>
    [Fact]
    public async Task A_guarded_write_of_the_broken_holder_is_refused_before_anybody_else_has_the_node()
    {
        TestConductor a = await StartAsync();
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope task = await a.AcquireOnceAsync(Node);
        Assert.True(await b.Manager.BreakAsync(Node, task.FencingToken, "a hangs"));
        Assert.False(task.Lost.IsCancellationRequested); // its next heartbeat is far away

        await using Ledger ledger = Open().With("written by a loser");
        await Assert.ThrowsAsync<ReservationLostException>(() => ledger.SaveChangesGuardedAsync(task));

        await LostAsync(task, "");
        Assert.Null(await SavedAsync());
        Assert.Null(await Fleet.HolderOfAsync(Node));
    }

    [Fact]
    public async Task The_holders_own_process_learns_at_once()
    {
        TestConductor a = await StartAsync();
        await using TaskScope task = await a.AcquireOnceAsync(Node);

        Assert.True(await a.Manager.BreakAsync(Node, task.FencingToken, "I hang"));

        await LostAsync(task, "I hang");
    }

    [Fact]
    public async Task A_token_that_has_moved_on_breaks_nothing()
    {
        TestConductor a = await StartAsync(Setup);
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        long stale;
        await using (TaskScope before = await a.AcquireOnceAsync(Node)) stale = before.FencingToken;
        Assert.False(await b.Manager.BreakAsync(Node, stale, "too late")); // free now, with this token still
        await using TaskScope task = await a.AcquireOnceAsync(Node);

        Assert.False(await b.Manager.BreakAsync(Node, stale, "too late"));
        Assert.False(await b.Manager.BreakAsync(Node, task.FencingToken + 1, "too early"));
        Assert.False(await b.Manager.BreakAsync(Node, a.Holder, "it does not share"));

        await using Ledger ledger = Open().With("written");
        await ledger.SaveChangesGuardedAsync(task);
        Assert.Equal((a.Holder, task.FencingToken), (await Fleet.HolderOfAsync(Node), await Fleet.TokenOfAsync(Node)));
        task.EnsureHeld();
    }

    [Fact]
    public async Task A_sharer_is_broken_by_its_holder_and_the_others_stay()
    {
        TestConductor a = await StartAsync(Setup);
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope first = await a.ShareOnceAsync(Node);
        await using TaskScope second = await a.ShareOnceAsync(Node);
        await using TaskScope other = await b.ShareOnceAsync(Node);

        long began = Stopwatch.GetTimestamp();
        Assert.False(await b.Manager.BreakAsync(Node, first.FencingToken, "a stamp is no token"));
        Assert.True(await b.Manager.BreakAsync(Node, a.Holder, "a hangs"));
        Assert.Equal([$"{b.Holder} {other.FencingToken}"], await Fleet.SharersOfAsync(Node));
        await first.Lost.FiredAsync();
        await second.Lost.FiredAsync();

        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, InTime);
        Assert.False(await b.Manager.BreakAsync(Node, a.Holder, "a hangs"));
        other.EnsureHeld();
        await first.DisposeAsync();
        await second.DisposeAsync(); // until then a lost scope keeps its place, and nobody here joins what is gone
        await using TaskScope again = await a.SharePatientlyAsync(Node);
        again.EnsureHeld();
    }

    [Fact]
    public async Task What_shares_or_changes_its_mode_is_lost_as_well_once_it_was_broken()
    {
        TestConductor a = await StartAsync();
        TestConductor b = await StartAsync(new ConductorSetup { Name = "b" });
        await using TaskScope shared = await a.ShareOnceAsync(Node);
        Assert.True(await b.Manager.BreakAsync(Node, a.Holder, "a hangs"));
        await Assert.ThrowsAsync<ReservationLostException>(() => shared.UpgradeAsync("write").AsTask());
        await shared.DisposeAsync();

        await using TaskScope exclusive = await a.AcquirePatientlyAsync(Node);
        Assert.True(await b.Manager.BreakAsync(Node, exclusive.FencingToken, "a hangs"));
        await Assert.ThrowsAsync<ReservationLostException>(() => exclusive.DowngradeAsync().AsTask());

        await Fleet.FreeAsync(Node);
    }
}
