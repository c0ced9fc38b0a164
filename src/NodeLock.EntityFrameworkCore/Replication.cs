using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Hears the warning with which a server confirms a commit whose synchronous standby it did not wait for: after a
/// failover that commit may never have been, so it counts as unanswered.
/// </summary>
internal sealed class Replication : IDisposable
{
    private const string Warning = "01000";

    private readonly NpgsqlConnection connection;
    private string? warning;

    public Replication(NpgsqlConnection connection)
    {
        this.connection = connection;
        connection.Notice += Hear;
    }

    public bool IsWaitedFor => warning is null;

    /// <summary>What to say when it was not waited for.</summary>
    public NpgsqlException Failure =>
        new($"The outcome of a statement is unknown; the server said: {warning}");

    public void ThrowIfNotWaitedFor()
    {
        if (!IsWaitedFor) throw Failure;
    }

    public void Dispose() => connection.Notice -= Hear;

    private void Hear(object sender, NpgsqlNoticeEventArgs e)
    {
        // 01000 is the state of all warnings; the routine's name is the same in every language.
        if (e.Notice is { SqlState: Warning, Routine: "SyncRepWaitForLSN" }) warning = e.Notice.MessageText;
    }
}
