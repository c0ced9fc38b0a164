using Xunit;

namespace NodeLock.Tests;

/// <summary>A shared scope becomes exclusive with no gap in which anybody else could write.</summary>
public sealed class UpgradeTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly TaskManager other;

    public UpgradeTests() => other = world.NewManager();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task The_only_one_who_shares_is_upgraded_at_once_with_a_new_token_and_the_new_purpose()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        long stamp = task.FencingToken;

        await task.UpgradeAsync("write");

        Assert.Equal((ReservationMode.Exclusive, "write"), (task.Mode, task.Purpose));
        Assert.True(task.FencingToken > stamp);
        Reservation? found = await world.FindAsync(1);
        Assert.Equal((ReservationMode.Exclusive, "write", task.FencingToken, task.ReservedAt),
            (found?.Mode, found?.Purpose, found?.FencingToken, found?.ReservedAt));
        task.EnsureExclusive();
        Assert.Null(await other.TryAcquireAsync(1, "beside", ReservationMode.Shared));
        Assert.Single(world.Log.With(12));
        world.Pass(TimeSpan.FromSeconds(30));
        task.EnsureExclusive();
    }

    [Fact]
    public async Task Without_a_purpose_it_keeps_the_one_it_has()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager, "both");

        await task.UpgradeAsync();

        Assert.Equal(("both", "both"), (task.Purpose, (await world.FindAsync(1))?.Purpose));
    }

    [Fact]
    public async Task An_exclusive_scope_stays_as_it_is_without_a_statement()
    {
        await using TaskScope task = await World.WriteAsync(world.Manager);
        (long token, int asked) = (task.FencingToken, world.Way.Requests.Count);

        await task.UpgradeAsync("again");

        Assert.Equal((token, asked, "write"), (task.FencingToken, world.Way.Requests.Count, task.Purpose));
    }

    [Fact]
    public async Task It_waits_for_readers_of_its_own_process_and_goes_on_when_the_last_has_left()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        TaskScope second = await World.ReadAsync(world.Manager);
        TaskScope third = await World.ReadAsync(world.Manager);
        int asked = world.Way.Requests.Count;
        Task upgrade = task.UpgradeAsync("write").AsTask();

        await second.DisposeAsync();
        Assert.False(upgrade.IsCompleted);
        Assert.Equal(asked, world.Way.Requests.Count);
        await third.DisposeAsync();

        await upgrade.WithinLimit();
        task.EnsureExclusive();
    }

    [Fact]
    public async Task It_waits_for_readers_of_other_conductors_and_keeps_its_entry_meanwhile()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        TaskScope theirs = await World.ReadAsync(other);
        Task upgrade = task.UpgradeAsync("write", new LockRetry(10, World.Second)).AsTask();
        world.Pass(World.Second * 3);
        Assert.False(upgrade.IsCompleted);
        Assert.Contains(world.Manager.Holder, (await world.FindAsync(1))!.Holders);

        await theirs.DisposeAsync();
        world.Pass(World.Second);

        await upgrade.WithinLimit();
        task.EnsureExclusive();
    }

    [Fact]
    public async Task Nobody_joins_while_one_of_this_process_is_about_to_upgrade()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);
        TaskScope second = await World.ReadAsync(world.Manager);
        Task upgrade = task.UpgradeAsync("write", LockRetry.Patient).AsTask();

        Assert.Null(await world.Manager.TryAcquireAsync(1, "join", ReservationMode.Shared));

        await second.DisposeAsync();
        await upgrade.WithinLimit();
    }

    [Fact]
    public async Task With_one_attempt_it_is_refused_at_once()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager, "reading");
        await using TaskScope theirs = await World.ReadAsync(other);

        Task upgrade = task.UpgradeAsync("write", LockRetry.None).AsTask();

        Assert.True(upgrade.IsCompleted);
        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => upgrade);
        Assert.Equal((1, "write"), (e.Attempts, e.Purpose));
        Assert.Equal(1, world.Way.Requests.Count(r => r.Action == ReserveAction.Upgrade));
    }

    [Fact]
    public async Task A_refused_one_leaves_the_scope_shared_and_usable_with_its_purpose_and_its_retry()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager, "reading");
        TaskScope theirs = await World.ReadAsync(other);
        (long stamp, DateTimeOffset since) = (task.FencingToken, task.ReservedAt);
        Task upgrade = task.UpgradeAsync("write").AsTask();
        world.Pass(World.Second * 2);

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => upgrade.WithinLimit());

        Assert.Equal((3, TimeSpan.FromSeconds(2)), (e.Attempts, e.Waited));
        Assert.Equal((ReservationMode.Shared, "reading", stamp, since),
            (task.Mode, task.Purpose, task.FencingToken, task.ReservedAt));
        task.EnsureHeld();
        Assert.False(task.Lost.IsCancellationRequested);
        await theirs.DisposeAsync();
        world.Pass(World.Second * 2);
        await using (await World.ReadAsync(world.Manager)) { }

        await task.UpgradeAsync("write");
        task.EnsureExclusive();
    }

    [Fact]
    public async Task It_fails_at_once_where_another_of_this_process_upgrades()
    {
        await using TaskScope first = await World.ReadAsync(world.Manager, "first");
        TaskScope second = await World.ReadAsync(world.Manager, "second");
        Task upgrade = first.UpgradeAsync("write", LockRetry.Patient).AsTask();

        Task late = second.UpgradeAsync("write too", LockRetry.Patient).AsTask();

        Assert.True(late.IsCompleted);
        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => late);
        Assert.True(e.IsHeldByThisProcess);
        second.EnsureHeld();
        Assert.False(upgrade.IsCompleted);
        await second.DisposeAsync();
        await upgrade.WithinLimit();
    }

    [Fact]
    public async Task Of_two_conductors_that_upgrade_exactly_one_fails_at_once_and_the_other_gets_it()
    {
        await using TaskScope mine = await World.ReadAsync(world.Manager);
        TaskScope theirs = await World.ReadAsync(other);
        Task first = mine.UpgradeAsync("write", LockRetry.Patient).AsTask();

        Task second = theirs.UpgradeAsync("write too", LockRetry.Patient).AsTask();

        Assert.True(second.IsCompleted);
        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(() => second);
        Assert.Contains("a writer waits", e.Message);
        Assert.False(first.IsCompleted);
        theirs.EnsureHeld();
        await theirs.DisposeAsync();
        world.Pass(World.Second);
        await first.WithinLimit();
        mine.EnsureExclusive();
    }

    [Fact]
    public async Task It_fails_at_once_where_another_writer_waits_and_lets_it_in_by_leaving()
    {
        TaskScope mine = await World.ReadAsync(world.Manager);
        TaskScope theirs = await World.ReadAsync(other);
        Task<TaskScope> writer = World.WriteAsync(world.NewManager(), retry: new LockRetry(5, World.Second));

        Task upgrade = mine.UpgradeAsync("write", LockRetry.Patient).AsTask();

        Assert.True(upgrade.IsCompleted);
        await Assert.ThrowsAsync<NodeLockedException>(() => upgrade);
        await mine.DisposeAsync();
        await theirs.DisposeAsync();
        world.Pass(World.Second);
        await (await writer.WithinLimit()).DisposeAsync();
    }

    [Fact]
    public async Task Behind_it_those_in_line_get_what_it_leaves()
    {
        TaskScope task = await World.ReadAsync(world.Manager);
        await task.UpgradeAsync("write");
        Task<TaskScope> reader = World.ReadAsync(world.Manager);
        Assert.False(reader.IsCompleted);

        await task.DisposeAsync();

        await using TaskScope next = await reader.WithinLimit();
        Assert.Equal(task.FencingToken, world.Way.Requests[^1].KnownToken);
        Assert.Equal([world.Manager.Holder], (await world.FindAsync(1))?.Holders);
    }

    [Fact]
    public async Task A_purpose_that_is_empty_is_refused_and_changes_nothing()
    {
        await using TaskScope task = await World.ReadAsync(world.Manager);

        await Assert.ThrowsAsync<ArgumentException>(() => task.UpgradeAsync(" ").WithinLimit());

        Assert.Equal(ReservationMode.Shared, task.Mode);
    }
}
