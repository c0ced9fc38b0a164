namespace NodeLock;

/// <summary>The reserves and releases of one process, several in a statement where they come at the same time.
/// </summary>
internal sealed class GroupedStore
{
    private static readonly object Released = new();

    private readonly INodeLockRepository repository;
    private readonly NodeLockOptions options;
    private readonly Group<ReserveRequest, ReserveAnswer> reserves;
    private readonly Group<(string Holder, HeldNode Held), object> releases;

    public GroupedStore(INodeLockRepository repository, NodeLockOptions options, TimeProvider timeProvider)
    {
        this.repository = repository;
        this.options = options;
        int atOnce = options.GroupsStatements ? 1 : int.MaxValue;
        reserves = new(AskAloneAsync, AskTogetherAsync, static request => request.Holder, atOnce, timeProvider);
        releases = new(ReleaseAloneAsync, ReleaseTogetherAsync, static release => release.Holder, atOnce, timeProvider);
    }

    /// <summary>As <see cref="INodeLockRepository.ReserveAsync"/>.</summary>
    public ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request) =>
        request is { Action: ReserveAction.Reserve, Spares: 0 } ? reserves.AskAsync(request) : AskAloneAsync(request);

    /// <summary>As <see cref="INodeLockRepository.ReleaseAsync"/>.</summary>
    public async ValueTask ReleaseAsync(string holder, HeldNode held) =>
        await releases.AskAsync((holder, held)).ConfigureAwait(false);

    private ValueTask<ReserveAnswer> AskAloneAsync(ReserveRequest request) =>
        repository.ReserveAsync(request, options.HeartbeatInterval);

    private async ValueTask<IReadOnlyList<ReserveAnswer?>> AskTogetherAsync(IReadOnlyList<ReserveRequest> requests)
    {
        IReadOnlyList<ReserveAnswer> answers = await repository.ReserveManyAsync(requests, Atomicity.Each,
            options.HeartbeatInterval).ConfigureAwait(false);
        // It waits for no row.
        return [.. answers.Select(static answer => answer is ReserveAnswer.RowInHand ? null : answer)];
    }

    private async ValueTask<object> ReleaseAloneAsync((string Holder, HeldNode Held) release)
    {
        await repository.ReleaseAsync(release.Holder, release.Held, options.ReleaseTimeout).ConfigureAwait(false);
        return Released;
    }

    private async ValueTask<IReadOnlyList<object?>> ReleaseTogetherAsync(
        IReadOnlyList<(string Holder, HeldNode Held)> together)
    {
        IReadOnlyList<HeldNode> released = await repository.ReleaseManyAsync(together[0].Holder,
            [.. together.Select(t => t.Held)], options.ReleaseTimeout).ConfigureAwait(false);
        HashSet<HeldNode> gone = [.. released];
        // Skipped, or no longer there.
        return [.. together.Select(t => gone.Contains(t.Held) ? Released : null)];
    }
}
