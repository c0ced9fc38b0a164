using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// Stands between Npgsql and a server, and does to their connections what networks do: loses the reply to a commit,
/// delivers a request after its sender gave up, swallows everything, cuts. It reads the protocol, so that it acts on
/// whole requests; encryption is refused, since it would hide them.
/// </summary>
public sealed class FaultProxy : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stopping = new();
    private readonly Lock sync = new();
    private readonly Dictionary<ProxiedConnection, Task> open = [];
    private readonly Task accepting;
    private List<ProxyFault> faults = [];
    private int connections;
    private int requests;
    private int notifications;
    private bool swallow;

    /// <param name="serverConnectionString">Leads to the server; must name its host and port for TCP.</param>
    public FaultProxy(string serverConnectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(serverConnectionString);
        Server = new DnsEndPoint(builder.Host ?? "localhost", builder.Port);
        listener.Start();
        builder.Host = "127.0.0.1";
        builder.Port = ((IPEndPoint)listener.LocalEndpoint).Port;
        builder.SslMode = SslMode.Disable;
        builder.GssEncryptionMode = GssEncryptionMode.Disable;
        ConnectionString = builder.ConnectionString;
        accepting = AcceptAsync();
    }

    /// <summary>Leads to the server through this proxy.</summary>
    public string ConnectionString { get; }

    /// <summary>How many connections were made so far; Npgsql cancels a command by a connection of its own.</summary>
    public int Connections => Volatile.Read(ref connections);

    public int OpenConnections
    {
        get
        {
            lock (sync)
                return open.Count;
        }
    }

    /// <summary>How many requests (round trips) clients have sent so far.</summary>
    public int Requests => Volatile.Read(ref requests);

    /// <summary>How many notifications that say something servers have sent so far.</summary>
    public int Notifications => Volatile.Read(ref notifications);

    /// <summary>
    /// While true, everything sent in either direction is lost and nobody is told, not even of a close; new connections
    /// hang as well. When it turns false, the connections that lost something are cut and the others go on.
    /// </summary>
    public bool Swallow
    {
        get => Volatile.Read(ref swallow);
        set
        {
            Volatile.Write(ref swallow, value);
            if (value)
                return;
            foreach (ProxiedConnection connection in Snapshot().Where(connection => connection.LostSomething))
                connection.Cut();
        }
    }

    internal DnsEndPoint Server { get; }

    /// <inheritdoc cref="DropReplyAfterCommit(Func{ProxiedRequest, bool}, int)"/>
    public DroppedReplies DropReplyAfterCommit(string text, int count = 1)
        => DropReplyAfterCommit(request => request.Contains(text), count);

    /// <summary>
    /// Lets the next requests that match reach the server, waits until their transaction is over there, and then closes
    /// the connection without the reply. When a match leaves its transaction open, its own reply is passed on, and
    /// what is lost is the reply to the request that ends the transaction.
    /// </summary>
    public DroppedReplies DropReplyAfterCommit(Func<ProxiedRequest, bool> match, int count = 1)
        => Add(new DroppedReplies(match, count));

    /// <inheritdoc cref="HoldRequests(Func{ProxiedRequest, bool}, int)"/>
    public HeldRequests HoldRequests(string text, int count = int.MaxValue)
        => HoldRequests(request => request.Contains(text), count);

    /// <summary>
    /// Keeps requests that match from the server until they are released, also when their sender has gone by then.
    /// What the same connection sends after a held request waits behind it.
    /// </summary>
    public HeldRequests HoldRequests(Func<ProxiedRequest, bool> match, int count = int.MaxValue)
        => Add(new HeldRequests(match, count));

    /// <summary>Counts requests and lets a test wait for them.</summary>
    public WatchedRequests WatchRequests(string text)
        => WatchRequests(request => request.Contains(text));

    /// <inheritdoc cref="WatchRequests(string)"/>
    public WatchedRequests WatchRequests(Func<ProxiedRequest, bool> match)
        => Add(new WatchedRequests(match));

    /// <summary>Closes every connection, to both sides, with what is held for them.</summary>
    public void CutAll()
    {
        foreach (ProxiedConnection connection in Snapshot())
            connection.Cut();
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        listener.Stop();
        await accepting;
        Task[] running;
        lock (sync)
            running = [.. open.Values];
        CutAll();
        await Task.WhenAll(running);
        listener.Dispose();
        stopping.Dispose();
    }

    internal void Consider(ProxiedRequest request)
    {
        Interlocked.Increment(ref requests);
        foreach (ProxyFault fault in Volatile.Read(ref faults))
            fault.Consider(request);
    }

    internal void NoteNotification() => Interlocked.Increment(ref notifications);

    private TFault Add<TFault>(TFault fault)
        where TFault : ProxyFault
    {
        lock (sync)
            Volatile.Write(ref faults, [.. faults.Where(earlier => !earlier.IsOver), fault]);
        return fault;
    }

    private List<ProxiedConnection> Snapshot()
    {
        lock (sync)
            return [.. open.Keys];
    }

    private async Task AcceptAsync()
    {
        while (!stopping.IsCancellationRequested)
        {
            Socket client;
            try
            {
                client = await listener.AcceptSocketAsync(stopping.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException)
            {
                continue;
            }

            Interlocked.Increment(ref connections);
            var connection = new ProxiedConnection(this, client);
            lock (sync)
                open.Add(connection, Task.Run(() => ServeAsync(connection)));
        }
    }

    private async Task ServeAsync(ProxiedConnection connection)
    {
        await using (connection)
            await connection.RunAsync();
        lock (sync)
            open.Remove(connection);
    }
}
