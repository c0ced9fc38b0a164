using Xunit;

namespace NodeLock.Tests;

/// <summary>What becomes of answers that come late, or not at all.</summary>
public sealed class AcquisitionTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_grant_that_comes_when_the_trust_window_has_closed_is_not_believed_and_given_back()
    {
        await using (await world.Manager.AcquireAsync(1, "start")) { }
        TaskCompletionSource answered = HoldUpAnswers();
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(53));
        Task<TaskScope> acquire = world.Manager.AcquireAsync(1, "test").AsTask();
        world.Pass(TimeSpan.FromSeconds(2));
        Assert.NotNull(await world.FindAsync(1));

        answered.SetResult();

        ReservationLostException e = await Assert.ThrowsAsync<ReservationLostException>(() => acquire.WithinLimit());
        Assert.Contains("no longer certain", e.Message);
        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the reservation is given back");
    }

    [Fact]
    public async Task A_grant_that_comes_for_an_earlier_registration_is_not_believed_and_changes_nothing()
    {
        TaskManager other = world.NewManager();
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        await using (await world.Manager.AcquireAsync(1, "start")) { }
        TaskCompletionSource answered = HoldUpAnswers();
        World.Cut(world.Way);
        world.Pass(TimeSpan.FromSeconds(53));
        Task<TaskScope> acquire = world.Manager.AcquireAsync(1, "test").AsTask();
        world.Pass(TimeSpan.FromSeconds(7.5));
        Assert.Single(world.Store.Connect(World.Second).DeclareDead(other.Holder, DateTimeOffset.MaxValue));
        await using TaskScope takenOver = await other.AcquireAsync(1, "take over");
        world.Way.BeforeStatement = null;
        world.Pass(TimeSpan.FromSeconds(1));
        Assert.Single(world.Log.With(22));

        answered.SetResult();

        await Assert.ThrowsAsync<ReservationLostException>(() => acquire.WithinLimit());
        takenOver.EnsureHeld();
        Assert.Equal(takenOver.FencingToken, (await world.FindAsync(1))?.FencingToken);
    }

    [Fact]
    public async Task A_store_that_does_not_answer_in_a_heartbeat_is_not_waited_for_and_what_it_grants_is_released()
    {
        TaskCompletionSource answered = HoldUpAnswers();
        Task<TaskScope> acquire = world.Manager.AcquireAsync(1, "test").AsTask();
        world.Time.Advance(TimeSpan.FromSeconds(10) - World.Tick);
        Assert.False(acquire.IsCompleted);
        world.Time.Advance(World.Tick);

        TimeoutException e = await Assert.ThrowsAsync<TimeoutException>(() => acquire.WithinLimit());

        Assert.Contains("node 1 is reserved for \"test\"", e.Message);
        Assert.NotNull(await world.FindAsync(1));
        answered.SetResult();
        await Eventually.TrueAsync(() => world.FindAsync(1).Result is null, "the node is free");
    }

    [Fact]
    public async Task Of_a_holder_cut_off_and_the_next_at_most_one_believes_at_any_time()
    {
        Assert.Equal(1, await MostThatBelieveAsync(lease => lease));
    }

    [Fact]
    public async Task The_same_measure_catches_a_store_that_ends_leases_earlier_than_it_was_asked()
    {
        Assert.Equal(2, await MostThatBelieveAsync(lease => lease / 3));
    }

    [Fact]
    public async Task After_a_lost_reply_the_next_acquire_names_what_it_left_and_does_not_wait_for_itself()
    {
        LoseReplies();
        await Assert.ThrowsAsync<StoreException>(() => world.Manager.AcquireAsync(1, "lost").WithinLimit());
        long left = Assert.IsType<Reservation>(await world.FindAsync(1)).FencingToken;
        world.Way.OnReserve = null;

        Task<TaskScope> acquire = world.Manager.AcquireAsync(1, "again").AsTask();

        Assert.True(acquire.IsCompletedSuccessfully);
        await using TaskScope task = await acquire;
        Assert.True(task.FencingToken > left);
        Assert.Equal([0, 0, left], world.Way.Requests.Select(r => r.KnownToken));
        Assert.Equal("again", (await world.FindAsync(1))?.Purpose);
        task.EnsureHeld();
    }

    [Fact]
    public async Task After_a_lost_reply_to_a_hand_over_the_next_in_line_goes_on()
    {
        TaskScope held = await world.Manager.AcquireAsync(1, "first");
        Task<TaskScope> second = world.Manager.AcquireAsync(1, "second").AsTask();
        Task<TaskScope> third = world.Manager.AcquireAsync(1, "third").AsTask();
        world.Way.OnReserve = async (request, carryOut) =>
        {
            ReserveAnswer answer = await carryOut();
            return request.Purpose == "second" ? throw new StoreException("no answer") : answer;
        };

        await held.DisposeAsync();

        await Assert.ThrowsAsync<StoreException>(() => second.WithinLimit());
        await using TaskScope task = await third.WithinLimit();
        Assert.Equal(task.FencingToken, (await world.FindAsync(1))?.FencingToken);
        // Of the three since, the second had one, and one was drawn with it that nobody got.
        Assert.Equal(held.FencingToken + 3, task.FencingToken);
    }

    [Fact]
    public async Task What_a_lost_reply_left_is_given_back_within_two_heartbeats()
    {
        await using TaskScope kept = await world.Manager.AcquireAsync(2, "in use");
        LoseReplies();
        await Assert.ThrowsAsync<StoreException>(() => world.Manager.AcquireAsync(1, "lost").WithinLimit());
        Assert.NotNull(await world.FindAsync(1));

        world.Pass(TimeSpan.FromSeconds(20));

        Assert.Null(await world.FindAsync(1));
        Assert.Contains("Gave back 1 nodes", Assert.Single(world.Log.With(25)).Message);
        kept.EnsureHeld();
        Assert.NotNull(await world.FindAsync(2));
    }

    [Fact]
    public async Task A_reserve_carried_out_late_is_given_back_too()
    {
        Func<ValueTask<ReserveAnswer>>? late = null;
        world.Way.OnReserve = (_, carryOut) =>
        {
            late = carryOut;
            throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => world.Manager.AcquireAsync(1, "late").WithinLimit());
        world.Way.OnReserve = null;

        Assert.IsType<ReserveAnswer.Granted>(await late!());
        world.Pass(TimeSpan.FromSeconds(20));

        Assert.Null(await world.FindAsync(1));
    }

    [Fact]
    public async Task A_reserve_carried_out_late_takes_nothing_from_the_scope_that_has_the_node_since()
    {
        Func<ValueTask<ReserveAnswer>>? late = null;
        world.Way.OnReserve = (_, carryOut) =>
        {
            late = carryOut;
            throw new StoreException("no answer");
        };
        await Assert.ThrowsAsync<StoreException>(() => world.Manager.AcquireAsync(1, "late").WithinLimit());
        world.Way.OnReserve = null;
        await using TaskScope task = await world.Manager.AcquireAsync(1, "since");

        Assert.Equal(new ReserveAnswer.Unnamed(task.FencingToken, ReservationMode.Exclusive), await late!());
        world.Pass(TimeSpan.FromSeconds(60));

        task.EnsureHeld();
        Reservation? found = await world.FindAsync(1);
        Assert.Equal((task.FencingToken, "since"), (found?.FencingToken, found?.Purpose));
    }

    private TaskCompletionSource HoldUpAnswers()
    {
        TaskCompletionSource answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        world.Way.OnReserve = async (_, carryOut) =>
        {
            ReserveAnswer answer = await carryOut();
            await answered.Task;
            return answer;
        };
        return answered;
    }

    private void LoseReplies() => world.Way.OnReserve = async (_, carryOut) =>
    {
        await carryOut();
        throw new StoreException("no answer");
    };

    private async Task<TaskScope> TakenOverAsync(TaskManager other, NodeId node, Action? atEachStep = null)
    {
        Task<TaskScope> takeOver = other.AcquireAsync(node,
            new AcquireOptions { Purpose = "take over", Retry = LockRetry.Patient }).AsTask();
        for (int i = 0; i < 1000 && !takeOver.IsCompleted; i++)
        {
            world.Pass(TimeSpan.FromMilliseconds(100));
            atEachStep?.Invoke();
        }

        return await takeOver.WithinLimit();
    }

    /// <summary>Cuts off a holder, lets another conductor take over, and counts at every step who believes.</summary>
    private async Task<int> MostThatBelieveAsync(Func<TimeSpan, TimeSpan> leaseOf)
    {
        world.Way.LeaseOf = leaseOf;
        TaskManager other = world.NewManager();
        await using TaskScope elsewhere = await other.AcquireAsync(2, "to be alive");
        await using TaskScope first = await world.Manager.AcquireAsync(1, "test");
        int most = Believing(first);
        World.Cut(world.Way);

        await using TaskScope second = await TakenOverAsync(other, 1, () => most = Math.Max(most, Believing(first)));
        return Math.Max(most, Believing(first, second));
    }

    private static int Believing(params TaskScope[] scopes) => scopes.Count(scope =>
    {
        try
        {
            scope.EnsureHeld();
            return true;
        }
        catch (ReservationLostException)
        {
            return false;
        }
    });
}
