using Xunit;

namespace NodeLock.Tests;

/// <summary>
/// A conductor leaves when it holds nothing. A reserve that it sent before may be granted all the same: the store decides
/// about it on a snapshot in which the conductor is still there, and gives the node to the next who asks.
/// </summary>
public sealed class LeavingTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_grant_that_comes_while_the_conductor_leaves_is_not_believed()
    {
        await using (await world.Manager.AcquireAsync(1, "to register")) { }
        TaskCompletionSource leaving = new(TaskCreationOptions.RunContinuationsAsynchronously);
        world.Way.OnReserve = async (_, _) =>
        {
            await leaving.Task;
            return new ReserveAnswer.Granted(99, DateTimeOffset.UnixEpoch, TakenOverFrom: null);
        };
        Task<TaskScope> acquire = world.Manager.AcquireAsync(2, "on its way").AsTask();
        bool answeredBeforeItLeft = false;
        world.Way.BeforeStatement = statement =>
        {
            if (statement != nameof(IConductorStore.Leave)) return;
            leaving.SetResult();
            answeredBeforeItLeft = Task.WhenAny(acquire).Wait(Eventually.Limit);
        };

        await world.Manager.DisposeAsync().WithinLimit();

        Assert.True(answeredBeforeItLeft);
        await Assert.ThrowsAsync<ConductorStoppingException>(() => acquire);
    }
}
