using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Threading.Channels;

namespace NodeLock.Tests.Postgres;

/// <summary>
/// One client of a <see cref="FaultProxy"/> and its session. Three loops: one receives requests (and so knows at once
/// when the client is gone), one delivers them (and so can wait with one), one returns the replies.
/// </summary>
internal sealed class ProxiedConnection(FaultProxy proxy, Socket clientSocket) : IAsyncDisposable
{
    private const int SslRequest = 80877103;
    private const int GssRequest = 80877104;
    private const int CancelRequest = 80877102;

    private readonly CancellationTokenSource cut = new();
    private readonly Socket serverSocket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly Channel<ProxiedRequest> received = Channel.CreateUnbounded<ProxiedRequest>();

    // What the server owes an answer to (ReadyForQuery), in order; the first is the startup message.
    private readonly ConcurrentQueue<ProxiedRequest> unanswered = new();
    private readonly TaskCompletionSource serverGone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool lostSomething;

    /// <summary>Whether a byte was swallowed; from then on nothing of the connection passes.</summary>
    public bool LostSomething => lostSomething;

    public async Task RunAsync()
    {
        try
        {
            clientSocket.NoDelay = true;
            await using var client = new NetworkStream(clientSocket);
            await using var requests = new WireReader(client);
            if (await StartUpAsync(requests, client) is not { } startup)
                return;
            await serverSocket.ConnectAsync(proxy.Server, cut.Token);
            await using var server = new NetworkStream(serverSocket);
            unanswered.Enqueue(new ProxiedRequest(startup, "", executes: false, asksForAnswer: true));
            await server.WriteAsync(startup, cut.Token);
            if (CodeOf(startup) == CancelRequest)
                _ = await server.ReadAsync(new byte[1], cut.Token); // the server's close says that it has looked
            else
                await Task.WhenAll(ReceiveAsync(requests), DeliverAsync(server), ReturnRepliesAsync(server, client));
        }
        catch (Exception e) when (IsDisconnect(e))
        {
        }
    }

    /// <summary>Closes both sides at once, as a reset.</summary>
    public void Cut()
    {
        try
        {
            cut.Cancel();
            clientSocket.Close(0);
            serverSocket.Close(0);
        }
        catch (ObjectDisposedException)
        {
            // The connection ended by itself in this moment.
        }
    }

    public ValueTask DisposeAsync()
    {
        clientSocket.Dispose();
        serverSocket.Dispose();
        cut.Dispose();
        return ValueTask.CompletedTask;
    }

    private static bool IsDisconnect(Exception e)
        => e is IOException or SocketException or ObjectDisposedException or OperationCanceledException;

    private static int CodeOf(byte[] startup) => BinaryPrimitives.ReadInt32BigEndian(startup.AsSpan(4));

    private async Task<byte[]?> StartUpAsync(WireReader requests, NetworkStream client)
    {
        while (await requests.ReadStartupAsync(cut.Token) is { } startup)
        {
            if (Swallowed())
                await UntilCutAsync();
            if (CodeOf(startup) is not (SslRequest or GssRequest))
                return startup;
            await client.WriteAsync("N"u8.ToArray(), cut.Token);
        }

        return null;
    }

    private async Task ReceiveAsync(WireReader requests)
    {
        List<HeldRequests> held = [];
        try
        {
            while (await requests.ReadRequestAsync(cut.Token) is { } request)
            {
                if (Swallowed())
                    continue;
                if (request.AsksForAnswer)
                    proxy.Consider(request);
                if (request.Hold is { } hold)
                    held.Add(hold);
                received.Writer.TryWrite(request);
            }
        }
        catch (Exception e) when (IsDisconnect(e))
        {
        }

        held.ForEach(hold => hold.NoteSenderGone());
        if (Swallowed())
            await UntilCutAsync();
        received.Writer.TryComplete();
    }

    private async Task DeliverAsync(NetworkStream server)
    {
        ProxiedRequest? lastHeld = null;
        try
        {
            await foreach (ProxiedRequest request in received.Reader.ReadAllAsync(cut.Token))
            {
                if (request.Hold is { } hold)
                {
                    await hold.Released.WaitAsync(cut.Token);
                    lastHeld = request;
                }

                if (Swallowed())
                    continue;
                if (request.AsksForAnswer)
                    unanswered.Enqueue(request);
                await server.WriteAsync(request.Bytes, cut.Token);
            }

            // A close would overtake a request that came late, and the server would not carry it out.
            if (lastHeld is not null)
                await Task.WhenAny(lastHeld.Answered.Task, serverGone.Task).WaitAsync(cut.Token);
        }
        catch (Exception e) when (IsDisconnect(e))
        {
        }
        finally
        {
            serverSocket.Close();
        }
    }

    private async Task ReturnRepliesAsync(NetworkStream server, NetworkStream client)
    {
        try
        {
            await using var replies = new WireReader(server);
            await ReturnRepliesAsync(replies, client);
        }
        catch (Exception e) when (IsDisconnect(e))
        {
        }

        serverGone.TrySetResult();
        if (Swallowed())
            await UntilCutAsync();
        clientSocket.Close();
    }

    private async Task ReturnRepliesAsync(WireReader replies, NetworkStream client)
    {
        using var withheld = new MemoryStream();
        DroppedReplies? drop = null;
        bool failed = false;
        while (await replies.ReadMessageAsync(cut.Token) is { } message)
        {
            char type = (char)message[0];
            drop ??= unanswered.TryPeek(out ProxiedRequest? request) ? request.Drop : null;
            failed |= drop is not null && type == 'E';
            bool ready = type == 'Z';
            if (type == 'A' && message[^2] != 0) // two zeros end one with an empty payload
                proxy.NoteNotification();
            if (ready && drop is not null && message[5] == 'I')
            {
                Cut();
                drop.NoteDrop(failed);
            }

            if (ready)
                NoteAnswer();

            // A client that is about to copy (G, W) asks for an answer only after it was told to go on.
            withheld.Write(message);
            if (drop is null || ready || type is 'G' or 'W')
            {
                await SendAsync(client, withheld);
                withheld.SetLength(0);
            }
        }
    }

    // A reply that its client does not want any more is read all the same: a held request waits for it.
    private async Task SendAsync(NetworkStream client, MemoryStream reply)
    {
        try
        {
            if (!Swallowed())
                await client.WriteAsync(reply.GetBuffer().AsMemory(0, (int)reply.Length), cut.Token);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
        }
    }

    private void NoteAnswer()
    {
        if (!unanswered.TryDequeue(out ProxiedRequest? request))
            return;
        request.Answered.TrySetResult();
        request.Hold?.NoteAnswer();
    }

    private bool Swallowed()
    {
        if (proxy.Swallow)
            lostSomething = true;
        else if (lostSomething)
            Cut(); // the proxy healed in this moment, and cut what it knew to have lost something
        return lostSomething;
    }

    private Task UntilCutAsync() => Task.Delay(Timeout.InfiniteTimeSpan, cut.Token);
}
