using System.Data.Common;
using Xunit;

namespace NodeLock.Tests;

/// <summary>Requests that come while others are under way go together, and each gets its own answer.</summary>
public sealed class GroupTests
{
    private readonly ManualTime time = new();
    private readonly Group<(string Holder, int Number), string> group;
    private readonly List<string> sent = [];
    private readonly Queue<TaskCompletionSource> held = [];

    public GroupTests() => group = new(AloneAsync, TogetherAsync, static request => request.Holder, atOnce: 1, time);

    /// <summary>What comes of a group; null where the first answer is for each to ask alone.</summary>
    private Func<IReadOnlyList<string?>>? Answers { get; set; }

    [Fact]
    public async Task One_that_finds_nothing_under_way_is_sent_at_once_by_itself()
    {
        Assert.Equal("a1", await group.AskAsync(("a", 1)));
        Assert.Equal("a2", await group.AskAsync(("a", 2)));

        Assert.Equal(["a1", "a2"], sent);
    }

    [Fact]
    public async Task Those_that_come_meanwhile_go_together_in_the_next_and_each_has_its_own_answer()
    {
        TaskCompletionSource first = Hold();
        Task<string>[] asked = [.. Enumerable.Range(1, 4).Select(n => group.AskAsync(("a", n)).AsTask())];
        Assert.Equal(["a1"], sent);

        first.SetResult();

        Assert.Equal(["a1", "a2", "a3", "a4"], await Task.WhenAll(asked).WithinLimit());
        Assert.Equal(["a1", "a2+a3+a4"], sent);
    }

    [Fact]
    public async Task Those_of_two_conductors_do_not_go_together()
    {
        TaskCompletionSource first = Hold();
        Task<string>[] asked =
            [.. new[] { ("a", 1), ("a", 2), ("b", 3), ("b", 4) }.Select(r => group.AskAsync(r).AsTask())];

        first.SetResult();

        await Task.WhenAll(asked).WithinLimit();
        Assert.Equal(["a1", "a2", "b3+b4"], sent);
    }

    [Fact]
    public async Task One_that_the_group_did_not_decide_is_asked_for_again_alone()
    {
        TaskCompletionSource first = Hold();
        Task<string>[] asked = [.. Enumerable.Range(1, 3).Select(n => group.AskAsync(("a", n)).AsTask())];
        Answers = () => ["a2", null];

        first.SetResult();

        Assert.Equal(["a1", "a2", "a3"], await Task.WhenAll(asked).WithinLimit());
        Assert.Equal(["a1", "a2+a3", "a3"], sent);
    }

    [Fact]
    public async Task Where_the_store_refuses_a_group_each_is_asked_for_alone()
    {
        TaskCompletionSource first = Hold();
        Task<string>[] asked = [.. Enumerable.Range(1, 3).Select(n => group.AskAsync(("a", n)).AsTask())];
        Answers = () => throw new Refusal("22P02");

        first.SetResult();

        Assert.Equal(["a1", "a2", "a3"], await Task.WhenAll(asked).WithinLimit());
        Assert.Equal(["a1", "a2+a3"], sent[..2]);
        Assert.Equal(["a2", "a3"], sent[2..].Order());
    }

    [Fact]
    public async Task Where_a_group_is_not_answered_each_is_told_and_the_next_ones_go_on()
    {
        TaskCompletionSource first = Hold();
        Task<string>[] asked = [.. Enumerable.Range(1, 3).Select(n => group.AskAsync(("a", n)).AsTask())];
        Answers = () => throw new StoreException("cut");

        first.SetResult();

        Assert.Equal("a1", await asked[0].WithinLimit());
        foreach (Task<string> one in asked[1..]) await Assert.ThrowsAsync<StoreException>(() => one.WithinLimit());
        await Eventually.TrueAsync(() => group.AskAsync(("a", 4)).AsTask().IsCompletedSuccessfully, "the next is sent");
    }

    [Fact]
    public async Task One_that_fails_alone_leaves_its_place_to_the_next()
    {
        TaskCompletionSource first = Hold();
        Task<string> failing = group.AskAsync(("a", 1)).AsTask();
        Task<string> next = group.AskAsync(("a", 2)).AsTask();

        first.SetException(new StoreException("cut"));

        await Assert.ThrowsAsync<StoreException>(() => failing.WithinLimit());
        Assert.Equal("a2", await next.WithinLimit());
    }

    [Fact]
    public async Task A_statement_that_takes_long_holds_up_nobody()
    {
        TaskCompletionSource first = Hold();
        Task<string>[] asked = [.. Enumerable.Range(1, 3).Select(n => group.AskAsync(("a", n)).AsTask())];

        time.Advance(TimeSpan.FromMilliseconds(20));

        Assert.Equal(["a2", "a3"], await Task.WhenAll(asked[1..]).WithinLimit());
        first.SetResult();
        Assert.Equal("a1", await asked[0].WithinLimit());
    }

    [Fact]
    public async Task However_many_come_no_more_than_500_go_in_one()
    {
        TaskCompletionSource first = Hold();
        Task<string>[] asked = [.. Enumerable.Range(1, 1202).Select(n => group.AskAsync(("a", n)).AsTask())];

        first.SetResult();

        await Task.WhenAll(asked).WithinLimit();
        int[] sizes = [.. sent.Select(s => s.Split('+').Length)];
        Assert.Equal(1202, sizes.Sum());
        Assert.InRange(sizes.Max(), 100, 500); // a second one may be on its way before all have come
    }

    private TaskCompletionSource Hold()
    {
        held.Enqueue(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        return held.Peek();
    }

    private async ValueTask<string> AloneAsync((string Holder, int Number) request)
    {
        lock (sent) sent.Add($"{request.Holder}{request.Number}");
        if (held.TryDequeue(out TaskCompletionSource? answer)) await answer.Task;
        return $"{request.Holder}{request.Number}";
    }

    private async ValueTask<IReadOnlyList<string?>> TogetherAsync(IReadOnlyList<(string Holder, int Number)> requests)
    {
        await Task.Yield();
        lock (sent) sent.Add(string.Join('+', requests.Select(r => $"{r.Holder}{r.Number}")));
        return Answers is { } answers ? answers() : [.. requests.Select(r => $"{r.Holder}{r.Number}")];
    }

    private sealed class Refusal(string sqlState) : DbException("refused")
    {
        public override string SqlState => sqlState;
    }
}
