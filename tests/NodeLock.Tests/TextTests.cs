using Xunit;

namespace NodeLock.Tests;

public sealed class TextTests
{
    [Theory]
    [InlineData(null, "empty")]
    [InlineData("", "empty")]
    [InlineData("   ", "empty")]
    [InlineData("power\u0007on", "U+0007 stands at 5")]
    public async Task A_purpose_that_says_nothing_is_refused_before_the_store_is_asked(string? purpose, string reason)
    {
        await using World world = new();
        Func<Task>[] calls =
        [
            async () => await world.Manager.AcquireAsync(1, purpose!),
            async () => await world.Manager.AcquireAsync(1, new AcquireOptions { Purpose = purpose! }),
            async () => await world.Manager.TryAcquireAsync(1, purpose!),
        ];

        foreach (Func<Task> call in calls)
        {
            ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(call);
            Assert.Contains("purpose", e.Message);
            Assert.Contains(reason, e.Message);
        }

        Assert.Empty(world.Way.Requests);
    }

    [Fact]
    public async Task A_purpose_has_at_most_500_characters()
    {
        await using World world = new();

        ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(
            async () => await world.Manager.AcquireAsync(1, new string('x', 501)));
        Assert.Contains("500", e.Message);
        Assert.Contains("501", e.Message);

        await using TaskScope task = await world.Manager.AcquireAsync(1, new string('x', 500));
        Assert.Equal(500, task.Purpose.Length);
    }

    [Fact]
    public async Task A_mode_that_does_not_exist_is_refused()
    {
        await using World world = new();

        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
            async () => await world.Manager.TryAcquireAsync(1, "test", (ReservationMode)7));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await world.Manager.AcquireAsync(1,
            new AcquireOptions { Purpose = "test", Mode = (ReservationMode)7 }));
    }

    [Fact]
    public async Task Options_that_are_missing_are_refused()
    {
        await using World world = new();

        await Assert.ThrowsAsync<ArgumentNullException>(
            async () => await world.Manager.AcquireAsync(1, (AcquireOptions)null!));
    }
}
