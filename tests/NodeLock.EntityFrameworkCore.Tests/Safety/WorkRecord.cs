using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// What the workers of a process tell of their doings, a line each, at once: a process that is killed has told all but
/// what it was about to tell.
/// </summary>
internal sealed class WorkRecord
{
    public const string Begun = "begun";
    public const string Accepted = "accepted";
    public const string Refused = "refused";
    public const string Failed = "failed";
    public const string Unknown = "unknown";

    private readonly string process;
    private readonly TextWriter sink;
    private int names;

    public WorkRecord(string process, TextWriter sink)
    {
        this.process = process;
        this.sink = TextWriter.Synchronized(sink); // one for both, since each has a lock of its own
        Beliefs = new Beliefs(process, this.sink);
    }

    public Beliefs Beliefs { get; }

    /// <summary>A name that nobody else in any process has.</summary>
    public string Name() => $"{process}:{Interlocked.Increment(ref names)}";

    public void Did(string what) => Write(new WorkLine(WorkLine.Did, what));

    /// <summary>What became of a write; its last word is <see cref="Begun"/> where the process was killed.</summary>
    public void Wrote(string name, string outcome) => Write(new WorkLine(WorkLine.Wrote, name, outcome));

    /// <summary>Somebody wrote while a reader believed that nobody would.</summary>
    public void ReadTorn(string what) => Write(new WorkLine(WorkLine.Torn, what));

    private void Write(WorkLine line) => sink.WriteLine(line.ToString());
}

/// <summary>A line of the record: <c>work|kind|what|outcome|.</c></summary>
internal sealed record WorkLine(string Kind, string What, string Outcome = "")
{
    public const string Did = "did";
    public const string Wrote = "wrote";
    public const string Torn = "torn";

    // The last field shows that the line is whole.
    public static WorkLine? TryParse(string line) =>
        line.Split('|') is ["work", var kind, var what, var outcome, "."]
            ? new WorkLine(kind, Uri.UnescapeDataString(what), outcome)
            : null;

    public override string ToString() => $"work|{Kind}|{Uri.EscapeDataString(What)}|{Outcome}|.";
}

/// <summary>What the records of all processes say together.</summary>
internal sealed class WorkReport
{
    private readonly Dictionary<string, int> done = [];
    private readonly Dictionary<string, string> writes = [];
    private readonly List<string> tornReads = [];

    private WorkReport()
    {
    }

    /// <summary>How often what was done.</summary>
    public IReadOnlyDictionary<string, int> Done => done;

    /// <summary>The last word about each write.</summary>
    public IReadOnlyDictionary<string, string> Writes => writes;

    public IReadOnlyList<string> TornReads => tornReads;

    /// <summary>How many lines are not whole; the last one of a process that was killed may be.</summary>
    public int TornLines { get; private set; }

    public static WorkReport Read(IEnumerable<string> lines)
    {
        WorkReport report = new();
        foreach (string text in lines)
        {
            if (!text.EndsWith("|.", StringComparison.Ordinal))
                report.TornLines++;
            if (WorkLine.TryParse(text) is not { } line)
                continue;
            if (line.Kind == WorkLine.Did)
                report.done[line.What] = report.done.GetValueOrDefault(line.What) + 1;
            else if (line.Kind == WorkLine.Wrote)
                report.writes[line.What] = line.Outcome;
            else
                report.tornReads.Add(line.What);
        }

        return report;
    }

    public int WritesThat(params string[] outcomes) => writes.Values.Count(outcomes.Contains);

    /// <summary>
    /// What is wrong with the writes, given the names of those that are in the database: one that was accepted must be
    /// there, one that was refused or failed must not. Where a process was killed, or was told that it cannot be
    /// known, it may be either.
    /// </summary>
    public IReadOnlyList<string> WrongWrites(IReadOnlySet<string> saved) =>
    [
        .. writes.Where(w => w.Value == WorkRecord.Accepted && !saved.Contains(w.Key))
            .Select(w => $"Write {w.Key} was accepted and is not there."),
        .. writes.Where(w => w.Value is WorkRecord.Refused or WorkRecord.Failed && saved.Contains(w.Key))
            .Select(w => $"Write {w.Key} was {w.Value} and is there."),
        .. saved.Where(name => !writes.ContainsKey(name)).Select(name => $"Nobody made the write {name}."),
    ];
}
