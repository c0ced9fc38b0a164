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

    /// <summary>Until the next attempt of one that leaves a wish; the wish outlasts any test.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(5);

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

    /// <summary>Opens a store of another kind of nodes, with the same ids, beside the first as far as one is beside
    /// another.</summary>
    protected abstract INodeLockRepository OpenOther();

    /// <summary>Removes a conductor's entry past the store's back, as a restored table may lack it.</summary>
    protected abstract Task EraseConductorAsync(string holder);

    /// <summary>Called at the end of each test.</summary>
    protected virtual Task CloseAsync() => Task.CompletedTask;

    private string Register(bool requiresFence = false)
    {
        string holder = $"conductor/{++conductors}";
        Assert.True(connection.Register(new ConductorEntry(holder, "conductor", "here", 1, Lease, requiresFence)));
        return holder;
    }

    /// <summary>A request; to reserve, exclusively, where the caller does not change that.</summary>
    private static ReserveRequest Request(NodeId node, string holder, long known = 0, string purpose = "test") =>
        new(ReserveAction.Reserve, node, holder, known, purpose);

    /// <summary>A request for the node of most tests.</summary>
    private ReserveRequest To(ReserveAction action, string holder, long known = 0, string purpose = "test") =>
        new(action, Node, holder, known, purpose);

    private async Task<ReserveAnswer> AskAsync(ReserveRequest request) => await store.ReserveAsync(request, Limit);

    private async Task<ReserveAnswer.Granted> GrantAsync(ReserveRequest request) =>
        Assert.IsType<ReserveAnswer.Granted>(await AskAsync(request));

    private async Task<ReserveAnswer.Taken> RefuseAsync(ReserveRequest request) =>
        Assert.IsType<ReserveAnswer.Taken>(await AskAsync(request));

    private Task<ReserveAnswer> ReserveAsync(NodeId node, string holder, long known = 0, string purpose = "test") =>
        AskAsync(Request(node, holder, known, purpose));

    private Task<ReserveAnswer.Granted> GrantAsync(NodeId node, string holder, long known = 0,
        string purpose = "test") => GrantAsync(Request(node, holder, known, purpose));

    private Task<ReserveAnswer.Granted> ShareAsync(string holder, long known = 0, string purpose = "test") =>
        GrantAsync(To(ReserveAction.Share, holder, known, purpose));

    /// <summary>Has a writer refused that will ask again.</summary>
    private async Task WishAsync(string writer) =>
        await RefuseAsync(To(ReserveAction.Reserve, writer) with { NextAttempt = Interval });

    private async Task ReleaseAsync(NodeId node, string holder, long token,
        ReservationMode mode = ReservationMode.Exclusive) =>
        await store.ReleaseAsync(holder, new HeldNode(node, token, mode), Limit);

    private async Task<Reservation?> FindAsync(NodeId node) => await store.FindAsync(node, CancellationToken.None);

    /// <summary>Lets a conductor's lease run out; it is alive still, as far as the store knows.</summary>
    private async Task RunOutAsync(string holder)
    {
        DateTimeOffset? renewedAt = connection.Renew(holder, TimeSpan.FromMilliseconds(1));
        Assert.NotNull(renewedAt);
        await UntilAsync(renewedAt.Value + TimeSpan.FromMilliseconds(2));
    }

    /// <summary>Waits until the store's clock has passed a moment.</summary>
    private async Task UntilAsync(DateTimeOffset moment)
    {
        // Any conductor's renewal tells the store's clock.
        string clock = Register();
        for (long began = TimeProvider.System.GetTimestamp(); connection.Renew(clock, Lease) <= moment;)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Limit, "The store's clock stands still.");
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    /// <summary>Lets a conductor's lease run out and has it declared dead.</summary>
    private async Task KillAsync(string holder, string witness)
    {
        Assert.NotNull(connection.Renew(holder, TimeSpan.FromMilliseconds(1)));
        for (long began = TimeProvider.System.GetTimestamp();
            !connection.DeclareDead(witness, DateTimeOffset.MaxValue).Contains(holder);)
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

    private async Task SharedByAsync(params (string Holder, long Stamp)[] entries)
    {
        Reservation? found = await FindAsync(Node);
        Assert.NotNull(found);
        Assert.Equal(ReservationMode.Shared, found.Mode);
        Assert.Equal(entries.Select(e => e.Holder), found.Holders);
        Assert.Equal(entries.Max(e => e.Stamp), found.FencingToken);
        foreach ((string holder, long stamp) in entries)
        {
            Assert.Equal([new HeldNode(Node, stamp, ReservationMode.Shared)],
                connection.FindReservedBy(holder).Where(h => h.NodeId == Node));
        }
    }

    private Task HeldAsync(string holder, long token, ReservationMode mode) => mode == ReservationMode.Shared
        ? SharedByAsync((holder, token))
        : HeldByAsync(Node, holder, token, "test");
}
