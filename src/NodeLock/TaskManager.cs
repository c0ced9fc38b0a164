using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace NodeLock;

/// <summary>
/// Reserves nodes so that no two operations on one node overlap, over all processes that share the store, and hands
/// out a <see cref="TaskScope"/> for each, whose dispose releases the node.
/// </summary>
/// <remarks>
/// One per process and kind of node; usually a singleton that <c>AddNodeLock</c> registers. Its conductor starts with
/// the host, or else on first use, and ends with the host or on dispose.
/// </remarks>
/// <threadsafety>All members may be used at the same time from any thread.</threadsafety>
public sealed partial class TaskManager : IAsyncDisposable, IDisposable
{
    private readonly INodeLockRepository repository;
    private readonly LiveOptions settings;
    private readonly TimeProvider timeProvider;
    private readonly ILogger log;
    private readonly BackgroundWork background;
    private readonly Gates gates;
    private readonly GroupedStore store;
    private readonly Acquires acquires;
    private readonly Conductor conductor;
    private readonly Releases releases;
    private readonly Scopes scopes;

    /// <summary>Makes a task manager without a container. Dispose it when the process ends.</summary>
    /// <param name="repository">Where the reservations are kept.</param>
    /// <param name="options">The settings; null for the defaults. They are not read again.</param>
    /// <param name="timeProvider">The clock of waits; null for the system's.</param>
    /// <param name="loggerFactory">Where the log goes; null for nowhere.</param>
    /// <param name="fence">What makes sure that a dead conductor no longer acts on its nodes; null for none.</param>
    /// <exception cref="Microsoft.Extensions.Options.OptionsValidationException">A setting is out of bounds, or two
    /// contradict each other.</exception>
    public TaskManager(INodeLockRepository repository, NodeLockOptions? options = null,
        TimeProvider? timeProvider = null, ILoggerFactory? loggerFactory = null, INodeFence? fence = null)
        : this(repository, fence, new LiveOptions(options ?? new NodeLockOptions()),
            timeProvider ?? TimeProvider.System, LogOf(loggerFactory), meters: null)
    {
    }

    internal TaskManager(INodeLockRepository repository, INodeFence? fence, LiveOptions settings,
        TimeProvider timeProvider, ILogger log, IMeterFactory? meters)
    {
        ArgumentNullException.ThrowIfNull(repository);
        this.repository = repository;
        this.settings = settings;
        this.timeProvider = timeProvider;
        this.log = log;
        Telemetry telemetry = new(meters, repository.Kind);
        background = new BackgroundWork(log);
        gates = new Gates(settings, timeProvider);
        store = new GroupedStore(repository, settings.Current, timeProvider);
        acquires = new Acquires(settings, background, telemetry, timeProvider, log);
        conductor = new Conductor(repository, fence, settings, gates, background, telemetry, timeProvider, log);
        releases = new Releases(repository, store, settings, background, timeProvider, log);
        scopes = new Scopes(conductor, releases, acquires, repository, settings, background, telemetry, timeProvider,
            log);
    }

    /// <summary>
    /// The identity of this conductor: its name, <c>/</c>, and 128 random bits drawn for this start. It changes when
    /// the conductor was declared dead and starts over.
    /// </summary>
    public string Holder => conductor.Current.Holder;

    /// <summary>Reserves a node, asking again while it is locked as the settings say.</summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="purpose">Why, in a few words: 1 to 500 characters. Others see it while they wait.</param>
    /// <param name="cancellationToken">Ends the wait, never the holding.</param>
    /// <returns>The scope that holds the node until it is disposed.</returns>
    /// <inheritdoc cref="AcquireAsync(NodeId, AcquireOptions, CancellationToken)" path="/exception"/>
    public ValueTask<TaskScope> AcquireAsync(NodeId nodeId, string purpose,
        CancellationToken cancellationToken = default) =>
        AcquireAsync(NodeOf(nodeId), Text.Purpose(purpose, nameof(purpose)), ReservationMode.Exclusive, retry: null,
            cancellationToken);

    /// <summary>Reserves a node, asking again while it is locked as the options say.</summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="options">Why, how, and how often to ask.</param>
    /// <param name="cancellationToken">Ends the wait, never the holding: a request on its way is left to finish, and
    /// what it reserved is released.</param>
    /// <returns>The scope that holds the node until it is disposed.</returns>
    /// <exception cref="ArgumentException">The id is <c>default</c> or not of the key's type, or the purpose is empty
    /// or too long.</exception>
    /// <exception cref="NodeLockedException">The node stayed locked through all attempts.</exception>
    /// <exception cref="NodeNotFoundException">There is no such node.</exception>
    /// <exception cref="ReservationLostException">The node was reserved, but the answer came too late to be believed.
    /// </exception>
    /// <exception cref="ConductorStoppingException">The process is shutting down, or this is disposed.</exception>
    /// <exception cref="InvalidOperationException">The store is not set up; the message says what is
    /// missing.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="TimeoutException">The store did not answer within
    /// <see cref="NodeLockOptions.HeartbeatInterval"/>.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed; the provider's own
    /// exception.</exception>
    public ValueTask<TaskScope> AcquireAsync(NodeId nodeId, AcquireOptions options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        return AcquireAsync(NodeOf(nodeId), Text.Purpose(options.Purpose, nameof(options)), Known(options.Mode),
            options.Retry, cancellationToken);
    }

    /// <summary>
    /// Reserves a node if it is free now: one attempt. It waits for the store's answer only, and no longer than a
    /// moment where somebody's transaction has the node's row in hand.
    /// </summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="purpose">Why, in a few words: 1 to 500 characters.</param>
    /// <param name="mode">How it is taken.</param>
    /// <param name="cancellationToken">Ends the wait for the answer, never the holding.</param>
    /// <returns>The scope that holds the node; null when it is taken. When it is held or waited for in this process,
    /// the store is not even asked.</returns>
    /// <exception cref="ArgumentException">The id is <c>default</c> or not of the key's type, or the purpose is empty
    /// or too long.</exception>
    /// <exception cref="NodeNotFoundException">There is no such node.</exception>
    /// <exception cref="ReservationLostException">The node was reserved, but the answer came too late to be believed.
    /// </exception>
    /// <exception cref="ConductorStoppingException">The process is shutting down, or this is disposed.</exception>
    /// <exception cref="InvalidOperationException">The store is not set up; the message says what is
    /// missing.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="TimeoutException">The store did not answer within
    /// <see cref="NodeLockOptions.HeartbeatInterval"/>.</exception>
    /// <exception cref="System.Data.Common.DbException">The database could not be reached or failed; the provider's own
    /// exception.</exception>
    public async ValueTask<TaskScope?> TryAcquireAsync(NodeId nodeId, string purpose,
        ReservationMode mode = ReservationMode.Exclusive, CancellationToken cancellationToken = default)
    {
        NodeId node = NodeOf(nodeId);
        Text.Purpose(purpose, nameof(purpose));
        Known(mode);
        cancellationToken.ThrowIfCancellationRequested();
        conductor.ThrowIfStopping();

        return gates.TryEnter(node, purpose, mode) is { } place
            ? await acquires.TryAsync(NameOf(mode), AcquisitionAt(place), LockRetry.None, cancellationToken)
                .ConfigureAwait(false)
            : null;
    }

    private async ValueTask<TaskScope> AcquireAsync(NodeId node, string purpose, ReservationMode mode,
        LockRetry? retry, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        conductor.ThrowIfStopping();

        Acquisition acquisition = AcquisitionAt(gates.Enter(node, purpose, mode));
        return await acquires.GetAsync(NameOf(mode), acquisition, retry, cancellationToken).ConfigureAwait(false);
    }

    private Acquisition AcquisitionAt(Place place) =>
        new(scopes, conductor, releases, gates, repository, store, settings.Current, place, timeProvider, log);

    /// <summary>
    /// Ends the conductor. Waiters are sent away with <see cref="ConductorStoppingException"/>; what is held still is
    /// lost, and free again when the lease is over; with nothing held, the conductor leaves at once.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        await conductor.StopAsync().ConfigureAwait(false);
        settings.Dispose();
    }

    /// <summary>The same, blocking until it is done; prefer <see cref="DisposeAsync"/>.</summary>
    public void Dispose()
    {
        // Bounded by ReleaseTimeout three times; a container that disposes synchronously leaves no other way.
        conductor.StopAsync().GetAwaiter().GetResult();
        settings.Dispose();
    }

    internal static ILogger LogOf(ILoggerFactory? factory) =>
        new QuietLogger((factory ?? NullLoggerFactory.Instance).CreateLogger("NodeLock"));

    internal void Start() => conductor.Start();

    internal void BeginStop() => conductor.BeginStop();

    /// <summary>Waits until nothing is held any more, or the host's time is over.</summary>
    internal Task DrainAsync(CancellationToken hostsTime) => conductor.DrainAsync(hostsTime);

    private static ReservationMode Known(ReservationMode mode) => Enum.IsDefined(mode)
        ? mode
        : throw new ArgumentOutOfRangeException(nameof(mode), mode, "There is no such mode.");

    private static string NameOf(ReservationMode mode) => mode == ReservationMode.Shared ? "share" : "acquire";

    private NodeId NodeOf(NodeId nodeId) => repository.Spell(nodeId.OrRefuseDefault(nameof(nodeId)));
}
