using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>The judge of fences sees what it is there for.</summary>
public sealed class FenceJudgeTests
{
    private const string Dead = "dead/1";
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Revoked_fenced_and_then_freed_is_in_order() => Assert.Empty(Judge(
        [Revoked(1, 11), Freed(4, 11)], [Fence(2, "begins", 11), Fence(3, "ends", 11)]));

    [Theory]
    [InlineData("fails")]
    [InlineData("begins")]
    public void A_node_that_is_freed_without_a_fence_that_ended_is_found(string last) => Assert.NotEmpty(Judge(
        [Revoked(1, 11), Freed(4, 11)], [Fence(2, "begins", 11), Fence(3, last, 11)]));

    [Fact]
    public void A_node_that_is_freed_before_its_fence_ended_is_found() => Assert.NotEmpty(Judge(
        [Revoked(1, 11), Freed(3, 11)], [Fence(2, "begins", 11), Fence(4, "ends", 11)]));

    [Fact]
    public void A_node_that_is_freed_by_a_stale_fence_is_found() => Assert.NotEmpty(Judge(
        [Revoked(1, 11), Revoked(3, 12), Freed(6, 12)],
        [Fence(2, "begins", 11), Fence(4, "begins", 12, process: 2), Fence(5, "ends", 11)], death: 3));

    [Fact]
    public void A_node_that_is_taken_over_without_a_fence_is_found() => Assert.NotEmpty(Judge(
        [new ReservationChange(1, At(1), 1, "n", Dead, "next/1", 10, 11, "steal")], []));

    [Fact]
    public void A_fence_that_begins_before_the_revocation_is_found() => Assert.NotEmpty(Judge(
        [Revoked(2, 11), Freed(4, 11)], [Fence(1, "begins", 11), Fence(3, "ends", 11)]));

    [Theory]
    [InlineData(null, false)]
    [InlineData(3, true)]
    [InlineData(5, false)]
    public void Two_fences_at_once_are_found_unless_the_first_ones_conductor_was_dead(int? death, bool isInOrder) =>
        Assert.Equal(isInOrder, Judge(
            [Revoked(1, 11), Revoked(3, 12), Freed(8, 12)],
            [Fence(2, "begins", 11), Fence(4, "begins", 12, process: 2), Fence(6, "ends", 12, process: 2),
             Fence(7, "ends", 11)], death).Count == 0);

    private static IReadOnlyList<string> Judge(
        ReservationChange[] reservations, FenceEvent[] fences, int? death = null) => FenceJudge.Check(
            reservations, fences, Dead, process => process == 1 && death is { } second ? At(second) : null);

    private static ReservationChange Revoked(int second, long token) =>
        new(second, At(second), second, "n", Dead, Dead, token - 1, token, "work");

    private static ReservationChange Freed(int second, long token) =>
        new(second, At(second), second, "n", Dead, null, token, token, null);

    private static FenceEvent Fence(int second, string what, long token, int process = 1) =>
        new(second, At(second), what, "n", Dead, token, process);

    private static DateTimeOffset At(int second) => Start.AddSeconds(second);
}
