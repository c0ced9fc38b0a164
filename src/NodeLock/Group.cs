using System.Data.Common;

namespace NodeLock;

/// <summary>
/// Requests to the store of one sort. One that finds few enough under way is sent at once, by its caller; those that
/// come while others are under way go together in the next statement.
/// </summary>
/// <typeparam name="TRequest">What is asked.</typeparam>
/// <typeparam name="TAnswer">What is answered.</typeparam>
/// <param name="alone">Sends one.</param>
/// <param name="together">Sends several; null is answered for one that has to be asked alone.</param>
/// <param name="holderOf">In whose name a request is: those that go together have one holder.</param>
/// <param name="atOnce">How many statements may be under way before the next request waits for one to end.</param>
/// <param name="timeProvider">The clock of the waits.</param>
#pragma warning disable CA1001 // A semaphore whose wait handle nobody asked for has nothing to free.
internal sealed class Group<TRequest, TAnswer>(Func<TRequest, ValueTask<TAnswer>> alone,
    Func<IReadOnlyList<TRequest>, ValueTask<IReadOnlyList<TAnswer?>>> together, Func<TRequest, string> holderOf,
    int atOnce, TimeProvider timeProvider) where TAnswer : class
#pragma warning restore CA1001
{
    private const int Most = 500;

    // So many are worth a statement beside the one under way: one is written down while the other is on its way. Fewer
    // cost the store less when they wait for the next.
    private const int Enough = 50;

    // So many of those that a group did not decide are asked for at once.
    private const int MostAlone = 16;

    // A statement that takes longer than this (a row in somebody's hand, a network that is cut) holds nobody else up.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(20);

    private readonly Lock sync = new();
    private readonly Queue<Member> waiting = [];
    private readonly SemaphoreSlim aloneSlots = new(MostAlone);
    private ITimer? patience;
    private int underWay;

    public ValueTask<TAnswer> AskAsync(TRequest request)
    {
        Member? member = null;
        lock (sync)
        {
            if (underWay < atOnce) underWay++;
            else Enqueue_NeedsLock(member = new Member(request));
        }

        return member is null ? AtOnceAsync(request) : TogetherAsync(member);
    }

    private async ValueTask<TAnswer> AtOnceAsync(TRequest request)
    {
        try
        {
            return await alone(request).ConfigureAwait(false);
        }
        finally
        {
            Ended();
        }
    }

    /// <summary>What the statement of the group could not decide (the row was in somebody's hand, or the store refused
    /// the statement for the sake of another's request) is asked for again alone.</summary>
    private async ValueTask<TAnswer> TogetherAsync(Member member) =>
        await member.Task.ConfigureAwait(false) ?? await AloneAsync(member.Request).ConfigureAwait(false);

    private async ValueTask<TAnswer> AloneAsync(TRequest request)
    {
        await aloneSlots.WaitAsync().ConfigureAwait(false);
        try
        {
            return await alone(request).ConfigureAwait(false);
        }
        finally
        {
            aloneSlots.Release();
        }
    }

    private void Enqueue_NeedsLock(Member member)
    {
        waiting.Enqueue(member);
        if (waiting.Count == Enough && underWay == atOnce)
        {
            underWay++;
            SendSoon();
        }

        if (waiting.Count > 1) return;
        patience ??= CreatePatience();
        patience.Change(Patience, Timeout.InfiniteTimeSpan);
    }

    private ITimer CreatePatience()
    {
        // What flows with the first caller (a transaction, an activity) is none of the others'.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
            return timeProvider.CreateTimer(_ => Hurry(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Those that wait take the place of the statement that has ended.</summary>
    private void Ended()
    {
        lock (sync)
        {
            if (waiting.Count == 0)
            {
                underWay--;
                return;
            }
        }

        SendSoon();
    }

    /// <summary>Not on the caller's thread, which has its answer or waits for another.</summary>
    private void SendSoon() =>
        ThreadPool.UnsafeQueueUserWorkItem(static group => _ = group.SendAsync(), this, preferLocal: false);

    private void Hurry()
    {
        lock (sync)
        {
            if (waiting.Count == 0) return;
            underWay++;
        }

        _ = SendAsync();
    }

    /// <summary>One statement after the other, until nobody waits. It does not throw: every failure is some
    /// caller's.</summary>
    private async Task SendAsync()
    {
        while (Next() is { } members)
        {
            try
            {
                IReadOnlyList<TAnswer?> answers = members.Count == 1
                    ? [await alone(members[0].Request).ConfigureAwait(false)]
                    : await together([.. members.Select(m => m.Request)]).ConfigureAwait(false);
                for (int i = 0; i < members.Count; i++) members[i].SetResult(answers[i]);
            }
            // The store has answered, and has done nothing: one request may be to blame for what befalls all.
            catch (DbException e) when (IsOfOneRequest(e) && members.Count > 1)
            {
                foreach (Member member in members) member.TrySetResult(null);
            }
            catch (Exception e)
            {
                foreach (Member member in members) member.TrySetException(e);
            }
        }
    }

    // Not where the server has too few resources, is shutting down or starting, or has a fault (classes 08, 53, 57, 58
    // and XX): that would befall each of them too, and many at once do it no good.
    private static bool IsOfOneRequest(DbException e) =>
        e.SqlState is { Length: > 2 } state && state[..2] is not ("08" or "53" or "57" or "58" or "XX");

    private List<Member>? Next()
    {
        lock (sync)
        {
            if (!waiting.TryPeek(out Member? first))
            {
                underWay--;
                return null;
            }

            List<Member> members = [];
            while (members.Count < Most && waiting.TryPeek(out Member? next)
                && holderOf(next.Request) == holderOf(first.Request))
                members.Add(waiting.Dequeue());
            if (waiting.Count > 0) patience!.Change(Patience, Timeout.InfiniteTimeSpan);
            return members;
        }
    }

    private sealed class Member(TRequest request)
        : TaskCompletionSource<TAnswer?>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public TRequest Request => request;
    }
}
