using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>Reserves of several nodes, in as few statements as their answers take.</summary>
internal sealed class ReserveMany(Statements statements, ManySql sql, NodeKey key, TimeSpan timeLimit)
{
    public async ValueTask<IReadOnlyList<ReserveAnswer>> AskAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity)
    {
        if (requests.Count == 0) return [];
        if (atomicity == Atomicity.AllOrNone) return await DecideAsync(requests, atomicity).ConfigureAwait(false);

        ReserveAnswer?[] answers = new ReserveAnswer?[requests.Count];
        foreach ((int place, ReserveAnswer granted) in await ReserveFreeAsync(requests).ConfigureAwait(false))
            answers[place] = granted;
        int[] open = [.. Enumerable.Range(0, answers.Length).Where(i => answers[i] is null)];
        IReadOnlyList<ReserveAnswer> decided =
            await DecideAsync([.. open.Select(i => requests[i])], isAlone: open.Length == answers.Length)
                .ConfigureAwait(false);
        for (int i = 0; i < open.Length; i++) answers[open[i]] = decided[i];
        return answers!;
    }

    /// <summary>Those that were not free. Where this fails, they are to be asked for again alone, since others have
    /// been granted already.</summary>
    private async ValueTask<IReadOnlyList<ReserveAnswer>> DecideAsync(ReserveRequest[] open, bool isAlone)
    {
        if (open.Length == 0) return [];
        try
        {
            return await DecideAsync(open, Atomicity.Each).ConfigureAwait(false);
        }
        catch (Exception) when (!isAlone)
        {
            return [.. open.Select(static _ => new ReserveAnswer.RowInHand())];
        }
    }

    private async ValueTask<IReadOnlyList<ReserveAnswer>> DecideAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity)
    {
        List<ReserveAnswer?> answers = await DecideOnceAsync(requests, atomicity).ConfigureAwait(false);
        List<ReserveRequest> rowless = [.. requests.Where((_, i) => answers[i] is null)];
        if (rowless.Count > 0 && await TryMakeRowsAsync(rowless).ConfigureAwait(false))
        {
            // One without a row kept the others from being reserved, where it is all or none. Else they have answers.
            List<ReserveRequest> again = atomicity == Atomicity.AllOrNone ? [.. requests] : rowless;
            Queue<ReserveAnswer?> later = new(await DecideOnceAsync(again, atomicity).ConfigureAwait(false));
            for (int i = 0; i < answers.Count; i++)
                if (answers[i] is null || again.Count == requests.Count) answers[i] = later.Dequeue();
        }

        // There is such a node, and somebody who has it in hand kept its row from being made.
        return [.. answers.Select(static answer => answer ?? new ReserveAnswer.RowInHand())];
    }

    private Task<List<(int Place, ReserveAnswer Granted)>> ReserveFreeAsync(IReadOnlyList<ReserveRequest> requests) =>
        statements.QueryAsync(new Statement<(int, ReserveAnswer)>(sql.ReserveFree, Named(requests), timeLimit,
            row => ReserveReply.ReadFree(row, requests, key.Spell)));

    /// <summary>The answers in the order of the requests; null for a node that has no row.</summary>
    private Task<List<ReserveAnswer?>> DecideOnceAsync(IReadOnlyList<ReserveRequest> requests, Atomicity atomicity)
    {
        object[] parameters =
        [
            .. Named(requests),
            requests.Select(r => r.NextAttempt).ToArray(),
            atomicity == Atomicity.AllOrNone,
        ];
        return statements.QueryAsync(new Statement<ReserveAnswer?>(sql.Reserve, parameters, timeLimit,
            row => ReserveReply.Read(row, requests, key.Spell)));
    }

    private async Task<bool> TryMakeRowsAsync(List<ReserveRequest> rowless)
    {
        object[] parameters =
            [key.Parse([.. rowless.Select(r => r.NodeId)]), EntityFrameworkCoreNodeLockRepository.ReserveRowWait];
        try
        {
            await statements.QueryAsync(new Statement<bool>(sql.MakeRows, parameters, timeLimit, static _ => true))
                .ConfigureAwait(false);
            return true;
        }
        catch (PostgresException e) when (EntityFrameworkCoreNodeLockRepository.IsRowInHand(e))
        {
            return false;
        }
    }

    private object[] Named(IReadOnlyList<ReserveRequest> requests) =>
    [
        requests[0].Holder,
        key.Parse([.. requests.Select(r => r.NodeId)]),
        requests.Select(r => r.KnownToken).ToArray(),
        requests.Select(r => r.Purpose).ToArray(),
    ];
}
