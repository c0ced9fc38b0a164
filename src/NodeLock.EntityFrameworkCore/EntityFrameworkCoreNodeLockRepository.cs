using Microsoft.EntityFrameworkCore;
using NodeLock.EntityFrameworkCore;
using Npgsql;

namespace NodeLock;

/// <summary>
/// Keeps reservations in PostgreSQL, in a table that <c>modelBuilder.AddNodeLock</c> adds to the model of a context of
/// yours. <c>UseEntityFrameworkCore</c> makes one; <see cref="For{TContext}(IDbContextFactory{TContext})"/> is for use
/// without a container.
/// </summary>
/// <threadsafety>All members may be used at the same time from any thread.</threadsafety>
public sealed class EntityFrameworkCoreNodeLockRepository : INodeLockRepository
{
    // Long enough for a statement of another conductor, which holds a row for one commit; short enough for a caller.
    internal const string ReserveRowWait = "250ms";
    private const string ReleaseRowWait = "1s";
    private const string BreakRowWait = "1s";

    private readonly ContextSource contexts;
    private readonly ReservationModel model;
    private readonly KindSql sql;
    private volatile bool isChecked;

    /// <exception cref="InvalidOperationException">The context is not PostgreSQL's, or its model lacks the
    /// kind.</exception>
    internal EntityFrameworkCoreNodeLockRepository(ContextSource contexts, KindName kind)
    {
        this.contexts = contexts;
        using ContextLease lease = contexts.Lease();
        model = ReservationModel.Of(lease.Context, kind);
        Location = LocationOf(lease.Context);
        sql = new KindSql(model);
        Statements = new Statements(contexts, model.ContextName);
    }

    string INodeLockRepository.Kind => model.Kind;

    string INodeLockRepository.Location => Location;

    HeartbeatPace INodeLockRepository.Pace => HeartbeatPace.OwnThread;

    internal GuardSql GuardSql => sql.Guard;

    internal Statements Statements { get; }

    private string Location { get; }

    /// <summary>Nodes that are only names, in <c>nodelock_nodes</c>.</summary>
    /// <param name="contexts">Makes the contexts, pooled or not.</param>
    /// <exception cref="InvalidOperationException">The context is not PostgreSQL's, or its model lacks the
    /// table.</exception>
    public static EntityFrameworkCoreNodeLockRepository For<TContext>(IDbContextFactory<TContext> contexts)
        where TContext : DbContext => new(ContextSource.Of(contexts), KindName.OfNames());

    /// <summary>Nodes that are the rows of an entity.</summary>
    /// <inheritdoc cref="For{TContext}(IDbContextFactory{TContext})"/>
    public static EntityFrameworkCoreNodeLockRepository For<TContext, TEntity>(IDbContextFactory<TContext> contexts)
        where TContext : DbContext where TEntity : class =>
        new(ContextSource.Of(contexts), KindName.OfEntity(typeof(TEntity)));

    NodeId INodeLockRepository.Spell(NodeId nodeId) => model.Key.Spell(KeyOf(nodeId));

    async ValueTask<ReserveAnswer> INodeLockRepository.ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        object id = KeyOf(request.NodeId);
        try
        {
            if (await AskAsync(request, id, timeLimit).ConfigureAwait(false) is { } answer) return answer;

            // Who names a reservation that is to stand, and the node has no row: it is gone.
            if (request.Action is not (ReserveAction.Reserve or ReserveAction.Share))
                return new ReserveAnswer.NotHeld();

            // The node's first reservation, if there is such a node: make its row and ask again.
            Statement<bool> makeRow = new(
                sql.Reservations.MakeRow, [id, ReserveRowWait], timeLimit, static _ => true);
            await Statements.QueryAsync(makeRow).ConfigureAwait(false);
            return await AskAsync(request, id, timeLimit).ConfigureAwait(false) ?? new ReserveAnswer.NodeNotFound();
        }
        catch (PostgresException e) when (IsRowInHand(e))
        {
            return new ReserveAnswer.RowInHand();
        }
    }

    ValueTask<IReadOnlyList<ReserveAnswer>> INodeLockRepository.ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit) =>
        new ReserveMany(Statements, sql.Many, model.Key, timeLimit).AskAsync(requests, atomicity);

    async ValueTask INodeLockRepository.ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit) =>
        await Statements.QueryAsync(ReleaseOf(holder, held, timeLimit)).ConfigureAwait(false);

    void INodeLockRepository.Release(string holder, HeldNode held, TimeSpan timeLimit) =>
        Statements.Query(ReleaseOf(holder, held, timeLimit));

    async ValueTask<IReadOnlyList<HeldNode>> INodeLockRepository.ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit) =>
        await Statements.QueryAsync(new Statement<HeldNode>(sql.Many.Release,
            ManySql.Named(model.Key, holder, held), timeLimit,
            row => ReserveReply.ReadHeld(row, model.Key.Spell)).Telling()).ConfigureAwait(false);

    async ValueTask<Reservation?> INodeLockRepository.FindAsync(NodeId nodeId, CancellationToken cancellationToken)
    {
        Statement<Reservation?> find = new(
            sql.Reservations.Find, [KeyOf(nodeId)], QueryLimit, ReadReservation, cancellationToken);
        List<Reservation?> rows = await Statements.QueryAsync(find).ConfigureAwait(false);
        return rows.Count > 0 ? rows[0] : throw new NodeNotFoundException(nodeId, model.Kind);
    }

    async ValueTask<IReadOnlyList<Reservation>> INodeLockRepository.ListAsync(CancellationToken cancellationToken)
    {
        Statement<Reservation?> list = new(
            sql.Reservations.List, [], QueryLimit, ReadReservation, cancellationToken);
        List<Reservation?> rows = await Statements.QueryAsync(list).ConfigureAwait(false);
        return [.. rows.OfType<Reservation>()];
    }

    async ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, long fencingToken, TimeSpan timeLimit) =>
        (await OfRowAsync(nodeId, new Statement<bool>(sql.Reservations.Break,
            [KeyOf(nodeId), fencingToken, BreakRowWait], timeLimit, static _ => true).Telling())
            .ConfigureAwait(false)).Count > 0;

    async ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, string sharer, TimeSpan timeLimit) =>
        (await OfRowAsync(nodeId, new Statement<bool>(sql.Shared.Break,
            [KeyOf(nodeId), sharer, BreakRowWait], timeLimit, static _ => true).Telling())
            .ConfigureAwait(false)).Count > 0;

    async ValueTask<IReadOnlyList<NodeId>> INodeLockRepository.FindReservedByAsync(
        string deadHolder, TimeSpan timeLimit) =>
        await Statements.QueryAsync(new Statement<NodeId>(sql.Fence.FindReservedBy, [deadHolder], timeLimit,
            row => model.Key.Spell(row.GetValue(0)))).ConfigureAwait(false);

    async ValueTask<Reservation?> INodeLockRepository.RevokeAsync(
        NodeId nodeId, string deadHolder, string fencer, TimeSpan timeLimit)
    {
        List<Reservation?> revoked = await OfRowAsync(nodeId, new Statement<Reservation?>(sql.Fence.Revoke,
            [KeyOf(nodeId), deadHolder, fencer, OwnTransaction.Milliseconds(timeLimit)], timeLimit,
            ReadReservation)).ConfigureAwait(false);
        return revoked is [{ } reservation] ? reservation : null;
    }

    async ValueTask<bool> INodeLockRepository.FinishFenceAsync(string deadHolder, string fencer, TimeSpan timeLimit) =>
        (await Statements.QueryAsync(new Statement<bool>(sql.Fence.Finish, [deadHolder, fencer], timeLimit,
            static _ => true)).ConfigureAwait(false)).Count > 0;

    async ValueTask<IReleaseListener> INodeLockRepository.ListenAsync(
        string? connectionString, TimeSpan timeLimit, CancellationToken cancellationToken)
    {
        ContextLease lease = contexts.Lease();
        await using (lease.ConfigureAwait(false))
            return await PostgresReleaseListener.OpenAsync((NpgsqlConnection)lease.Context.Database.GetDbConnection(),
                connectionString, model, timeLimit, cancellationToken).ConfigureAwait(false);
    }

    IConductorStore INodeLockRepository.Connect(TimeSpan timeLimit)
    {
        using ContextLease lease = contexts.Lease();
        NpgsqlConnection connection = PostgresConductorStore.Open(
            (NpgsqlConnection)lease.Context.Database.GetDbConnection(), timeLimit);
        try
        {
            // Once: what is held must not be lost because of what somebody changes while it is.
            if (!isChecked) SchemaSql.Demand(connection, model);
            isChecked = true;
            return new PostgresConductorStore(connection, model, sql, timeLimit);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private static TimeSpan QueryLimit => TimeSpan.FromSeconds(30);

    private static string LocationOf(DbContext context)
    {
        NpgsqlConnectionStringBuilder settings = new(context.Database.GetConnectionString());
        if (settings.Multiplexing)
            throw new InvalidOperationException($"{context.GetType().Name} uses Multiplexing=true, with which Npgsql "
                + "runs no transactions that are begun in SQL; NodeLock needs a connection string without it.");
        return $"PostgreSQL at {settings.Host}:{settings.Port}, database {settings.Database}";
    }

    // Raised by lock_timeout, which only our statements set: somebody else's transaction has the row.
    internal static bool IsRowInHand(PostgresException e) => e.SqlState == PostgresErrorCodes.LockNotAvailable;

    private async Task<List<T>> OfRowAsync<T>(NodeId nodeId, Statement<T> statement)
    {
        try
        {
            return await Statements.QueryAsync(statement).ConfigureAwait(false);
        }
        catch (PostgresException e) when (IsRowInHand(e))
        {
            throw new TimeoutException(
                $"A transaction has the row of node '{nodeId}' in hand; nothing was changed.", e);
        }
    }

    /// <summary>Null when the node has no row.</summary>
    private async Task<ReserveAnswer?> AskAsync(ReserveRequest request, object id, TimeSpan timeLimit)
    {
        List<ReserveAnswer?> rows = await Statements.QueryAsync(
            StatementOf(request, id, timeLimit)).ConfigureAwait(false);
        // Not as it was named: why is for another look to say.
        if (rows is [] && request.Action == ReserveAction.HandOver)
            rows = await Statements.QueryAsync(Of(request, timeLimit, sql.Shared.Join, id, request.Holder, 0L))
                .ConfigureAwait(false);
        if (rows is [null])
            rows = await Statements.QueryAsync(BesideSharers(request, id, timeLimit)).ConfigureAwait(false);
        return rows.Count > 0 ? rows[0] : null;
    }

    private Statement<ReserveAnswer?> StatementOf(ReserveRequest request, object id, TimeSpan timeLimit) =>
        request.Action switch
        {
            ReserveAction.Reserve => Of(request, timeLimit, sql.Reservations.Reserve, id, request.Holder,
                request.KnownToken, request.Purpose, ReserveRowWait, request.NextAttempt, request.Spares),
            ReserveAction.HandOver => Of(request, timeLimit, sql.Reservations.HandOver, id, request.Holder,
                request.KnownToken, request.Purpose, ReserveRowWait, request.NewToken),
            ReserveAction.Upgrade => BesideSharers(request, id, timeLimit),
            ReserveAction.Join => Of(request, timeLimit, sql.Shared.Join, id, request.Holder, request.KnownToken),
            _ => Of(request, timeLimit, sql.Shared.Share, id, request.Holder, request.KnownToken, request.Purpose,
                ReserveRowWait, request.Action == ReserveAction.Downgrade, request.NextAttempt).Telling(),
        };

    private Statement<ReserveAnswer?> BesideSharers(ReserveRequest request, object id, TimeSpan timeLimit) => Of(
        request with { Spares = 0 }, timeLimit, sql.Shared.Reserve, id, request.Holder, request.KnownToken,
        request.Purpose, ReserveRowWait,
        request.NextAttempt, request.Action == ReserveAction.Upgrade,
        request.Wish is { } wish ? wish.ToUniversalTime() : DBNull.Value);

    private Statement<ReserveAnswer?> Of(
        ReserveRequest request, TimeSpan timeLimit, string statement, params object[] parameters) =>
        new(statement, parameters, timeLimit, row => ReserveReply.Read(row, request, model.Key.Spell));

    private Statement<bool> ReleaseOf(string holder, HeldNode held, TimeSpan timeLimit) => new Statement<bool>(
        held.Mode == ReservationMode.Shared ? sql.Shared.Release : sql.Reservations.Release,
        [KeyOf(held.NodeId), holder, held.FencingToken, ReleaseRowWait], timeLimit, static _ => true).Telling();

    private Reservation? ReadReservation(NpgsqlDataReader row) => ReserveReply.ReadReservation(row, model.Key.Spell);

    internal object KeyOf(NodeId nodeId) => model.Key.Parse(nodeId.ToString());
}
