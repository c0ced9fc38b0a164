using Xunit;

namespace NodeLock.Tests.Conformance;

/// <summary>
/// What every store must do, asked of <see cref="INodeLockRepository"/> and <see cref="IConductorStore"/> directly. A
/// store's tests derive this, say how it is opened, and add nothing.
/// </summary>
public abstract partial class NodeLockRepositoryConformance : IAsyncLifetime
{
    /// <summary>Longer than any test takes.</summary>
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private INodeLockRepository store = null!;
    private IConductorStore connection = null!;
    private int conductors;

    /// <summary>Nodes that exist: at least three, in the order in which a list has them.</summary>
    protected abstract IReadOnlyList<NodeId> Nodes { get; }

    /// <summary>An id that no node has; null for a store to which every id is a node.</summary>
    protected abstract NodeId? Missing { get; }

    private NodeId Node => Nodes[0];

    public async ValueTask InitializeAsync()
    {
        store = await CreateAsync();
        connection = store.Connect(Limit);
    }

    public async ValueTask DisposeAsync()
    {
        connection.Dispose();
        await CloseAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Opens an empty store.</summary>
    protected abstract Task<INodeLockRepository> CreateAsync();

    /// <summary>Removes a conductor's entry past the store's back, as a restored table may lack it.</summary>
    protected abstract Task EraseConductorAsync(string holder);

    /// <summary>Called at the end of each test.</summary>
    protected virtual Task CloseAsync() => Task.CompletedTask;

    private string Register(TimeSpan? lease = null)
    {
        string holder = $"conductor/{++conductors}";
        Assert.True(connection.Register(new ConductorEntry(holder, "conductor", "here", 1, lease ?? Lease, RequiresFence: false)));
        return holder;
    }

    private async Task<ReserveAnswer> ReserveAsync(NodeId node, string holder, long known = 0,
        string purpose = "test") =>
        await store.ReserveAsync(new ReserveRequest(ReserveAction.Reserve, node, holder, known, purpose), Limit);

    private async Task<ReserveAnswer.Granted> GrantAsync(NodeId node, string holder, long known = 0,
        string purpose = "test") =>
        Assert.IsType<ReserveAnswer.Granted>(await ReserveAsync(node, holder, known, purpose));

    private async Task ReleaseAsync(NodeId node, string holder, long token) =>
        await store.ReleaseAsync(holder, new HeldNode(node, token), Limit);

    private async Task<Reservation?> FindAsync(NodeId node) => await store.FindAsync(node, CancellationToken.None);

    /// <summary>Lets a conductor's lease run out; it is alive still, as far as the store knows.</summary>
    private async Task RunOutAsync(string holder)
    {
        DateTimeOffset? renewedAt = connection.Renew(holder, TimeSpan.FromMilliseconds(1));
        Assert.NotNull(renewedAt);
        // Any conductor's renewal tells the store's clock.
        string clock = Register();
        for (long began = TimeProvider.System.GetTimestamp();
            connection.Renew(clock, Lease) <= renewedAt + TimeSpan.FromMilliseconds(2);)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Limit, "The store's clock stands still.");
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    /// <summary>Lets a conductor's lease run out and has it declared dead.</summary>
    private async Task KillAsync(string holder, string witness)
    {
        Assert.NotNull(connection.Renew(holder, TimeSpan.FromMilliseconds(1)));
        for (long began = TimeProvider.System.GetTimestamp(); !connection.DeclareDead(witness, DateTimeOffset.MaxValue).Contains(holder);)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Limit, $"{holder} is not declared dead.");
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    private async Task HeldByAsync(NodeId node, string holder, long token, string purpose)
    {
        Reservation? found = await FindAsync(node);
        Assert.NotNull(found);
        Assert.Equal((holder, token, purpose), (Assert.Single(found.Holders), found.FencingToken, found.Purpose));
    }
}
