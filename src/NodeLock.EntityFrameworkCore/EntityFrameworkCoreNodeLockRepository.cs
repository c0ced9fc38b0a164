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
    private const string ReserveRowWait = "250ms";
    private const string ReleaseRowWait = "1s";

    private readonly ContextSource contexts;
    private readonly ReservationModel model;
    private readonly ReservationSql sql;
    private readonly ConductorSql conductorSql;
    private readonly Statements statements;
    private volatile bool isChecked;

    /// <exception cref="InvalidOperationException">The context is not PostgreSQL's, or its model lacks the
    /// kind.</exception>
    internal EntityFrameworkCoreNodeLockRepository(ContextSource contexts, KindName kind)
    {
        this.contexts = contexts;
        using ContextLease lease = contexts.Lease();
        model = ReservationModel.Of(lease.Context, kind);
        Location = LocationOf(lease.Context);
        SqlTemplate template = new(model);
        sql = new ReservationSql(template, nodesAreRows: model.Entity is not null);
        conductorSql = new ConductorSql(template);
        statements = new Statements(contexts, model.ContextName);
        GuardSql = new GuardSql(new SqlTemplate(model));
    }

    string INodeLockRepository.Kind => model.Kind;

    string INodeLockRepository.Location => Location;

    HeartbeatPace INodeLockRepository.Pace => HeartbeatPace.OwnThread;

    /// <summary>For guards, in transactions of whatever context.</summary>
    internal GuardSql GuardSql { get; }

    /// <summary>For what a guard has to ask outside of its transaction.</summary>
    internal Statements Statements => statements;

    internal NodeKey Key => model.Key;

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

    NodeId INodeLockRepository.Spell(NodeId nodeId) => SpellingOf(model.Key.Parse(nodeId.ToString()));

    async ValueTask<ReserveAnswer> INodeLockRepository.ReserveAsync(ReserveRequest request, TimeSpan timeLimit)
    {
        object id = model.Key.Parse(request.NodeId.ToString());
        Statement<ReserveAnswer> reserve = new(sql.Reserve,
            [id, request.Holder, request.KnownToken, request.Purpose, ReserveRowWait], timeLimit,
            reader => ReserveReply.Read(reader, request, SpellingOf));
        try
        {
            if (await AskAsync(reserve).ConfigureAwait(false) is { } answer) return answer;

            // The node's first reservation, if there is such a node: make its row and ask again.
            Statement<bool> makeRow = new(sql.MakeRow, [id, ReserveRowWait], timeLimit, static _ => true);
            await statements.QueryAsync(makeRow).ConfigureAwait(false);
            return await AskAsync(reserve).ConfigureAwait(false) ?? new ReserveAnswer.NodeNotFound();
        }
        // Raised by lock_timeout, which only these statements set: somebody else's transaction has the row.
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.LockNotAvailable)
        {
            return new ReserveAnswer.RowInHand();
        }
    }

    async ValueTask INodeLockRepository.ReleaseAsync(string holder, HeldNode held, TimeSpan timeLimit) =>
        await statements.QueryAsync(ReleaseOf(holder, held, timeLimit)).ConfigureAwait(false);

    void INodeLockRepository.Release(string holder, HeldNode held, TimeSpan timeLimit) =>
        statements.Query(ReleaseOf(holder, held, timeLimit));

    async ValueTask<Reservation?> INodeLockRepository.FindAsync(NodeId nodeId, CancellationToken cancellationToken)
    {
        Statement<Reservation?> find = new(sql.Find, [model.Key.Parse(nodeId.ToString())], QueryLimit,
            reader => ReserveReply.ReadReservation(reader, SpellingOf), cancellationToken);
        List<Reservation?> rows = await statements.QueryAsync(find).ConfigureAwait(false);
        return rows.Count > 0 ? rows[0] : throw new NodeNotFoundException(nodeId, model.Kind);
    }

    async ValueTask<IReadOnlyList<Reservation>> INodeLockRepository.ListAsync(CancellationToken cancellationToken)
    {
        Statement<Reservation?> list = new(sql.List, [], QueryLimit,
            reader => ReserveReply.ReadReservation(reader, SpellingOf), cancellationToken);
        List<Reservation?> rows = await statements.QueryAsync(list).ConfigureAwait(false);
        return [.. rows.OfType<Reservation>()];
    }

    ValueTask<IReadOnlyList<ReserveAnswer>> INodeLockRepository.ReserveManyAsync(
        IReadOnlyList<ReserveRequest> requests, Atomicity atomicity, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<IReadOnlyList<HeldNode>> INodeLockRepository.ReleaseManyAsync(
        string holder, IReadOnlyList<HeldNode> held, TimeSpan timeLimit) => throw new NotSupportedException();

    ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, long fencingToken, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<bool> INodeLockRepository.BreakAsync(NodeId nodeId, string sharer, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<IReadOnlyList<NodeId>> INodeLockRepository.FindReservedByAsync(string deadHolder, TimeSpan timeLimit) =>
        throw new NotSupportedException();

    ValueTask<Reservation?> INodeLockRepository.RevokeAsync(
        NodeId nodeId, string deadHolder, string fencer, TimeSpan timeLimit) => throw new NotSupportedException();

    ValueTask<bool> INodeLockRepository.FinishFenceAsync(string deadHolder, string fencer, TimeSpan timeLimit) =>
        throw new NotSupportedException();

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
            return new PostgresConductorStore(connection, model, sql, conductorSql, timeLimit);
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

    private async ValueTask<ReserveAnswer?> AskAsync(Statement<ReserveAnswer> reserve)
    {
        List<ReserveAnswer> rows = await statements.QueryAsync(reserve).ConfigureAwait(false);
        return rows.Count > 0 ? rows[0] : null;
    }

    private Statement<bool> ReleaseOf(string holder, HeldNode held, TimeSpan timeLimit) => new(sql.Release,
        [model.Key.Parse(held.NodeId.ToString()), holder, held.FencingToken, ReleaseRowWait], timeLimit,
        static _ => true);

    private NodeId SpellingOf(object key) => new(model.Key.Format(key));
}
