using System.Data.Common;
using System.Diagnostics;
using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>A commit whose reply was lost. The server knows what became of it (the manual, 9.27.7).</summary>
/// <param name="statements">Asks on a connection of the repository's own: the transaction's is gone.</param>
/// <param name="guarded">The transaction.</param>
/// <param name="release">What says whether it has released its node, if it was to.</param>
/// <param name="patience">How long it is asked for.</param>
internal sealed class LostCommit(
    Statements statements, Guarded guarded, (string Sql, object[] Parameters)? release, TimeSpan patience)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestAnswer = TimeSpan.FromSeconds(5);

    /// <summary>
    /// True when it was committed, false when it was not and never will be, null when that could not be found out in
    /// time. Nobody's cancellation ends this: what has to be found out has happened already.
    /// </summary>
    public async Task<bool?> IsCommittedAsync()
    {
        long began = Stopwatch.GetTimestamp();
        for (TimeSpan pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            TimeSpan left = patience - Stopwatch.GetElapsedTime(began);
            switch (await AskAsync(left).ConfigureAwait(false))
            {
                case "aborted": return false;
                // Looked at after that, the row shows what was committed, and what a crash has undone.
                case "committed": return await IsReleasedAsync(left).ConfigureAwait(false) ?? true;
                case null: return await IsReleasedAsync(left).ConfigureAwait(false);
            }

            if (Stopwatch.GetElapsedTime(began) + pause >= patience) return null;
            await Task.Delay(pause, TimeProvider.System, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>Null when there is no telling from the row.</summary>
    private async Task<bool?> IsReleasedAsync(TimeSpan left)
    {
        if (release is not var (sql, parameters)) return null;
        Statement<bool?> look = new(sql, parameters, left < LongestAnswer ? left : LongestAnswer,
            static row => row.IsDBNull(0) ? null : row.GetBoolean(0));
        try
        {
            return (await statements.QueryAsync(look).ConfigureAwait(false)) is [var released] ? released : null;
        }
        catch (Exception e) when (e is DbException or TimeoutException)
        {
            return null;
        }
    }

    /// <summary>Null when the server does not know the transaction: it is not the server that had it, or its log has
    /// been cut off since.</summary>
    private async Task<string?> AskAsync(TimeSpan left)
    {
        TimeSpan limit = left < LongestAnswer ? left : LongestAnswer;
        Statement<string?> ask = new(GuardSql.Outcome, [guarded.Transaction, guarded.Run], limit,
            static row => row.IsDBNull(0) ? null : row.GetString(0));
        try
        {
            return (await statements.QueryAsync(ask).ConfigureAwait(false))[0];
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.InvalidParameterValue)
        {
            return null;
        }
        catch (Exception e) when (e is DbException or TimeoutException)
        {
            return "in progress"; // for all that can be seen from here
        }
    }
}
