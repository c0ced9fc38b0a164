using Xunit;

namespace NodeLock.Tests;

/// <summary>In one process a node goes from one to the next under tokens that were drawn together; the store may forget
/// the last of these when it crashes.</summary>
public sealed class HandOverTests : IAsyncDisposable
{
    private readonly World world = new();
    private readonly List<ReserveRequest> asked = [];

    public HandOverTests() => world.Way.OnReserve = (request, carryOut) =>
    {
        asked.Add(request);
        return carryOut();
    };

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task Each_in_line_gets_a_greater_token_and_shows_its_own_purpose()
    {
        TaskScope held = await World.WriteAsync(world.Manager, "0");
        Task<TaskScope>[] line = [.. Enumerable.Range(1, 5).Select(n => World.WriteAsync(world.Manager, $"{n}"))];
        foreach (Task<TaskScope> next in line)
        {
            await held.DisposeAsync();
            TaskScope scope = await next.WithinLimit();
            Assert.True(scope.FencingToken > held.FencingToken);
            Assert.Equal((scope.FencingToken, scope.Purpose), await StandsAsync());
            held = scope;
        }

        Assert.Equal([ReserveAction.Reserve, ReserveAction.Reserve, ReserveAction.HandOver, ReserveAction.HandOver,
            ReserveAction.HandOver, ReserveAction.HandOver], asked.Select(r => r.Action));
        await held.DisposeAsync();
        Assert.True(world.IsAllFree);
    }

    [Fact]
    public async Task One_that_is_not_answered_has_the_next_draw_a_token_of_its_own()
    {
        TaskScope held = await World.WriteAsync(world.Manager, "0");
        Task<TaskScope>[] line = [.. Enumerable.Range(1, 3).Select(n => World.WriteAsync(world.Manager, $"{n}"))];
        await held.DisposeAsync();
        held = await line[0].WithinLimit();
        world.Way.LoseAnswers(request => request.Purpose == "2");

        await held.DisposeAsync();

        await Assert.ThrowsAsync<StoreException>(() => line[1].WithinLimit());
        await using TaskScope third = await line[2].WithinLimit();
        Assert.Equal((third.FencingToken, "3"), await StandsAsync());
    }

    [Fact]
    public async Task What_a_crash_forgot_is_restored_and_not_lost()
    {
        (TaskScope scope, long before) = await ForgottenAsync();
        Assert.Equal((before, "1"), await StandsAsync());

        world.Pass(TimeSpan.FromSeconds(25));

        scope.EnsureHeld();
        Assert.Equal((scope.FencingToken, "2"), await StandsAsync());
        await scope.DisposeAsync();
        Assert.True(world.IsAllFree);
    }

    [Fact]
    public async Task What_a_crash_forgot_goes_on_to_the_next_in_line()
    {
        (TaskScope scope, _) = await ForgottenAsync();
        Task<TaskScope> next = World.WriteAsync(world.Manager, "next");

        await scope.DisposeAsync();

        await using TaskScope task = await next.WithinLimit();
        Assert.True(task.FencingToken > scope.FencingToken);
        Assert.Equal((task.FencingToken, "next"), await StandsAsync());
    }

    [Fact]
    public async Task What_a_crash_forgot_and_is_released_since_is_given_back()
    {
        (TaskScope scope, _) = await ForgottenAsync();

        await scope.DisposeAsync();
        Assert.False(world.IsAllFree);

        await world.UntilAsync(() => world.IsAllFree, "it is given back");
    }

    [Fact]
    public async Task What_was_broken_is_lost_though_it_came_by_a_hand_over()
    {
        TaskScope held = await World.WriteAsync(world.Manager, "0");
        Task<TaskScope>[] line = [.. Enumerable.Range(1, 3).Select(n => World.WriteAsync(world.Manager, $"{n}", LockRetry.Patient))];
        foreach (Task<TaskScope> next in line[..2])
        {
            await held.DisposeAsync();
            held = await next.WithinLimit();
        }

        Assert.True(await world.Store.BreakAsync(1, held.FencingToken, World.Second));
        await world.UntilAsync(() => held.Lost.IsCancellationRequested, "it is lost");

        await held.DisposeAsync();
        await (await line[2].WithinLimit()).DisposeAsync();
    }

    /// <summary>A scope that came by a hand-over of which the store knows nothing, and the token that it knows.</summary>
    private async Task<(TaskScope Scope, long Before)> ForgottenAsync()
    {
        TaskScope held = await World.WriteAsync(world.Manager, "0");
        Task<TaskScope> first = World.WriteAsync(world.Manager, "1");
        Task<TaskScope> second = World.WriteAsync(world.Manager, "2");
        await held.DisposeAsync();
        held = await first.WithinLimit();
        world.Way.OnReserve = (request, carryOut) => request.Action != ReserveAction.HandOver ? carryOut()
            : new(new ReserveAnswer.Granted(request.NewToken, default, TakenOverFrom: null));
        await held.DisposeAsync();
        TaskScope scope = await second.WithinLimit();
        world.Way.OnReserve = null;
        return (scope, held.FencingToken);
    }

    private async Task<(long?, string?)> StandsAsync()
    {
        Reservation? stands = await world.FindAsync(1);
        return (stands?.FencingToken, stands?.Purpose);
    }
}
