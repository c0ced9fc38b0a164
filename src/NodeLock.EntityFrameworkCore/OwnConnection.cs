using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Connections for one long use: not from the pool, which may be exhausted, and of no ambient transaction. They are
/// cloned from the context's (<see cref="NpgsqlConnection.CloneWith"/>), since a connection string read back lacks the
/// password.
/// </summary>
internal static class OwnConnection
{
    private const int LongestConnect = 1024; // seconds; Npgsql takes no more

    /// <summary>What to clone a connection with.</summary>
    /// <param name="connectionString">Where to.</param>
    /// <param name="name">What it is for, as the server shows it.</param>
    /// <param name="timeLimit">How long an answer may take; a third of it, to connect.</param>
    public static NpgsqlConnectionStringBuilder Settings(string connectionString, string name, TimeSpan timeLimit)
    {
        int seconds = (int)Math.Ceiling(timeLimit.TotalSeconds);
        NpgsqlConnectionStringBuilder settings = new(connectionString)
        {
            Pooling = false,
            Enlist = false,
            Multiplexing = false,
            MaxAutoPrepare = 0,
            ApplicationName = name,
            // At the limit the outcome is unknown and the connection dropped. The driver first connects once more to
            // cancel the statement, for which it must not take long, and does not wait for what comes of it.
            CommandTimeout = seconds,
            CancellationTimeout = -1,
            Timeout = Math.Clamp(seconds / 3, 1, LongestConnect),
        };
        if (!settings.ContainsKey("GSS Encryption Mode")) settings.GssEncryptionMode = GssEncryptionMode.Disable;
        // Of several hosts, the one that can be written to; a data source that looks for it does not say so here.
        if (settings.Host?.Contains(',') == true) settings.TargetSessionAttributes ??= "primary";
        return settings;
    }
}
