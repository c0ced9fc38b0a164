using System.Diagnostics;
using Xunit;

namespace NodeLock.Tests.Postgres;

public sealed class BeliefsTests
{
    private readonly Beliefs first = new("first");
    private readonly Beliefs second = new("second");

    private IEnumerable<string> All => [.. second.Lines, .. first.Lines];

    [Fact]
    public void Beliefs_one_after_the_other_do_not_overlap()
    {
        first.Begin("n", "1", "a", 1);
        first.End("1");
        second.Begin("n", "1", "b", 2);
        second.End("1");

        Assert.Equal(2, BeliefJudge.Read(All).Count);
        Assert.Empty(BeliefJudge.Overlaps(All));
    }

    [Fact]
    public void Two_processes_that_believe_in_one_node_at_once_are_caught()
    {
        first.Begin("n", "1", "a", 1);
        second.Begin("n", "1", "b", 2);
        first.End("1");
        second.End("1");

        BeliefOverlap overlap = Assert.Single(BeliefJudge.Overlaps(All));
        Assert.Equal(("a", "b"), (overlap.First.Holder, overlap.Second.Holder));
        Assert.True(overlap.Duration > TimeSpan.Zero);
        Assert.StartsWith("Node n: first:1 of a (Exclusive, token 1)", overlap.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Beliefs_in_different_nodes_do_not_overlap()
    {
        first.Begin("n", "1", "a", 1);
        second.Begin("m", "1", "b", 2);
        first.End("1");
        second.End("1");

        Assert.Empty(BeliefJudge.Overlaps(All));
    }

    [Theory]
    [InlineData(BeliefMode.Shared, BeliefMode.Shared, 0)]
    [InlineData(BeliefMode.Shared, BeliefMode.Exclusive, 1)]
    [InlineData(BeliefMode.Exclusive, BeliefMode.Shared, 1)]
    public void Only_shares_go_together(BeliefMode one, BeliefMode other, int overlaps)
    {
        first.Begin("n", "1", "a", 1, one);
        second.Begin("n", "1", "b", 1, other);
        first.End("1");
        second.End("1");

        Assert.Equal(overlaps, BeliefJudge.Overlaps(All).Count);
    }

    [Fact]
    public void A_killed_process_believed_up_to_its_last_confirmation()
    {
        first.Begin("n", "1", "a", 1);
        first.Confirm("1", Beliefs.Now());
        second.Begin("n", "1", "b", 2);
        second.End("1");
        Assert.Empty(BeliefJudge.Overlaps([.. All, "belief|confirm|9999"]));

        first.Confirm("1", Beliefs.Now() - Stopwatch.Frequency); // a time that was overtaken changes nothing
        Assert.Empty(BeliefJudge.Overlaps(All));

        first.Confirm("1", Beliefs.Now());
        Assert.Single(BeliefJudge.Overlaps(All));
    }

    [Fact]
    public void A_scope_that_lost_its_node_believed_up_to_its_last_confirmation()
    {
        first.Begin("n", "1", "a", 1);
        second.Begin("n", "1", "b", 2);
        second.End("1");
        first.Lose("1");

        Assert.Empty(BeliefJudge.Overlaps(All));
    }

    [Fact]
    public void Three_at_once_are_three_overlaps()
    {
        first.Begin("n", "1", "a", 1);
        first.Begin("n", "2", "a", 2);
        second.Begin("n", "1", "b", 3);
        first.End("1");
        first.End("2");
        second.End("1");

        Assert.Equal(3, BeliefJudge.Overlaps(All).Count);
    }

    [Theory]
    [InlineData(BeliefMode.Exclusive, 2, 0)]
    [InlineData(BeliefMode.Exclusive, 1, 1)]
    [InlineData(BeliefMode.Exclusive, 0, 1)]
    [InlineData(BeliefMode.Shared, 1, 0)]
    [InlineData(BeliefMode.Shared, 0, 1)]
    public void A_token_that_does_not_grow_is_found(BeliefMode mode, long token, int regressions)
    {
        first.Begin("n", "1", "a", 1);
        first.End("1");
        second.Begin("n", "1", "b", token, mode);
        second.Begin("other", "2", "b", 1, mode);

        Assert.Equal(regressions, BeliefJudge.Regressions(BeliefJudge.Read(All)).Count);
    }

    [Fact]
    public void Those_who_share_may_have_one_stamp_and_a_writer_after_them_may_not()
    {
        first.Begin("n", "1", "a", 5, BeliefMode.Shared);
        second.Begin("n", "2", "b", 4, BeliefMode.Shared);
        first.Begin("n", "3", "a", 5, BeliefMode.Shared);
        Assert.Empty(BeliefJudge.Regressions(BeliefJudge.Read(All)));

        second.Begin("n", "4", "b", 5);
        Assert.Single(BeliefJudge.Regressions(BeliefJudge.Read(All)));
    }

    [Fact]
    public void What_is_written_is_what_is_read()
    {
        using var sink = new StringWriter();
        var written = new Beliefs("p|1", sink);
        written.Begin("a|node", "s\n1", "host/1f", 42, BeliefMode.Shared);
        written.End("s\n1");

        Belief belief = Assert.Single(BeliefJudge.Read(["noise", .. sink.ToString().Split('\n')]));
        Assert.Equal(("a|node", "p|1:s\n1", "host/1f", 42L, BeliefMode.Shared), (
            belief.Node, belief.ScopeId, belief.Holder, belief.Token, belief.Mode));
        Assert.True(belief.Begin < belief.End);
        Assert.Equal(written.Lines, sink.ToString().Split(Environment.NewLine)[..^1]);
    }
}
