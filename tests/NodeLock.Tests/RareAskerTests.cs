using Xunit;

namespace NodeLock.Tests;

/// <summary>Only the first in line asks the store; one that asks rarely must not hold up those behind it.</summary>
public sealed class RareAskerTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task One_behind_who_would_ask_more_often_has_the_first_ask()
    {
        TaskScope held = await world.NewManager().AcquireAsync(1, "elsewhere");
        Task<TaskScope> rare = AcquireAsync("rare", new LockRetry(2, TimeSpan.FromHours(1)));
        Task<TaskScope> often = AcquireAsync("often", new LockRetry(10, World.Second));
        await held.DisposeAsync();

        await world.UntilAsync(() => rare.IsCompleted, "the first got the node");
        await (await rare).DisposeAsync();
        await using TaskScope task = await often.WithinLimit();

        Assert.Equal("often", (await world.FindAsync(1))?.Purpose);
    }

    private Task<TaskScope> AcquireAsync(string purpose, LockRetry retry) =>
        world.Manager.AcquireAsync(1, new AcquireOptions { Purpose = purpose, Retry = retry }).AsTask();
}
