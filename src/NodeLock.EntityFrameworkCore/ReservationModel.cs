using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Storage;

namespace NodeLock.EntityFrameworkCore;

/// <summary>The names that a context's model gives to what NodeLock's statements are about.</summary>
internal sealed class ReservationModel
{
    private const string Provider = "Npgsql.EntityFrameworkCore.PostgreSQL";

    private ReservationModel(
        string contextName, KindName kind, TableNames table, TableNames conductors, string sequence)
    {
        ContextName = contextName;
        Kind = kind.Table;
        Table = table;
        Columns = ReservationColumns.Of(table);
        Conductors = conductors;
        this.ConductorColumns = ConductorColumns.Of(conductors);
        Sequence = sequence;
        Key = KeyOf(kind, table);
    }

    /// <summary>The context's class, for messages.</summary>
    public string ContextName { get; }

    /// <summary>What the conductors table calls the kind; it stays when the table is renamed.</summary>
    public string Kind { get; }

    public TableNames Table { get; }

    public ReservationColumns Columns { get; }

    public TableNames Conductors { get; }

    public ConductorColumns ConductorColumns { get; }

    /// <summary>The sequence, as an identifier.</summary>
    public string Sequence { get; }

    /// <summary>The sequence as <c>nextval</c> takes it: the identifier in a text literal.</summary>
    public string SequenceLiteral => Literal(Sequence);

    /// <summary>Where a kind tells of its nodes, as an identifier: the name of its table.</summary>
    public string Channel => Table.DelimitedName;

    /// <summary>The same as <c>pg_notify</c> takes it.</summary>
    public string ChannelLiteral => Literal(Table.Name);

    public NodeKey Key { get; }

    /// <summary>The key's type in the database, such as <c>uuid</c> or <c>character varying(50)</c>.</summary>
    public string KeyStoreType => Table.StoreType(ReservationTable.Id);

    /// <summary>The table whose rows the nodes are; null when nodes are only names.</summary>
    public TableNames? Entity { get; private set; }

    /// <summary>The key column of <see cref="Entity"/>, delimited; null when nodes are only names.</summary>
    public string? EntityId { get; private set; }

    /// <summary>The key column of <see cref="Entity"/>, as it is; null when nodes are only names.</summary>
    public string? EntityIdName { get; private set; }

    /// <summary>Reads a context's model.</summary>
    /// <exception cref="InvalidOperationException">
    /// The context is not PostgreSQL's, its model lacks the kind, or the kind's entity has become one that cannot be
    /// nodes.
    /// </exception>
    public static ReservationModel Of(DbContext context, KindName kind)
    {
        string name = context.GetType().Name;
        if (context.Database.ProviderName != Provider)
        {
            throw new InvalidOperationException(
                $"{name} uses {context.Database.ProviderName ?? "no provider"}; NodeLock needs {Provider}.");
        }

        ISqlGenerationHelper sql = context.GetService<ISqlGenerationHelper>();
        IModel model = context.Model;
        IEntityType reservations = Find(model, kind.Table, name, kind);
        ISequence sequence = model.GetSequences().First(s => s.Name == ConductorsTable.FencingToken);
        TableNames table = TableNames.Of(reservations, sql);
        TableNames conductors = TableNames.Of(Find(model, ConductorsTable.Name, name, kind), sql);
        string token = sql.DelimitIdentifier(sequence.Name, sequence.Schema);
        ReservationModel names = new(name, kind, table, conductors, token);
        return reservations.GetForeignKeys().FirstOrDefault() is { } reference
            ? names.With(kind, reference, sql)
            : names;
    }

    private ReservationModel With(KindName kind, IForeignKey reference, ISqlGenerationHelper sql)
    {
        if (EntityKey.Problem(reference.PrincipalEntityType, reference.PrincipalKey) is { } problem)
            throw EntityKey.Refused(kind, problem);

        TableNames entity = TableNames.Of(reference.PrincipalEntityType, sql);
        string key = reference.PrincipalKey.Properties[0].Name;
        if (entity.StoreType(key) != KeyStoreType)
        {
            throw EntityKey.Refused(kind, $"the key of {entity.Display} is {entity.StoreType(key)} and the key of "
                + $"{Table.Display} {KeyStoreType}. Configure the entity's key before this call");
        }

        Entity = entity;
        EntityId = entity.Column(key);
        EntityIdName = entity.ColumnName(key);
        return this;
    }

    private static string Literal(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

    private static IEntityType Find(IModel model, string table, string contextName, KindName kind) =>
        model.FindEntityType(table) ?? throw new InvalidOperationException(
            $"The model of {contextName} has no table {table}. Call modelBuilder.{kind.Call} in its OnModelCreating, "
            + "then make and apply a migration.");

    private static NodeKey KeyOf(KindName kind, TableNames table)
    {
        Type stored = table.StoredType(ReservationTable.Id);
        return EntityKey.IsSupported(stored)
            ? new NodeKey(stored, table.Display)
            : throw EntityKey.Refused(kind, $"the key of {table.Display} is stored as "
                + $"{stored.Name}, and NodeLock takes keys stored as string, Guid, int or long");
    }
}
