using Microsoft.Extensions.DependencyInjection;

namespace NodeLock;

/// <summary>The registered fence, made in a fresh scope for each node.</summary>
internal sealed class ScopedFence(IServiceScopeFactory scopes, string? key) : INodeFence
{
    public async Task FenceAsync(NodeToFence node, CancellationToken cancellationToken)
    {
        AsyncServiceScope scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
        {
            INodeFence fence = scope.ServiceProvider.GetRequiredKeyedService<INodeFence>(key);
            await fence.FenceAsync(node, cancellationToken).ConfigureAwait(false);
        }
    }
}
