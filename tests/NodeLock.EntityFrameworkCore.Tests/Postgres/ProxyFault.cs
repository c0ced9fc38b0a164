namespace NodeLock.Tests.Postgres;

/// <summary>Something a <see cref="FaultProxy"/> does with requests that match, until it is disposed.</summary>
public abstract class ProxyFault : IDisposable
{
    private readonly Func<ProxiedRequest, bool> match;
    private readonly Tally matches = new("requests that match");
    private int remaining;

    private protected ProxyFault(Func<ProxiedRequest, bool> match, int count)
    {
        this.match = match;
        remaining = count;
    }

    /// <summary>How many requests have matched.</summary>
    public int Matches => matches.Count;

    /// <summary>Whether no later request will match.</summary>
    internal bool IsOver => Volatile.Read(ref remaining) <= 0;

    /// <summary>Waits until a request has matched: the proxy has it, and the server may not have it yet.</summary>
    public Task WaitForMatchAsync(TimeSpan limit) => matches.ReachAsync(1, limit);

    /// <summary>Waits until so many requests have matched.</summary>
    public Task WaitForMatchesAsync(int count, TimeSpan limit) => matches.ReachAsync(count, limit);

    /// <summary>Later requests do not match any more.</summary>
    public void Dispose()
    {
        End();
        GC.SuppressFinalize(this);
    }

    internal void Consider(ProxiedRequest request)
    {
        if (Volatile.Read(ref remaining) <= 0 || !match(request) || Interlocked.Decrement(ref remaining) < 0)
            return;
        Mark(request);
        matches.Add();
    }

    private protected virtual void End() => Volatile.Write(ref remaining, 0);

    private protected abstract void Mark(ProxiedRequest request);
}

/// <summary>Requests that are only counted.</summary>
public sealed class WatchedRequests : ProxyFault
{
    internal WatchedRequests(Func<ProxiedRequest, bool> match)
        : base(match, int.MaxValue)
    {
    }

    private protected override void Mark(ProxiedRequest request)
    {
    }
}

/// <summary>Requests that the server carries out and whose sender never hears of it: its connection breaks.</summary>
public sealed class DroppedReplies : ProxyFault
{
    private readonly Tally drops = new("replies dropped");
    private int errors;

    internal DroppedReplies(Func<ProxiedRequest, bool> match, int count)
        : base(match, count)
    {
    }

    /// <summary>How many replies were dropped.</summary>
    public int Drops => drops.Count;

    /// <summary>How many of the dropped replies had an error in them: nothing was committed.</summary>
    public int Errors => Volatile.Read(ref errors);

    /// <summary>Waits until a reply has been dropped: the server's transaction is over.</summary>
    public Task WaitForDropAsync(TimeSpan limit) => drops.ReachAsync(1, limit);

    internal void NoteDrop(bool failed)
    {
        if (failed)
            Interlocked.Increment(ref errors);
        drops.Add();
    }

    private protected override void Mark(ProxiedRequest request) => request.Drop ??= this;
}

/// <summary>Requests that wait in the proxy, whether or not their sender still does, until they are released.</summary>
public sealed class HeldRequests : ProxyFault
{
    private readonly Tally sendersGone = new("senders of held requests gone");
    private readonly Tally answers = new("held requests answered");
    private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal HeldRequests(Func<ProxiedRequest, bool> match, int count)
        : base(match, count)
    {
    }

    internal Task Released => released.Task;

    /// <summary>Delivers what is held to the server; nothing is held from now on.</summary>
    public void Release()
    {
        base.End();
        released.TrySetResult();
    }

    /// <summary>Waits until the sender of a held request has closed its connection.</summary>
    public Task WaitForSenderGoneAsync(TimeSpan limit) => sendersGone.ReachAsync(1, limit);

    /// <summary>Waits until the server has answered a released request: its effect is there.</summary>
    public Task WaitForAnswerAsync(TimeSpan limit) => answers.ReachAsync(1, limit);

    /// <summary>Waits until the server has answered so many released requests.</summary>
    public Task WaitForAnswersAsync(int count, TimeSpan limit) => answers.ReachAsync(count, limit);

    internal void NoteSenderGone() => sendersGone.Add();

    internal void NoteAnswer() => answers.Add();

    private protected override void End() => Release();

    private protected override void Mark(ProxiedRequest request) => request.Hold ??= this;
}
