using Microsoft.EntityFrameworkCore;
using NodeLock;
using NodeLock.EntityFrameworkCore;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Says that the reservations are kept in PostgreSQL, through a context of yours.</summary>
public static class NodeLockEntityFrameworkCoreExtensions
{
    /// <summary>Nodes that are the rows of an entity, in the table of
    /// <c>modelBuilder.AddNodeLock&lt;TEntity&gt;()</c>.</summary>
    /// <remarks>Contexts come from an <see cref="IDbContextFactory{TContext}"/> where one is registered, pooled or
    /// not, and else each from a fresh scope.</remarks>
    /// <typeparam name="TContext">The context.</typeparam>
    /// <typeparam name="TEntity">The entity.</typeparam>
    /// <exception cref="InvalidOperationException">This registration has a repository already. And when the task
    /// manager is made: the context is not PostgreSQL's, or its model lacks the table.</exception>
    public static NodeLockBuilder UseEntityFrameworkCore<TContext, TEntity>(this NodeLockBuilder builder)
        where TContext : DbContext where TEntity : class =>
        builder.Use<TContext>(KindName.OfEntity(typeof(TEntity)));

    /// <summary>
    /// Nodes that are only names: in the table of <c>modelBuilder.AddNodeLock()</c>, or, for a keyed registration, of
    /// <c>modelBuilder.AddNodeLock("key")</c>.
    /// </summary>
    /// <exception cref="ArgumentException">The key is no name for a table.</exception>
    /// <inheritdoc cref="UseEntityFrameworkCore{TContext, TEntity}"/>
    public static NodeLockBuilder UseEntityFrameworkCore<TContext>(this NodeLockBuilder builder)
        where TContext : DbContext
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Use<TContext>(builder.Key is null ? KindName.OfNames() : KindName.OfNames(builder.Key));
    }

    private static NodeLockBuilder Use<TContext>(this NodeLockBuilder builder, KindName kind)
        where TContext : DbContext
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.UseRepository(services =>
            new EntityFrameworkCoreNodeLockRepository(ContextSource.Of<TContext>(services), kind));
    }
}
