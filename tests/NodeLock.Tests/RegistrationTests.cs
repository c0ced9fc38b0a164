using Xunit;

namespace NodeLock.Tests;

public sealed class RegistrationTests
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(60);

    private readonly ManualTime time = new();
    private readonly Gates gates;
    private readonly MonotonicClock clock;
    private readonly Registration registration;

    public RegistrationTests()
    {
        gates = new Gates(new LiveOptions(new NodeLockOptions()), time);
        clock = MonotonicClock.Of(time);
        registration = new Registration("test/1", Lease, clock);
    }

    [Fact]
    public void A_registration_that_the_store_has_not_confirmed_is_not_trusted()
    {
        Assert.False(registration.IsTrusted);
        Assert.Equal(TimeSpan.Zero, registration.TrustedFor);
        Assert.False(registration.TryHold(NewHolding(1)));
    }

    [Fact]
    public void The_window_counts_from_the_sending_however_long_the_answer_took()
    {
        TimeSpan sentAt = clock.Now;
        time.Advance(TimeSpan.FromSeconds(50));

        registration.Renewed(sentAt);

        Assert.Equal(TimeSpan.FromSeconds(4), registration.TrustedFor);
        time.Advance(TimeSpan.FromSeconds(4));
        Assert.False(registration.IsTrusted);
    }

    [Fact]
    public void An_answer_that_was_overtaken_does_not_shorten_the_window()
    {
        TimeSpan first = clock.Now;
        time.Advance(TimeSpan.FromSeconds(10));
        registration.Renewed(clock.Now);

        registration.Renewed(first);

        Assert.Equal(TimeSpan.FromSeconds(54), registration.TrustedFor);
    }

    [Fact]
    public void What_was_held_when_the_window_had_closed_is_lost_even_if_a_renewal_comes_after()
    {
        registration.Renewed(clock.Now);
        Holding holding = NewHolding(1);
        Assert.True(registration.TryHold(holding));
        time.Advance(Lease);

        Assert.Equal([holding], registration.Renewed(clock.Now).Holdings);

        Assert.True(registration.IsTrusted);
        Assert.Empty(registration.Holdings());
    }

    [Fact]
    public void A_renewal_in_time_loses_nothing()
    {
        registration.Renewed(clock.Now);
        Holding holding = NewHolding(1);
        registration.TryHold(holding);
        time.Advance(TimeSpan.FromSeconds(50));

        Assert.Empty(registration.Renewed(clock.Now).Holdings);
        Assert.Empty(registration.LoseIfClosed().Holdings);

        Assert.Equal([holding], registration.Holdings());
    }

    [Fact]
    public void What_has_ended_never_comes_back()
    {
        registration.Renewed(clock.Now);
        Holding holding = NewHolding(1);
        registration.TryHold(holding);

        Assert.Equal([holding], registration.End(declaredDead: true).Holdings);

        Assert.True(registration.IsDeclaredDead);
        Assert.Empty(registration.Renewed(clock.Now).Holdings);
        Assert.False(registration.IsTrusted);
        Assert.False(registration.TryHold(NewHolding(2)));
    }

    [Fact]
    public void Only_the_very_holding_is_dropped()
    {
        registration.Renewed(clock.Now);
        Holding holding = NewHolding(1);
        registration.TryHold(holding);

        registration.Drop(NewHolding(1));
        Assert.Equal([holding], registration.Holdings());
        registration.Drop(holding);
        Assert.Empty(registration.Holdings());
    }

    private Holding NewHolding(NodeId node) =>
        new(gates.Enter(node, "test", ReservationMode.Exclusive), registration,
            new Grant(1, ReservationMode.Exclusive, "test", time.GetUtcNow()), clock.Now);
}
