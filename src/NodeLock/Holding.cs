namespace NodeLock;

/// <summary>
/// A reservation in use by a task scope. The conductor keeps this and not the scope, so that a scope that was dropped
/// without dispose can be collected and reported.
/// </summary>
#pragma warning disable CA1001 // The source of Lost is never disposed: its token stays readable after the scope's
// dispose, and without a timer there is nothing to free.
internal sealed class Holding(Place place, Registration registration, Grant grant, TimeSpan heldSince)
#pragma warning restore CA1001
{
    private const int Held = 0, Lost = 1, Released = 2;

    private readonly CancellationTokenSource lost = new();
    private Grant grant = grant;
    private int state = Held;
    private int longHoldReported;
    private string? lostBecause;

    public Place Place => place;
    public NodeId NodeId => place.NodeId;
    public Registration Registration => registration;

    /// <summary>What is held now. Set by <see cref="Registration.TryChange"/> alone.</summary>
    public Grant Grant
    {
        get => Volatile.Read(ref grant);
        set => Volatile.Write(ref grant, value);
    }

    /// <summary>Whether a change of mode is on its way to the store, or was not answered: what the row says then says
    /// nothing about this.</summary>
    public bool IsChanging { get; set; }

    /// <summary>Whether a transaction of the caller is giving it back: from the sending of its commit on somebody else
    /// may have the node.</summary>
    public bool IsBeingReleased { get; set; }

    /// <summary>The wish that an upgrade left, by which the next one knows that no other writer waits.</summary>
    public DateTimeOffset? Wish { get; set; }

    public ReservationMode Mode => Grant.Mode;
    public string Purpose => Grant.Purpose;
    public long FencingToken => Grant.FencingToken;
    public TimeSpan HeldSince => heldSince;
    public HeldNode HeldNode => HeldNodeOf(Grant);
    public CancellationToken LostToken => lost.Token;
    public bool IsLost => Volatile.Read(ref state) == Lost;

    public HeldNode HeldNodeOf(Grant held) => new(NodeId, held.FencingToken, held.Mode);

    public Obstacle AsObstacle()
    {
        Grant held = Grant;
        return Obstacle.HeldHere(new Reservation(NodeId, held.Mode, [registration.Holder], held.Purpose,
            held.ReservedAt, held.FencingToken, ReservationState.Held));
    }

    /// <summary>Why it is lost; of use once it is.</summary>
    public string? LostBecause => Volatile.Read(ref lostBecause);

    /// <summary>What the user of a lost one is told.</summary>
    public ReservationLostException AsLost(string reason) => new(NodeId, Purpose, FencingToken, registration.Holder,
        LostBecause ?? reason);

    /// <summary>False when it was lost before or is no longer in use, so that each loss is reported once.</summary>
    public bool TryLose(string reason)
    {
        Interlocked.CompareExchange(ref lostBecause, reason, null); // before anybody can see that it is lost
        return Interlocked.CompareExchange(ref state, Lost, Held) == Held;
    }

    /// <summary>The use is over: from here on <c>Lost</c> does not fire. A lost one stays lost.</summary>
    public void EndUse() => Interlocked.CompareExchange(ref state, Released, Held);

    /// <summary>Set at once; the callbacks run on the thread pool, so that a slow one holds up nobody.</summary>
    public Task FireLostAsync() => lost.CancelAsync();

    public bool TryReportLongHold() => Interlocked.Exchange(ref longHoldReported, 1) == 0;
}
