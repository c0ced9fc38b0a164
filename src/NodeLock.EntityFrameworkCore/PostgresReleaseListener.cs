using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Hears of a kind's nodes on a connection of its own, which sends nothing after its LISTEN: so a pooler that gives the
/// session to another after each transaction is found out by its silence.
/// </summary>
internal sealed class PostgresReleaseListener : IReleaseListener
{
    private readonly NpgsqlConnection connection;
    private readonly NodeKey key;

    // Filled by nobody but the caller of HearAsync, while it waits.
    private readonly Queue<NodeId?> heard = [];

    private PostgresReleaseListener(NpgsqlConnection connection, NodeKey key)
    {
        this.connection = connection;
        this.key = key;
        connection.Notification += Hear;
    }

    /// <summary>Opens a connection and begins to listen.</summary>
    /// <param name="like">A connection of the context.</param>
    /// <param name="connectionString">Another way to its database; null for the same.</param>
    /// <param name="model">The kind.</param>
    /// <param name="timeLimit">How long it may take in all.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="TimeoutException">It took longer.</exception>
    public static async Task<PostgresReleaseListener> OpenAsync(NpgsqlConnection like, string? connectionString,
        ReservationModel model, TimeSpan timeLimit, CancellationToken cancellationToken)
    {
        NpgsqlConnectionStringBuilder settings =
            OwnConnection.Settings(connectionString ?? like.ConnectionString, "NodeLock listener", timeLimit);
        settings.KeepAlive = 0; // which would send something
        PostgresReleaseListener listener = new(like.CloneWith(settings.ToString()), model.Key);
        using CancellationTokenSource limit = new(timeLimit, TimeProvider.System);
        using CancellationTokenSource either =
            CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            await listener.ListenAsync(model.Channel, either.Token).ConfigureAwait(false);
            return listener;
        }
        catch (Exception e)
        {
            await listener.DisposeAsync().ConfigureAwait(false);
            if (e is OperationCanceledException && !cancellationToken.IsCancellationRequested)
                throw new TimeoutException($"The database did not answer within {timeLimit}.", e);
            throw;
        }
    }

    public async ValueTask<NodeId?> HearAsync(CancellationToken cancellationToken)
    {
        NodeId? next;
        while (!heard.TryDequeue(out next)) await connection.WaitAsync(cancellationToken).ConfigureAwait(false);
        return next;
    }

    public ValueTask DisposeAsync() => connection.DisposeAsync();

    private async Task ListenAsync(string channel, CancellationToken cancellationToken)
    {
        await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
        NpgsqlCommand listen = new($"listen {channel}", connection);
        await using (listen.ConfigureAwait(false))
            await listen.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private void Hear(object sender, NpgsqlNotificationEventArgs told)
    {
        if (told.Payload.Length == 0) heard.Enqueue(null);
        // Whatever else is told here is somebody else's: a table of the same name in another schema, or a person.
        else if (NodeId.TryParse(told.Payload, out _) && key.TryParse(told.Payload) is { } value)
            heard.Enqueue(key.Spell(value));
    }
}
