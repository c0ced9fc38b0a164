using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace NodeLock.EntityFrameworkCore;

/// <summary>Gives each statement a context of its own: from the factory where there is one, else from a fresh
/// scope.</summary>
internal sealed class ContextSource(Func<ContextLease> lease)
{
    public static ContextSource Of<TContext>(IDbContextFactory<TContext> factory) where TContext : DbContext =>
        new(() => new ContextLease(factory.CreateDbContext(), scope: null));

    public static ContextSource Of<TContext>(IServiceProvider services) where TContext : DbContext
    {
        if (FactoryOf<TContext>(services) is { } factory) return Of(factory);

        IServiceScopeFactory scopes = services.GetRequiredService<IServiceScopeFactory>();
        return new ContextSource(() =>
        {
            AsyncServiceScope scope = scopes.CreateAsyncScope();
            return new ContextLease(scope.ServiceProvider.GetRequiredService<TContext>(), scope);
        });
    }

    public ContextLease Lease() => lease();

    private static IDbContextFactory<TContext>? FactoryOf<TContext>(IServiceProvider services)
        where TContext : DbContext
    {
        try
        {
            return services.GetService<IDbContextFactory<TContext>>();
        }
        // A factory may be registered as scoped, which a container that validates scopes does not give to a singleton;
        // with it comes the context itself, as scoped.
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}

/// <summary>A context for the time of one statement.</summary>
internal sealed class ContextLease(DbContext context, AsyncServiceScope? scope) : IAsyncDisposable, IDisposable
{
    public DbContext Context => context;

    public ValueTask DisposeAsync() => scope?.DisposeAsync() ?? context.DisposeAsync();

    /// <summary>Also where a scope holds what can only be disposed asynchronously.</summary>
    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();
}
