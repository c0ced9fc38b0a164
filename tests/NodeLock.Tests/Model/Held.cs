namespace NodeLock.Tests.Model;

/// <summary>A scope that nobody has ended, of the caller or of spawned work.</summary>
internal sealed record Held(int Conductor, TaskScope Scope)
{
    public TaskCompletionSource? GoOn { get; init; }

    public Task? Work { get; init; }

    public async Task EndAsync()
    {
        GoOn?.TrySetResult();
        if (Work is not null) await Work;
        await Scope.DisposeAsync();
    }
}

/// <summary>An acquire that has not ended.</summary>
internal sealed record Waiting(int Conductor, int Node, Task<TaskScope> Acquire);
