using NodeLock.EntityFrameworkCore;

namespace Microsoft.EntityFrameworkCore;

/// <summary>Adds NodeLock's tables to a model, so that migrations make them.</summary>
/// <remarks>
/// Each call adds the reservation table of one kind of nodes; the first one also adds what all kinds share, the table
/// <c>nodelock_conductors</c> and the sequence <c>nodelock_fencing_token</c>. All are in the model's default schema.
/// They are entity types without a class, whose columns state their names and types themselves: conventions for the
/// model's own entities do not change them. Code that runs later may rename them; then NodeLock uses the new names.
/// (Who renames the column <c>state</c> also has to restate its check constraint, <c>ck_nodelock_conductors_state</c>.)
/// </remarks>
public static class NodeLockModelBuilderExtensions
{
    /// <summary>Adds the table <c>nodelock_nodes</c>, for nodes that are only names.</summary>
    /// <param name="modelBuilder">The builder, in <c>OnModelCreating</c>.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="InvalidOperationException">The model has a table of this name already.</exception>
    public static ModelBuilder AddNodeLock(this ModelBuilder modelBuilder)
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        ReservationTable.Add(modelBuilder, KindName.OfNames());
        return modelBuilder;
    }

    /// <summary>Adds a table <c>nodelock_{name}</c>, for a further kind of nodes that are only names.</summary>
    /// <param name="modelBuilder">The builder, in <c>OnModelCreating</c>.</param>
    /// <param name="name">1 to 40 lower-case letters a to z, digits and underscores.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentException">It has other characters or another length, or is NodeLock's own.</exception>
    /// <exception cref="InvalidOperationException">The model has a table of this name already.</exception>
    public static ModelBuilder AddNodeLock(this ModelBuilder modelBuilder, string name)
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        ReservationTable.Add(modelBuilder, KindName.OfNames(name));
        return modelBuilder;
    }

    /// <summary>
    /// Adds the reservation table of an entity: <c>nodelock_server</c> for Server, <c>nodelock_bare_metal_node</c> for
    /// BareMetalNode. Its primary key is a foreign key to the entity's table; deleting the entity deletes its row.
    /// </summary>
    /// <remarks>Call it after the entity's key is configured. The entity's own table is not changed.</remarks>
    /// <typeparam name="TEntity">
    /// An entity of this model with a key of one property that is stored as string, Guid, int or long (after
    /// conversion). Of a hierarchy, the root.
    /// </typeparam>
    /// <param name="modelBuilder">The builder, in <c>OnModelCreating</c>.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentException">The class has a name that makes no table name.</exception>
    /// <exception cref="InvalidOperationException">
    /// The entity is not in the model, is owned, keyless, derived or without a table, its key is not (yet) configured,
    /// composite or of another type, or the model has a table of this name already.
    /// </exception>
    public static ModelBuilder AddNodeLock<TEntity>(this ModelBuilder modelBuilder)
        where TEntity : class
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        ReservationTable.Add<TEntity>(modelBuilder, KindName.OfEntity(typeof(TEntity)));
        return modelBuilder;
    }
}
