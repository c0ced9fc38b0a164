using Xunit;

namespace NodeLock.Tests;

public sealed class GateTests
{
    private readonly ManualTime time = new();
    private readonly Gates gates;

    public GateTests() => gates = new Gates(new LiveOptions(new NodeLockOptions()), time);

    [Fact]
    public void First_come_first_served()
    {
        Place a = Enter(1, "a");
        Place b = Enter(1, "b");
        Place c = Enter(1, "c");
        Assert.Equal([true, false, false], new[] { a, b, c }.Select(p => p.MayAsk));

        a.Leave();
        Assert.Equal([true, false], new[] { b, c }.Select(p => p.MayAsk));

        b.Leave();
        Assert.True(c.MayAsk);
    }

    [Fact]
    public void Nodes_have_lines_of_their_own()
    {
        Enter(1, "a");

        Assert.True(Enter(2, "b").MayAsk);
    }

    [Fact]
    public void One_who_would_not_wait_enters_only_an_empty_line()
    {
        Place a = Enter(1, "a");
        Assert.Null(TryEnter(1, "b"));

        a.Leave();

        Assert.True(TryEnter(1, "b")?.MayAsk);
    }

    [Fact]
    public async Task The_end_of_a_turn_wakes_the_next_who_may_name_its_token()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        Place b = Enter(1, "b");
        Place c = Enter(1, "c");
        a.EndUse();

        Assert.True(a.TryLeave(out Claim? left));

        Assert.Null(left);
        Assert.True(await IsWokenAsync(b));
        Assert.False(await IsWokenAsync(c));
        Assert.Equal(7, Named(b, registration));
        Assert.Equal(0, Named(b, NewRegistration()));
    }

    [Fact]
    public void With_nobody_behind_a_reservation_is_left_to_be_given_back_in_line()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        a.EndUse();

        Assert.False(a.TryLeave(out Claim? left));
        Assert.Equal(new Claim(registration, 7, ReservationMode.Exclusive), left);
        Assert.True(a.IsInside);
        Assert.Null(TryEnter(1, "b"));

        a.Leave();
        Assert.Equal(0, Named(Enter(1, "b"), registration));
    }

    [Fact]
    public void One_who_joins_while_a_reservation_is_given_back_gets_it()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        a.EndUse();
        Assert.False(a.TryLeave(out _));
        Place b = Enter(1, "b");

        Assert.True(a.TryLeave(out _));

        Assert.True(b.MayAsk);
        Assert.Equal(7, Named(b, registration));
    }

    [Fact]
    public async Task A_waiter_that_gives_up_after_an_answer_does_not_wake_the_next()
    {
        Place a = Enter(1, "a");
        Place b = Enter(1, "b");
        a.Ask(NewRegistration());
        a.Met(Obstacle.RowInHand, isTaken: true);

        Assert.True(a.TryLeave(out _));

        Assert.True(b.MayAsk);
        Assert.False(await IsWokenAsync(b));
        Assert.Same(Obstacle.RowInHand, b.Obstacle);
    }

    [Fact]
    public async Task A_waiter_that_gives_up_with_the_node_handed_to_it_wakes_the_next()
    {
        Registration registration = NewRegistration();
        Place a = Holder(registration, token: 7);
        Place b = Enter(1, "b");
        Place c = Enter(1, "c");
        a.EndUse();
        a.TryLeave(out _);

        b.TryLeave(out _);

        Assert.True(await IsWokenAsync(c));
        Assert.Equal(7, Named(c, registration));
    }

    [Fact]
    public async Task A_wake_before_the_wait_is_not_lost_and_counts_once()
    {
        Place a = Holder(NewRegistration(), token: 7);
        Place b = Enter(1, "b");
        a.Leave();

        Assert.True(await IsWokenAsync(b));
        Assert.False(await IsWokenAsync(b));
    }

    [Fact]
    public async Task A_wait_ends_at_its_time_by_a_wake_or_when_cancelled_without_an_exception()
    {
        using CancellationTokenSource cancellation = new();
        Place a = Holder(NewRegistration(), token: 7);
        Place b = Enter(1, "b");

        Task<bool> timed = b.WaitAsync(World.Second, default).AsTask();
        time.Advance(World.Second - World.Tick);
        Assert.False(timed.IsCompleted);
        time.Advance(World.Tick);
        Assert.False(await timed.WithinLimit());

        Task<bool> cancelled = b.WaitAsync(World.Second, cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        Assert.False(await cancelled.WithinLimit());

        Task<bool> woken = b.WaitAsync(World.Second, default).AsTask();
        a.Leave();
        Assert.True(await woken.WithinLimit());
    }

    [Fact]
    public async Task All_may_be_woken()
    {
        Place a = Enter(1, "a");
        Place b = Enter(1, "b");

        gates.WakeAll();

        Assert.True(await IsWokenAsync(a));
        Assert.True(await IsWokenAsync(b));
    }

    [Fact]
    public async Task Leaving_twice_sends_away_nobody_else()
    {
        Place a = Enter(1, "a");
        a.Leave();
        Place b = Enter(1, "b");

        a.Leave();
        a.Keep(new Claim(NewRegistration(), 7, ReservationMode.Exclusive));

        Assert.True(b.MayAsk);
        Assert.Equal(0, Named(b, NewRegistration()));
        Assert.False(await IsWokenAsync(b));
    }

    [Fact]
    public async Task The_end_of_a_registration_ends_the_turns_of_its_holders_and_of_nobody_else()
    {
        Registration dead = NewRegistration();
        Registration alive = NewRegistration();
        Holder(dead, token: 7);
        Place behind = Enter(1, "b");
        Place other = Enter(2, "other");
        Assert.True(other.TryHold(NewHolding(other, alive, 8), ReserveAction.Reserve, Answered));
        Place behindOther = Enter(2, "behind other");

        gates.Lapse(dead);

        Assert.True(behind.MayAsk);
        Assert.True(await IsWokenAsync(behind));
        Assert.True(other.IsInside);
        Assert.False(await IsWokenAsync(behindOther));
    }

    [Fact]
    public void Those_behind_are_told_what_the_first_met_or_holds()
    {
        Place a = Enter(1, "a");
        Place b = Enter(1, "b");
        Assert.Contains("\"a\"", b.Obstacle.ToString());

        a.Met(Obstacle.RowInHand, isTaken: true);
        Assert.Same(Obstacle.RowInHand, b.Obstacle);

        Assert.True(a.TryHold(NewHolding(a, NewRegistration(), 7), ReserveAction.Reserve, Answered));
        Assert.True(b.Obstacle.IsOurs);
        Assert.Equal(7, b.Obstacle.Reservation?.FencingToken);
    }

    private static async Task<bool> IsWokenAsync(Place place) => await place.WaitAsync(TimeSpan.Zero, default);

    private Place Holder(Registration registration, long token)
    {
        Place place = Enter(1, "holder");
        Assert.True(place.TryHold(NewHolding(place, registration, token), ReserveAction.Reserve, Answered));
        return place;
    }

    private static ReserveAnswer.Granted Answered => new(0, default, TakenOverFrom: null);

    private Holding NewHolding(Place place, Registration registration, long token) =>
        new(place, registration, new Grant(token, place.Mode, place.Purpose, time.GetUtcNow()), TimeSpan.Zero);

    private Place Enter(NodeId nodeId, string purpose) => gates.Enter(nodeId, purpose, ReservationMode.Exclusive);

    private Place? TryEnter(NodeId nodeId, string purpose) =>
        gates.TryEnter(nodeId, purpose, ReservationMode.Exclusive);

    private static long? Named(Place place, Registration registration) => place.Ask(registration)?.KnownToken;

    private Registration NewRegistration() =>
        new(Registration.DrawHolder("test"), TimeSpan.FromSeconds(60), MonotonicClock.Of(time));
}
