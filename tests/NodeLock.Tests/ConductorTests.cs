using Xunit;

namespace NodeLock.Tests;

public sealed class ConductorTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_dispose_during_a_heartbeat_waits_for_it_and_ends()
    {
        await using (await world.Manager.AcquireAsync(1, "test")) { }
        using ManualResetEventSlim beats = new();
        using ManualResetEventSlim goOn = new();
        world.Way.OnRenew = renew =>
        {
            beats.Set();
            goOn.Wait(Eventually.Limit);
            return renew();
        };
        Task heartbeat = Task.Run(() => world.Time.Advance(TimeSpan.FromSeconds(10)));
        Assert.True(beats.Wait(Eventually.Limit));
        Task dispose = Task.Run(() => world.Manager.DisposeAsync().AsTask());
        await Eventually.TrueAsync(() => IsStopping(world.Manager), "the conductor is stopping");

        goOn.Set();

        await dispose.WithinLimit();
        await heartbeat.WithinLimit();
        Assert.Single(world.Log.With(21));
    }

    private static bool IsStopping(TaskManager manager) =>
        manager.TryAcquireAsync(9, "to see").AsTask().Exception?.InnerException is ConductorStoppingException;
}
