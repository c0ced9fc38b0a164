using System.Data.Common;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>A scope that tells the record what it believes, also while its mode changes.</summary>
/// <remarks>
/// A process may be paused after any answer, so that nothing is noted that was not asked for: each belief goes from a
/// time before one "yes" to a time before another. It is exclusive from the return of an upgrade until the call of a
/// downgrade, and shared before and after, with nothing in between.
/// </remarks>
internal sealed class Believer(TaskScope scope, WorkRecord record, string holder)
{
    private static readonly LockRetry Retry = new(4, TimeSpan.FromMilliseconds(50));

    private string belief = "";

    public TaskScope Scope => scope;

    public BeliefMode Mode { get; private set; }

    /// <summary>Begins to believe. False, here and elsewhere, when the scope says that it lost the node.</summary>
    public bool Begin(BeliefMode mode) => Begin(mode, Beliefs.Now());

    /// <summary>Goes on believing.</summary>
    public bool Confirm()
    {
        long askedAfter = Beliefs.Now();
        if (!Holds())
            return false;
        record.Beliefs.Confirm(belief, askedAfter);
        return true;
    }

    /// <summary>Tries to; the scope stays shared where it is refused or the answer is lost.</summary>
    public async Task<bool> UpgradeAsync()
    {
        try
        {
            await scope.UpgradeAsync("write", Retry);
        }
        catch (Exception e) when (e is NodeLockedException or DbException or TimeoutException)
        {
            record.Did(e is NodeLockedException ? "upgrade refused" : "upgrade unanswered");
            return Confirm();
        }

        record.Did("upgraded");
        return Change(BeliefMode.Exclusive, since: Beliefs.Now());
    }

    /// <summary>The scope is shared from the call on, also where the answer is lost.</summary>
    public async Task<bool> DowngradeAsync()
    {
        long called = Beliefs.Now();
        try
        {
            await scope.DowngradeAsync();
            record.Did("downgraded");
        }
        catch (Exception e) when (e is DbException or TimeoutException)
        {
            record.Did("downgrade unanswered");
        }

        return Change(BeliefMode.Shared, since: called);
    }

    private bool Change(BeliefMode mode, long since)
    {
        string before = belief;
        if (!Begin(mode, since))
            return false;
        record.Beliefs.Confirm(before, since);
        return true;
    }

    private bool Begin(BeliefMode mode, long since)
    {
        if (!Holds())
            return false;
        Mode = mode;
        belief = record.Name();
        record.Beliefs.Begin(scope.NodeId.ToString(), belief, holder, scope.FencingToken, mode, since);
        return true;
    }

    private bool Holds()
    {
        try
        {
            scope.EnsureHeld();
            return true;
        }
        catch (ReservationLostException)
        {
            record.Did("lost");
            return false;
        }
    }
}
