using Xunit;

namespace NodeLock.Tests;

public sealed class GateTests
{
    private readonly Gates gates = new();
    private readonly ManualTime time = new();

    [Fact]
    public void First_come_first_served()
    {
        Place a = gates.Enter(1, "a");
        Place b = gates.Enter(1, "b");
        Place c = gates.Enter(1, "c");
        Assert.Equal([true, false, false], new[] { a, b, c }.Select(p => p.IsFirst));

        a.Leave();
        Assert.Equal([true, false], new[] { b, c }.Select(p => p.IsFirst));

        b.Leave();
        Assert.True(c.IsFirst);
    }

    [Fact]
    public void Nodes_have_lines_of_their_own()
    {
        gates.Enter(1, "a");

        Assert.True(gates.Enter(2, "b").IsFirst);
    }

    [Fact]
    public void One_who_would_not_wait_enters_only_an_empty_line()
    {
        Place a = gates.Enter(1, "a");
        Assert.Null(gates.TryEnter(1, "b"));

        a.Leave();

        Assert.True(gates.TryEnter(1, "b")?.IsFirst);
    }

    [Fact]
    public async Task The_end_of_a_turn_wakes_the_next_who_may_name_its_token()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        Place b = gates.Enter(1, "b");
        Place c = gates.Enter(1, "c");
        a.Keep(new Unused(registration, 7));

        Assert.True(a.TryLeave(out Unused? left));

        Assert.Null(left);
        Assert.True(await IsWokenAsync(b));
        Assert.False(await IsWokenAsync(c));
        Assert.Equal(7, b.KnownToken(registration));
        Assert.Equal(0, b.KnownToken(NewRegistration()));
    }

    [Fact]
    public void With_nobody_behind_a_reservation_is_left_to_be_given_back_in_line()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        a.Keep(new Unused(registration, 7));

        Assert.False(a.TryLeave(out Unused? left));
        Assert.Equal(new Unused(registration, 7), left);
        Assert.True(a.IsFirst);
        Assert.Null(gates.TryEnter(1, "b"));

        a.Leave();
        Assert.Equal(0, gates.Enter(1, "b").KnownToken(registration));
    }

    [Fact]
    public void One_who_joins_while_a_reservation_is_given_back_gets_it()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        a.Keep(new Unused(registration, 7));
        Assert.False(a.TryLeave(out _));
        Place b = gates.Enter(1, "b");

        Assert.True(a.TryLeave(out _));

        Assert.True(b.IsFirst);
        Assert.Equal(7, b.KnownToken(registration));
    }

    [Fact]
    public async Task A_waiter_that_gives_up_does_not_wake_the_next()
    {
        Place a = gates.Enter(1, "a");
        Place b = gates.Enter(1, "b");
        a.Met(Obstacle.RowInHand);

        Assert.True(a.TryLeave(out _));

        Assert.True(b.IsFirst);
        Assert.False(await IsWokenAsync(b));
        Assert.Same(Obstacle.RowInHand, b.Obstacle);
    }

    [Fact]
    public async Task A_waiter_that_gives_up_with_the_node_handed_to_it_wakes_the_next()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        Place b = gates.Enter(1, "b");
        Place c = gates.Enter(1, "c");
        a.Keep(new Unused(registration, 7));
        a.TryLeave(out _);

        b.TryLeave(out _);

        Assert.True(await IsWokenAsync(c));
        Assert.Equal(7, c.KnownToken(registration));
    }

    [Fact]
    public async Task A_wake_before_the_wait_is_not_lost_and_counts_once()
    {
        Place a = Holder(NewRegistration(), token: 7);
        Place b = gates.Enter(1, "b");
        a.Leave();

        Assert.True(await IsWokenAsync(b));
        Assert.False(await IsWokenAsync(b));
    }

    [Fact]
    public async Task A_wait_ends_at_its_time_by_a_wake_or_when_cancelled_without_an_exception()
    {
        using CancellationTokenSource cancellation = new();
        Place a = Holder(NewRegistration(), token: 7);
        Place b = gates.Enter(1, "b");

        Task<bool> timed = b.WaitAsync(World.Second, time, default).AsTask();
        time.Advance(World.Second - World.Tick);
        Assert.False(timed.IsCompleted);
        time.Advance(World.Tick);
        Assert.False(await timed.WithinLimit());

        Task<bool> cancelled = b.WaitAsync(World.Second, time, cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        Assert.False(await cancelled.WithinLimit());

        Task<bool> woken = b.WaitAsync(World.Second, time, default).AsTask();
        a.Leave();
        Assert.True(await woken.WithinLimit());
    }

    [Fact]
    public async Task All_may_be_woken()
    {
        Place a = gates.Enter(1, "a");
        Place b = gates.Enter(1, "b");

        gates.WakeAll();

        Assert.True(await IsWokenAsync(a));
        Assert.True(await IsWokenAsync(b));
    }

    [Fact]
    public async Task Leaving_twice_sends_away_nobody_else()
    {
        Place a = gates.Enter(1, "a");
        a.Leave();
        Place b = gates.Enter(1, "b");

        a.Leave();
        a.Keep(new Unused(NewRegistration(), 7));

        Assert.True(b.IsFirst);
        Assert.Equal(0, b.KnownToken(NewRegistration()));
        Assert.False(await IsWokenAsync(b));
    }

    [Fact]
    public async Task The_end_of_a_registration_ends_the_turns_of_its_holders_and_of_nobody_else()
    {
        Registration dead = NewRegistration();
        Registration alive = NewRegistration();
        Holder(dead, token: 7);
        Place behind = gates.Enter(1, "b");
        Place other = gates.Enter(2, "other");
        other.Hold(NewHolding(other, alive, 8));
        Place behindOther = gates.Enter(2, "behind other");

        gates.Lapse(dead);

        Assert.True(behind.IsFirst);
        Assert.True(await IsWokenAsync(behind));
        Assert.True(other.IsFirst);
        Assert.False(await IsWokenAsync(behindOther));
    }

    [Fact]
    public void Those_behind_are_told_what_the_first_met_or_holds()
    {
        Place a = gates.Enter(1, "a");
        Place b = gates.Enter(1, "b");
        Assert.Contains("\"a\"", b.Obstacle.ToString());

        a.Met(Obstacle.RowInHand);
        Assert.Same(Obstacle.RowInHand, b.Obstacle);

        a.Hold(NewHolding(a, NewRegistration(), 7));
        Assert.True(b.Obstacle.IsOurs);
        Assert.Equal(7, b.Obstacle.Reservation?.FencingToken);
    }

    private async Task<bool> IsWokenAsync(Place place) => await place.WaitAsync(TimeSpan.Zero, time, default);

    private Place Holder(Registration registration, long token)
    {
        Place place = gates.Enter(1, "holder");
        place.Hold(NewHolding(place, registration, token));
        return place;
    }

    private Holding NewHolding(Place place, Registration registration, long token) =>
        new(place, registration, place.Purpose, token, time.GetUtcNow(), TimeSpan.Zero);

    private Registration NewRegistration() =>
        new(Registration.DrawHolder("test"), TimeSpan.FromSeconds(60), MonotonicClock.Of(time));
}
