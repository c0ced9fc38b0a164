using Npgsql;

namespace NodeLock.Tests.Safety;

/// <summary>A repository that takes a node's row with one statement of its own.</summary>
internal abstract class RowTakingRepository(INodeLockRepository right, string connectionString)
    : DecoratedRepository(right)
{
    /// <summary>The token that a statement returns; null when it changed nothing.</summary>
    protected async Task<long?> TryTakeAsync(string sql, ReserveRequest request)
    {
        await using NpgsqlConnection connection = new(connectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand make = new(
            "insert into nodelock_nodes (id) values ($1) on conflict do nothing", connection)
        {
            Parameters = { new() { Value = request.NodeId.ToString() } },
        };
        await make.ExecuteNonQueryAsync();
        await using NpgsqlCommand take = new(sql, connection)
        {
            Parameters =
            {
                new() { Value = request.NodeId.ToString() },
                new() { Value = request.Holder },
                new() { Value = request.Purpose },
            },
        };
        return (long?)await take.ExecuteScalarAsync();
    }

    protected async Task<ReserveAnswer> AnswerAsync(ReserveRequest request, long? token)
    {
        if (token is { } granted)
            return new ReserveAnswer.Granted(granted, DateTimeOffset.UtcNow, null);
        return await FindAsync(request.NodeId, CancellationToken.None) is { } reservation
            ? new ReserveAnswer.Taken(reservation)
            : new ReserveAnswer.RowInHand();
    }
}

/// <inheritdoc cref="RepositoryFault.CheckThenAct"/>
internal sealed class CheckThenActRepository(INodeLockRepository right, string connectionString)
    : RowTakingRepository(right, connectionString)
{
    private const string Take =
        """
        update nodelock_nodes set reservation = $2, reservation_purpose = $3, reserved_at = clock_timestamp(),
          reservation_token = greatest(nextval('nodelock_fencing_token'), reservation_token + 1)
        where id = $1 returning reservation_token
        """;

    public override async ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        Reservation? current = await FindAsync(request.NodeId, CancellationToken.None);
        bool isFree = current is null || current.Holders[0] == request.Holder;
        return await AnswerAsync(request, isFree ? await TryTakeAsync(Take, request) : null);
    }
}

/// <inheritdoc cref="RepositoryFault.TokenResetOnRelease"/>
internal sealed class TokenResetRepository(INodeLockRepository right, string connectionString)
    : RowTakingRepository(right, connectionString)
{
    private const string Take =
        """
        update nodelock_nodes set reservation = $2, reservation_purpose = $3, reserved_at = clock_timestamp(),
          reservation_token = reservation_token + 1
        where id = $1 and reservation is null returning reservation_token
        """;

    private const string Reset =
        """
        update nodelock_nodes set reservation = null, reservation_purpose = $3, reservation_token = 0
        where id = $1 and reservation = $2 returning reservation_token
        """;

    public override async ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit) =>
        await AnswerAsync(request, await TryTakeAsync(Take, request));

    public override async ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit) =>
        await TryTakeAsync(Reset, new ReserveRequest(ReserveAction.Reserve, held.NodeId, holder, held.FencingToken, ""));
}

/// <inheritdoc cref="RepositoryFault.ReleaseOfEntryByHolder"/>
internal sealed class ReleaseOfEntryByHolderRepository(INodeLockRepository right, string connectionString)
    : DecoratedRepository(right)
{
    // The comment has the words by which a proxy knows a release of an entry.
    private const string ReleaseByHolder =
        """
        update nodelock_nodes n
        set reservation_shared = array(select e from unnest(n.reservation_shared) e where split_part(e, ' ', 1) <> $2)
        where n.id = $1 /* = any (n.reservation_shared) and settings.row_wait */
        """;

    public override async ValueTask ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit)
    {
        if (held.Mode == ReservationMode.Exclusive)
        {
            await base.ReleaseAsync(holder, held, timeLimit);
            return;
        }

        await using NpgsqlConnection connection = new(connectionString);
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(ReleaseByHolder, connection)
        {
            CommandTimeout = 1,
            Parameters = { new() { Value = held.NodeId.ToString() }, new() { Value = holder } },
        };
        await command.ExecuteNonQueryAsync();
    }
}

/// <inheritdoc cref="RepositoryFault.BlindAnswer"/>
internal sealed class BlindAnswerRepository(INodeLockRepository right) : DecoratedRepository(right)
{
    public override async ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit) =>
        Believe(await base.ReserveAsync(request, timeLimit));

    public override async ValueTask<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit)
    {
        IReadOnlyList<ReserveAnswer> answers = await base.ReserveManyAsync(requests, atomicity, timeLimit);
        return atomicity == Atomicity.Each ? [.. answers.Select(Believe)] : answers;
    }

    private static ReserveAnswer Believe(ReserveAnswer answer) => answer is ReserveAnswer.Unnamed unnamed
        ? new ReserveAnswer.Granted(unnamed.FencingToken, DateTimeOffset.UtcNow, null)
        : answer;
}
