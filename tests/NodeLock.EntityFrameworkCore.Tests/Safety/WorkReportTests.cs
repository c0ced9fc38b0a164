using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>That what became of writes is judged as it should be.</summary>
public sealed class WorkReportTests : IDisposable
{
    private readonly StringWriter lines = new();
    private readonly WorkRecord record;

    public WorkReportTests() => record = new WorkRecord("p|1", lines);

    private WorkReport Report => WorkReport.Read(lines.ToString().Split(Environment.NewLine)[..^1]);

    public void Dispose() => lines.Dispose();

    [Fact]
    public void What_is_told_is_what_is_read()
    {
        record.Did("count|ed");
        record.Did("count|ed");
        record.ReadTorn("1 became 2");
        record.Wrote("w", WorkRecord.Begun);
        record.Wrote("w", WorkRecord.Accepted);
        lines.WriteLine("work|wrote|w|refu");

        Assert.Equal(2, Report.Done["count|ed"]);
        Assert.Equal(["1 became 2"], Report.TornReads);
        Assert.Equal(1, Report.WritesThat(WorkRecord.Accepted));
        Assert.Equal(1, Report.TornLines);
    }

    [Theory]
    [InlineData(WorkRecord.Begun, true, false)]
    [InlineData(WorkRecord.Begun, false, false)]
    [InlineData(WorkRecord.Unknown, true, false)]
    [InlineData(WorkRecord.Unknown, false, false)]
    [InlineData(WorkRecord.Accepted, true, false)]
    [InlineData(WorkRecord.Accepted, false, true)]
    [InlineData(WorkRecord.Refused, true, true)]
    [InlineData(WorkRecord.Refused, false, false)]
    [InlineData(WorkRecord.Failed, true, true)]
    [InlineData(WorkRecord.Failed, false, false)]
    public void Only_a_write_whose_outcome_is_not_known_may_be_there_or_not(string outcome, bool isThere, bool isWrong)
    {
        string write = record.Name();
        record.Wrote(write, outcome);

        Assert.Equal(isWrong ? 1 : 0, Report.WrongWrites(isThere ? new HashSet<string> { write } : []).Count);
    }

    [Fact]
    public void A_write_that_nobody_made_is_wrong() => Assert.Single(Report.WrongWrites(new HashSet<string> { "w" }));
}
