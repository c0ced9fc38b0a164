namespace NodeLock;

/// <summary>
/// Waits for the store's answer to one request. Cancellation, or a store that does not answer in time, ends the wait,
/// never the statement, which may reserve the node all the same.
/// </summary>
/// <typeparam name="T">The answer.</typeparam>
internal sealed class BoundedAnswer<T>(INodeLockRepository repository, TimeSpan limit, TimeProvider timeProvider)
{
    /// <summary>The one whose answer nobody waited for; its owner must see what comes of it.</summary>
    public Task<T>? Abandoned { get; private set; }

    /// <param name="answer">What is waited for.</param>
    /// <param name="question">What is unknown without it, to be said to the caller.</param>
    /// <param name="asked">What the question is about.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async ValueTask<T> AnswerAsync<TAsked>(ValueTask<T> answer, Func<TAsked, string> question, TAsked asked,
        CancellationToken cancellationToken)
    {
        if (answer.IsCompleted) return await answer.ConfigureAwait(false);

        Task<T> statement = answer.AsTask();
        await ((Task)statement).WaitAsync(limit, timeProvider, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (statement.IsCompleted) return await statement.ConfigureAwait(false);

        Abandoned = statement;
        cancellationToken.ThrowIfCancellationRequested();
        throw new TimeoutException($"{repository.Location} did not answer within {limit} whether {question(asked)}");
    }
}
