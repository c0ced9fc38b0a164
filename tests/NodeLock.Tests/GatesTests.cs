using Xunit;

namespace NodeLock.Tests;

/// <summary>The gates of one process: of both modes, and for those who want several nodes.</summary>
public sealed class GatesTests
{
    private readonly ManualTime time = new();
    private readonly Gates gates;
    private readonly Registration registration;

    public GatesTests()
    {
        gates = new Gates(new LiveOptions(new NodeLockOptions()), time);
        registration = new Registration("test/1", TimeSpan.FromSeconds(60), MonotonicClock.Of(time));
    }

    [Fact]
    public void Readers_enter_beside_readers_and_writers_beside_nobody()
    {
        Inside(7, ReservationMode.Shared);
        Assert.Null(gates.TryEnter(1, "write", ReservationMode.Exclusive));
        Place? second = gates.TryEnter(1, "read", ReservationMode.Shared);

        Assert.Equal((ReserveAction.Join, 7L), Asked(second));
        Assert.Null(gates.TryEnter(1, "read", ReservationMode.Shared)); // the second is still in line
    }

    [Fact]
    public void Nobody_joins_while_one_inside_changes_its_mode()
    {
        Place first = Inside(7, ReservationMode.Shared);
        Place behind = gates.Enter(1, "read", ReservationMode.Shared);
        Assert.True(behind.MayAsk);

        Assert.True(first.TryBeginChange());
        Assert.False(behind.MayAsk);
        Assert.Null(behind.Ask(registration));

        first.EndChange();
        Assert.True(behind.MayAsk);
    }

    [Fact]
    public void Only_one_inside_changes_at_a_time_and_may_begin_again()
    {
        Place first = Inside(7, ReservationMode.Shared);
        Place second = Joined(7);

        Assert.True(first.TryBeginChange());
        Assert.True(first.TryBeginChange());
        Assert.False(second.TryBeginChange());
        second.EndChange();
        Assert.False(second.TryBeginChange());
        first.Leave();
        Assert.True(second.TryBeginChange());
    }

    [Fact]
    public async Task The_one_who_changes_is_woken_when_it_is_alone_and_not_before()
    {
        Place first = Inside(7, ReservationMode.Shared);
        Place second = Joined(7);
        Place third = Joined(7);
        first.TryBeginChange();

        second.Leave();
        Assert.False(await IsWokenAsync(first));
        Assert.False(first.IsAloneInside);
        third.Leave();
        Assert.True(first.IsAloneInside);
        Assert.True(await IsWokenAsync(first));
    }

    [Fact]
    public void A_join_is_not_believed_when_what_it_joined_was_given_back_meanwhile()
    {
        Place first = Inside(7, ReservationMode.Shared);
        Place joining = gates.Enter(1, "read", ReservationMode.Shared);
        Assert.Equal((ReserveAction.Join, 7L), Asked(joining));
        gates.HoldSharersBack(1, World.Second); // so the entry is not left for it
        first.EndUse();
        Assert.False(first.TryLeave(out Claim? unused));

        Assert.False(joining.TryHold(NewHolding(joining, 7), ReserveAction.Join, Answered));
        first.LeaveReleased(unused!);
        Assert.False(joining.TryHold(NewHolding(joining, 7), ReserveAction.Join, Answered));
        time.Advance(World.Second);
        Assert.Equal((ReserveAction.Share, 0L), Asked(joining));
    }

    [Fact]
    public void A_join_is_not_believed_though_the_release_of_what_it_joined_was_not_confirmed()
    {
        Place first = Inside(7, ReservationMode.Shared);
        Place joining = gates.Enter(1, "read", ReservationMode.Shared);
        Assert.Equal((ReserveAction.Join, 7L), Asked(joining));
        gates.HoldSharersBack(1, World.Second);
        first.EndUse();
        Assert.False(first.TryLeave(out _)); // to be released: it may have been, when the next line leaves it here
        time.Advance(World.Second);
        Assert.True(first.TryLeave(out _));

        Assert.False(joining.TryHold(NewHolding(joining, 7), ReserveAction.Join, Answered));
        Assert.Equal((ReserveAction.Share, 7L), Asked(joining));
    }

    [Fact]
    public void A_join_is_not_believed_when_what_it_joined_has_changed_meanwhile()
    {
        Place first = Inside(7, ReservationMode.Shared);
        Place joining = gates.Enter(1, "read", ReservationMode.Shared);
        Assert.Equal((ReserveAction.Join, 7L), Asked(joining));
        first.TryBeginChange();
        Assert.False(joining.TryHold(NewHolding(joining, 7), ReserveAction.Join, Answered));
        first.Change(new Claim(registration, 8, ReservationMode.Exclusive));
        first.EndChange();

        Assert.False(joining.TryHold(NewHolding(joining, 7), ReserveAction.Join, Answered));
        Assert.False(joining.IsInside);
    }

    [Fact]
    public void What_the_last_reader_leaves_is_left_for_a_writer_and_the_others_leave_nothing()
    {
        Place first = Inside(7, ReservationMode.Shared);
        Place second = Joined(7);
        Assert.True(first.TryLeave(out Claim? none));
        Assert.Null(none);
        Place writer = gates.Enter(1, "write", ReservationMode.Exclusive);
        Assert.False(writer.MayAsk);

        Assert.True(second.TryLeave(out none));

        Assert.Null(none);
        Assert.Equal((ReserveAction.Reserve, 7L), Asked(writer));
    }

    [Fact]
    public void Readers_hold_back_for_as_long_as_they_are_told_at_that_node_and_writers_do_not()
    {
        gates.HoldSharersBack(1, World.Second);
        gates.HoldSharersBack(2, TimeSpan.Zero);

        Assert.Null(gates.TryEnter(1, "read", ReservationMode.Shared));
        Place waiting = gates.Enter(1, "read", ReservationMode.Shared);
        Assert.False(waiting.MayAsk);
        Assert.NotNull(gates.TryEnter(2, "read", ReservationMode.Shared));
        time.Advance(World.Second - World.Tick);
        Assert.False(waiting.MayAsk);
        time.Advance(World.Tick);
        Assert.True(waiting.MayAsk);
        waiting.Leave();
        gates.HoldSharersBack(1, World.Second);
        Assert.True(gates.TryEnter(1, "write", ReservationMode.Exclusive)?.MayAsk);
    }

    [Fact]
    public void Several_gates_are_entered_at_once_or_not_at_all()
    {
        Place held = gates.Enter(2, "in the way", ReservationMode.Exclusive);
        WakeUp wakeUp = new(gates.Sync);

        Assert.Null(gates.TryEnterAll([1, 2, 3], "all", wakeUp, out NodeObstacle? obstacle));
        Assert.Equal(2, obstacle?.NodeId);
        Assert.NotNull(gates.TryEnter(1, "free", ReservationMode.Exclusive));
        Assert.NotNull(gates.TryEnter(3, "free", ReservationMode.Exclusive));

        held.Leave();
        Place[]? places = gates.TryEnterAll([2, 4], "all", wakeUp, out obstacle);
        Assert.Null(obstacle);
        Assert.All(places!, p => Assert.True(p.MayAsk));
    }

    [Fact]
    public async Task One_who_wants_several_is_woken_when_the_gate_in_its_way_is_free_altogether()
    {
        Place held = gates.Enter(2, "in the way", ReservationMode.Exclusive);
        Place behind = gates.Enter(2, "behind", ReservationMode.Exclusive);
        WakeUp wakeUp = new(gates.Sync);
        gates.TryEnterAll([1, 2], "all", wakeUp, out _);

        held.Leave();
        Assert.False(await wakeUp.WaitAsync(TimeSpan.Zero, time, default));
        behind.Leave();
        Assert.True(await wakeUp.WaitAsync(TimeSpan.Zero, time, default));
    }

    [Fact]
    public async Task One_who_has_given_up_on_several_is_woken_by_nothing_and_kept_nowhere()
    {
        Place held = gates.Enter(2, "in the way", ReservationMode.Exclusive);
        WakeUp wakeUp = new(gates.Sync);
        gates.Watch(wakeUp);
        gates.TryEnterAll([1, 2], "all", wakeUp, out _);

        gates.Unwatch(wakeUp, [1, 2]);

        gates.WakeAll();
        held.Leave();
        Assert.False(await wakeUp.WaitAsync(TimeSpan.Zero, time, default));
    }

    private static async Task<bool> IsWokenAsync(Place place) => await place.WaitAsync(TimeSpan.Zero, default);

    private Place Inside(long token, ReservationMode mode)
    {
        Place place = gates.Enter(1, "inside", mode);
        Assert.True(place.TryHold(NewHolding(place, token),
            mode == ReservationMode.Shared ? ReserveAction.Share : ReserveAction.Reserve, Answered));
        return place;
    }

    private Place Joined(long token)
    {
        Place place = gates.Enter(1, "inside", ReservationMode.Shared);
        Assert.Equal((ReserveAction.Join, token), Asked(place));
        Assert.True(place.TryHold(NewHolding(place, token), ReserveAction.Join, Answered));
        return place;
    }

    private (ReserveAction, long)? Asked(Place? place) =>
        place?.Ask(registration) is { } request ? (request.Action, request.KnownToken) : null;

    private static ReserveAnswer.Granted Answered => new(0, default, TakenOverFrom: null);

    private Holding NewHolding(Place place, long token) =>
        new(place, registration, new Grant(token, place.Mode, place.Purpose, time.GetUtcNow()), TimeSpan.Zero);
}
