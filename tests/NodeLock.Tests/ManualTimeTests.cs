using Xunit;

namespace NodeLock.Tests;

public sealed class ManualTimeTests
{
    private readonly ManualTime time = new();

    [Fact]
    public void Timers_fire_in_the_order_of_their_due_times_at_their_due_times()
    {
        DateTimeOffset start = time.GetUtcNow();
        List<(string Name, TimeSpan At)> fired = [];
        Timer("b", 2);
        Timer("a", 1);
        Timer("never", 4);

        time.Advance(TimeSpan.FromSeconds(3));

        Assert.Equal([("a", TimeSpan.FromSeconds(1)), ("b", TimeSpan.FromSeconds(2))], fired);
        Assert.Equal(start.AddSeconds(3), time.GetUtcNow());

        void Timer(string name, int seconds) => time.CreateTimer(_ => fired.Add((name, time.GetUtcNow() - start)), null,
            TimeSpan.FromSeconds(seconds), Timeout.InfiniteTimeSpan);
    }

    [Fact]
    public void A_timer_that_a_callback_makes_fires_on_the_same_way()
    {
        int fired = 0;
        ITimer? timer = null;
        timer = time.CreateTimer(_ =>
        {
            fired++;
            timer!.Change(TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        }, null, TimeSpan.Zero, Timeout.InfiniteTimeSpan);

        time.Advance(TimeSpan.FromSeconds(3));

        Assert.Equal(4, fired);
    }

    [Fact]
    public void A_periodic_timer_fires_every_period_until_it_is_disposed()
    {
        int fired = 0;
        using (time.CreateTimer(_ => fired++, null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)))
            time.Advance(TimeSpan.FromSeconds(3));
        time.Advance(TimeSpan.FromSeconds(3));

        Assert.Equal(3, fired);
    }

    [Fact]
    public void Timestamps_and_the_clock_move_together()
    {
        long began = time.GetTimestamp();

        time.Advance(TimeSpan.FromMilliseconds(1500));

        Assert.Equal(TimeSpan.FromMilliseconds(1500), time.GetElapsedTime(began));
    }

    [Fact]
    public async Task Delays_and_waits_end_when_the_clock_gets_there()
    {
        Task delay = Task.Delay(TimeSpan.FromSeconds(2), time);
        Task wait = new TaskCompletionSource().Task.WaitAsync(TimeSpan.FromSeconds(3), time);

        time.Advance(TimeSpan.FromSeconds(2) - TimeSpan.FromTicks(1));
        Assert.False(delay.IsCompleted);
        time.Advance(TimeSpan.FromTicks(1));
        Assert.True(delay.IsCompletedSuccessfully);

        Assert.False(wait.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<TimeoutException>(() => wait);
    }

    [Fact]
    public void A_callback_that_blocks_does_not_keep_another_thread_from_moving_the_clock()
    {
        using ManualResetEventSlim blocked = new();
        using ManualResetEventSlim goOn = new();
        time.CreateTimer(_ =>
        {
            blocked.Set();
            goOn.Wait(Eventually.Limit);
        }, null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        Thread other = new(() => time.Advance(TimeSpan.FromSeconds(1)));
        other.Start();
        Assert.True(blocked.Wait(Eventually.Limit));
        bool fired = false;
        time.CreateTimer(_ => fired = true, null, TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);

        time.Advance(TimeSpan.FromSeconds(5));

        Assert.True(fired);
        goOn.Set();
        Assert.True(other.Join(Eventually.Limit));
    }

    [Fact]
    public void After_a_jump_what_was_due_fires_late()
    {
        DateTimeOffset? firedAt = null;
        DateTimeOffset start = time.GetUtcNow();
        time.CreateTimer(_ => firedAt = time.GetUtcNow(), null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);

        time.Jump(TimeSpan.FromSeconds(10));
        Assert.Null(firedAt);
        time.Advance(TimeSpan.Zero);

        Assert.Equal(start.AddSeconds(10), firedAt);
    }
}
