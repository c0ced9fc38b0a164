namespace NodeLock.Tests.Model;

/// <summary>A store with a fault that the judge must catch: a writer does not see those who share the node.</summary>
internal sealed class StoreBlindToReaders(INodeLockRepository store) : FaultyStore(store)
{
    public override async ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        ReserveAnswer answer = await Store.ReserveAsync(request, timeLimit);
        if (request.Action != ReserveAction.Reserve
            || answer is not ReserveAnswer.Taken { Reservation: { Mode: ReservationMode.Shared } reservation })
            return answer;

        foreach (string sharer in reservation.Holders) await Store.BreakAsync(request.NodeId, sharer, timeLimit);
        return await Store.ReserveAsync(request, timeLimit);
    }
}

/// <summary>A store with another fault: one release in three is not carried out.</summary>
internal sealed class StoreThatForgetsReleases(INodeLockRepository store) : FaultyStore(store)
{
    private int releases;

    public override ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit) =>
        Interlocked.Increment(ref releases) % 3 == 0 ? default : Store.ReleaseAsync(holder, held, timeLimit);
}
