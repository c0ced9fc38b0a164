using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>That the history of both modes is judged as it should be.</summary>
public sealed class EntryHistoryTests
{
    private static readonly DateTimeOffset Start = DateTimeOffset.UnixEpoch;

    private readonly List<EntryChange> changes = [];
    private readonly List<ConductorChange> deaths = [];
    private (string? Holder, string[] Entries) row = (null, []);

    [Fact]
    public void Readers_and_writers_one_after_the_other_are_in_order()
    {
        Become(null, 0, "a 1");
        Become(null, 0, "a 1", "b 2");
        Become(null, 0, "b 2");
        Become("b", 3);
        Become(null, 4, "b 4");
        Become(null, 4);
        Become("a", 5);

        Assert.Empty(Violations());
    }

    [Fact]
    public void A_writer_beside_a_reader_is_caught()
    {
        Become(null, 0, "a 1");
        Become("b", 2, "a 1");

        Assert.Equal(["A writer beside readers", "A writer got the node while others read"], Violations());
    }

    [Fact]
    public void A_writer_that_takes_a_living_readers_entry_away_is_caught()
    {
        Become(null, 0, "a 1");
        Become("b", 2);

        Assert.Equal(["A writer got the node while others read"], Violations());
    }

    [Fact]
    public void A_reader_that_ends_a_living_writer_is_caught()
    {
        Become("a", 1);
        Become(null, 2, "b 2");

        Assert.Equal(["A reader got the node while another wrote"], Violations());
    }

    [Fact]
    public void The_dead_may_be_taken_over_in_either_mode()
    {
        Become(null, 0, "a 1");
        Die("a");
        Become("b", 2);
        Die("b");
        Become(null, 3, "c 3");

        Assert.Empty(Violations());
    }

    [Fact]
    public void One_who_died_later_was_alive()
    {
        Become("a", 1);
        Become(null, 2, "b 2");
        Die("a");

        Assert.Equal(["A reader got the node while another wrote"], Violations());
    }

    [Fact]
    public void A_second_entry_of_one_conductor_is_caught()
    {
        Become(null, 0, "a 1");
        Become(null, 0, "a 1", "a 2");

        Assert.Equal(["A conductor has two entries"], Violations());
    }

    [Theory]
    [InlineData(4)]
    [InlineData(3)]
    public void A_stamp_that_did_not_grow_is_caught(int stamp)
    {
        Become("a", 4);
        Become(null, 4);
        Become(null, 4, $"a {stamp}");

        Assert.Equal(["A stamp did not grow"], Violations());
    }

    private void Become(string? holder, long token, params string[] entries)
    {
        changes.Add(new EntryChange(
            changes.Count, Start.AddSeconds(changes.Count + deaths.Count), "n", row.Holder, holder, token, row.Entries,
            entries));
        row = (holder, entries);
    }

    private void Die(string holder) => deaths.Add(new ConductorChange(
        deaths.Count, Start.AddSeconds(changes.Count + deaths.Count), "judged", holder, "alive", "fenced", Start));

    /// <summary>The kinds of violations, in the order of the words.</summary>
    private IEnumerable<string> Violations() => EntryHistory.Check(changes, deaths)
        .Select(violation => violation.Split([" in one row:", ":"], 2, StringSplitOptions.None)[0]).Order();
}
