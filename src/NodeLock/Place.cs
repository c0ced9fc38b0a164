namespace NodeLock;

/// <summary>One caller's place at a gate: in line, then past it.</summary>
internal sealed class Place
{
    private readonly Gate gate;
    private const int MostSpares = 31; // the store writes its sequence down once in 32 tokens

    private readonly WakeUp wakeUp;
    private Claim? asked;
    private bool left;

    public Place(Gate gate, string purpose, ReservationMode mode)
    {
        this.gate = gate;
        wakeUp = new WakeUp(gate.Gates.Sync);
        Purpose = purpose;
        Mode = mode;
        Entry = new LinkedListNode<Place>(this);
    }

    public NodeId NodeId => gate.NodeId;
    public string Purpose { get; }

    /// <summary>How the node was asked for.</summary>
    public ReservationMode Mode { get; }

    public LinkedListNode<Place> Entry { get; }

    /// <summary>From one attempt to the next; zero for one who has a single attempt.</summary>
    public TimeSpan Interval { get; private set; }

    /// <summary>From the present attempt to the next; zero when there will be none.</summary>
    public TimeSpan NextTry { get; private set; }

    /// <summary>Whether this is past the line: has the node, or is giving it back.</summary>
    public bool IsInside { get; private set; }

    /// <summary>What the scope of this place holds; null before it got the node and after its use has ended.</summary>
    public Holding? Holding { get; private set; }

    private Lock Sync => gate.Gates.Sync;

    /// <summary>Whether the store may be asked from here.</summary>
    public bool MayAsk
    {
        get
        {
            lock (Sync) return gate.MayAsk_NeedsLock(this);
        }
    }

    /// <summary>Whether nobody else of this process is past the line.</summary>
    public bool IsAloneInside
    {
        get
        {
            lock (Sync) return IsInside && gate.CountInside_NeedsLock == 1;
        }
    }

    /// <summary>Notes what an attempt begins with.</summary>
    /// <param name="nextTry">How long until the next; zero when there will be none.</param>
    public void Attempts(TimeSpan nextTry)
    {
        lock (Sync)
        {
            NextTry = nextTry;
            if (nextTry > TimeSpan.Zero) Interval = nextTry;
        }
    }

    /// <summary>What is in the way of one who may not ask, as far as this process knows without asking.</summary>
    public Obstacle Obstacle
    {
        get
        {
            lock (Sync) return gate.Obstacle_NeedsLock(Purpose, except: this);
        }
    }

    /// <summary>
    /// What the first in line asks of the store; null when it may not (any more). It names what this conductor has of
    /// the node and no scope uses, or the entry that it joins; never what a living scope has to itself, since nobody
    /// may ask beside that.
    /// </summary>
    public ReserveRequest? Ask(Registration registration)
    {
        lock (Sync)
        {
            Claim? claim = gate.Claim_NeedsLock?.Registration == registration ? gate.Claim_NeedsLock : null;
            bool joins = gate.CountInside_NeedsLock > 0;
            if (!gate.MayAsk_NeedsLock(this) || (joins && claim is null)) return null;
            asked = claim;

            gate.Asked_NeedsLock(Mode);
            long known = claim?.FencingToken ?? 0;
            if (Mode == ReservationMode.Shared)
                return new ReserveRequest(joins ? ReserveAction.Join : ReserveAction.Share, NodeId, registration.Holder,
                    known, Purpose);
            return claim is { Spares.Length: > 0 }
                ? new ReserveRequest(ReserveAction.HandOver, NodeId, registration.Holder, known, Purpose)
                {
                    NewToken = claim.Spares.Span[0],
                }
                : new ReserveRequest(ReserveAction.Reserve, NodeId, registration.Holder, known, Purpose)
                {
                    Spares = Math.Min(gate.CountBehind_NeedsLock, MostSpares),
                };
        }
    }

    /// <summary>Wakes the first in line, if it asks more rarely than one behind it would.</summary>
    public void PromptFirst()
    {
        lock (Sync) gate.Prompt_NeedsLock(this);
    }

    /// <summary>Notes what was in the way, and that nothing here is this process's then.</summary>
    public void Met(Obstacle obstacle, bool isTaken)
    {
        lock (Sync)
        {
            gate.Refused_NeedsLock(obstacle);
            if (isTaken && gate.CountInside_NeedsLock == 0) gate.Claim_NeedsLock = null;
        }
    }

    /// <summary>The token with which that of a hand-over was drawn.</summary>
    public long DrawnWith => asked?.DrawnWith ?? 0;

    /// <summary>
    /// Has the next one who asks draw a token of its own: a statement that names the present one may still arrive. A
    /// crash that forgets a hand-over would make it match once more.
    /// </summary>
    public void ForgetSpares()
    {
        lock (Sync)
        {
            // The same instance where there are none: who is about to join knows its claim by that.
            if (gate.Claim_NeedsLock is { Spares.Length: > 0 } claim) gate.Claim_NeedsLock = claim.WithoutSpares();
        }
    }

    /// <summary>Notes a reservation of this process that no scope uses.</summary>
    public void Keep(Claim claim)
    {
        lock (Sync)
        {
            if (!left && gate.CountInside_NeedsLock == (IsInside ? 1 : 0)) gate.Claim_NeedsLock = claim;
        }
    }

    /// <summary>What the first in line finds here that no scope uses; null when there is nothing. It is forgotten
    /// here.</summary>
    public Claim? TakeUnused()
    {
        lock (Sync)
        {
            if (left || gate.First_NeedsLock != this || gate.CountInside_NeedsLock > 0) return null;
            Claim? unused = gate.Claim_NeedsLock;
            gate.Claim_NeedsLock = null;
            return unused;
        }
    }

    /// <summary>
    /// Goes past the line with what was granted. False for one who was to join others, when what they share is being
    /// given back or turned exclusive since it asked: the answer is out of date then.
    /// </summary>
    public bool TryHold(Holding holding, ReserveAction action, ReserveAnswer.Granted granted)
    {
        lock (Sync)
        {
            if (left || (action == ReserveAction.Join
                && (gate.Changing_NeedsLock is not null || !ReferenceEquals(gate.Claim_NeedsLock, asked))))
                return false;

            Holding = holding;
            IsInside = true;
            if (action != ReserveAction.Join) gate.Claim_NeedsLock = ClaimOf_NeedsLock(holding, action, granted);
            gate.Granted_NeedsLock(isHandOver: asked is not null, granted.Wanted);
            gate.Enter_NeedsLock(this);
            return true;
        }
    }

    /// <summary>The use of the scope is over; what it used is to be handed on or given back.</summary>
    public void EndUse()
    {
        lock (Sync) Holding = null;
    }

    /// <summary>Begins a change of mode, or goes on with one. False when another one inside is about one.</summary>
    public bool TryBeginChange()
    {
        lock (Sync)
        {
            if (left || (gate.Changing_NeedsLock is { } other && other != this)) return false;
            gate.Changing_NeedsLock = this;
            return true;
        }
    }

    /// <summary>Notes what the change has made of the reservation.</summary>
    public void Change(Claim claim)
    {
        lock (Sync)
        {
            if (!left) gate.Claim_NeedsLock = claim;
        }
    }

    public void EndChange()
    {
        lock (Sync)
        {
            if (gate.Changing_NeedsLock != this) return;
            gate.Changing_NeedsLock = null;
            if (gate.IsShared_NeedsLock) gate.First_NeedsLock?.Wake_NeedsLock();
        }
    }

    /// <summary>
    /// Leaves, handing what is unused to the first in line. False when there is something and nobody to hand it to: the
    /// caller stays until it has given that back, and then calls <see cref="Leave"/>.
    /// </summary>
    public bool TryLeave(out Claim? unused)
    {
        lock (Sync)
        {
            if (!left) gate.GiveWayIfWanted_NeedsLock(this);
            unused = !left && gate.WouldLeaveUnused_NeedsLock(this) ? gate.Claim_NeedsLock : null;
            if (unused is null)
            {
                Remove_NeedsLock();
                return true;
            }

            gate.Changing_NeedsLock = this;
            // Another instance: a join that was asked for before this release is not believed after it.
            gate.Claim_NeedsLock = unused with { };
            return false;
        }
    }

    /// <summary>Where others want what a transaction of the caller gives back, those here let them try first.</summary>
    public void GiveWayIfWanted()
    {
        lock (Sync)
        {
            if (!left) gate.GiveWayIfWanted_NeedsLock(this);
        }
    }

    /// <summary>Leaves; what was given back is not named again.</summary>
    public void LeaveReleased(Claim released)
    {
        lock (Sync)
        {
            if (!left && released.IsSameAs(gate.Claim_NeedsLock)) gate.Claim_NeedsLock = null;
            Remove_NeedsLock();
        }
    }

    /// <summary>Leaves whatever is left here: a reservation that could not be given back is named by the next in line,
    /// or given back by the heartbeat.</summary>
    public void Leave()
    {
        lock (Sync) Remove_NeedsLock();
    }

    public void Remove_NeedsLock()
    {
        if (left) return;
        left = true;
        Holding = null;
        gate.Remove_NeedsLock(this);
    }

    private Claim ClaimOf_NeedsLock(Holding holding, ReserveAction action, ReserveAnswer.Granted granted)
    {
        if (action == ReserveAction.HandOver) return asked!.HandedOver();
        long token = holding.Grant.FencingToken;
        return new Claim(holding.Registration, token, Mode)
        {
            // One that does not follow the token is of a sequence that was set back.
            Spares = granted.Spares.Count == 0 ? default
                : granted.Spares.Where(spare => spare > token).ToArray(),
        };
    }

    public ValueTask<bool> WaitAsync(TimeSpan time, CancellationToken cancellation) =>
        wakeUp.WaitAsync(time, gate.Gates.TimeProvider, cancellation);

    public void Wake_NeedsLock() => wakeUp.Wake_NeedsLock();
}
