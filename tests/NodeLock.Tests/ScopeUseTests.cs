using Xunit;

namespace NodeLock.Tests;

/// <summary>One change of a scope at a time, one end, and whoever is last makes it.</summary>
public sealed class ScopeUseTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly ScopeUse use = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public void An_idle_scope_is_ended_by_its_first_dispose()
    {
        Assert.True(use.TrySpend());
        Assert.False(use.TrySpend());
        Assert.True(use.IsOver);
        Assert.False(use.TryBeginChange(null));
    }

    [Fact]
    public void One_that_is_disposed_while_it_is_changed_is_ended_by_whoever_changes_it()
    {
        using CancellationTokenSource ends = new();
        Assert.True(use.TryBeginChange(ends));
        Assert.False(use.TryBeginChange(null));

        Assert.False(use.TrySpend());

        Assert.True(use.IsOver);
        Assert.True(ends.IsCancellationRequested);
        Assert.False(use.TrySpend());
        Assert.True(use.EndChange());
        Assert.False(use.EndChange());
        Assert.True(use.IsOver);
    }

    [Fact]
    public void A_change_that_nobody_disposed_meanwhile_leaves_the_scope_idle()
    {
        Assert.True(use.TryBeginChange(null));
        Assert.False(use.EndChange());

        Assert.False(use.IsOver);
        Assert.True(use.TryBeginChange(null));
    }

    [Fact]
    public void A_change_that_gave_the_reservation_away_leaves_nothing_to_end()
    {
        Assert.True(use.TryBeginChange(null));
        Assert.False(use.TrySpend());
        use.Spend();

        Assert.False(use.EndChange());
        Assert.False(use.TrySpend());
        Assert.True(use.IsOver);
    }

    [Fact]
    public async Task However_changes_and_disposes_meet_exactly_one_ends_the_scope()
    {
        for (int i = 0; i < 2000; i++)
        {
            ScopeUse raced = new();
            int ended = 0;
            using Barrier together = new(3);
            await Task.WhenAll(Task.Run(Change), Task.Run(Spend), Task.Run(Spend)).WithinLimit();
            Assert.Equal(1, ended);

            void Change()
            {
                using CancellationTokenSource ends = new();
                together.SignalAndWait();
                if (raced.TryBeginChange(ends) && raced.EndChange()) Interlocked.Increment(ref ended);
            }

            void Spend()
            {
                together.SignalAndWait();
                if (raced.TrySpend()) Interlocked.Increment(ref ended);
            }
        }
    }

    [Fact]
    public async Task Of_two_changes_at_once_the_second_is_refused_and_the_first_goes_on()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);
        TaskCompletionSource answered = world.Way.HoldAnswers();
        Task downgrade = task.DowngradeAsync().AsTask();

        InvalidOperationException e = await Assert.ThrowsAsync<InvalidOperationException>(
            () => task.UpgradeAsync("write").WithinLimit());

        Assert.Contains("Another change of the scope of node 1", e.Message);
        answered.SetResult();
        await downgrade.WithinLimit();
        world.Way.OnReserve = null;
        await task.UpgradeAsync("write");
        task.EnsureExclusive();
    }

    [Fact]
    public async Task EnsureExclusive_says_what_to_call_when_the_scope_is_shared()
    {
        TaskScope task = await World.ReadAsync(world.Manager, "reading");

        string message = Assert.Throws<InvalidOperationException>(task.EnsureExclusive).Message;

        Assert.Contains("Node 1 is only shared, for \"reading\"", message);
        Assert.Contains("UpgradeAsync", message);
        await task.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(task.EnsureExclusive);
    }

    [Fact]
    public async Task EnsureExclusive_says_that_it_is_lost_before_anything_else()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(55));

        Assert.Throws<ReservationLostException>(task.EnsureExclusive);
        await task.DisposeAsync();
    }
}
