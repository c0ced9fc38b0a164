namespace NodeLock;

/// <summary>
/// The line inside one process for one node, and those who are past it. First come, first served, in either mode: only
/// the first in line talks to the store. Past it is one who has the node exclusively, or any number who share it;
/// whoever is giving it back is still there. A gate exists while somebody is in line or past it.
/// </summary>
/// <remarks>
/// <code>
/// inside        the first in line may
/// nobody        reserve or share, naming what is left unused here
/// sharers       join them, if it wants to share and none of them is about to upgrade
/// one writer    wait
/// </code>
/// </remarks>
internal sealed class Gate(Gates gates, NodeId nodeId)
{
    /// <summary>So many may have the node in a row while another conductor wants it.</summary>
    public const int MostTurns = 16;

    private readonly LinkedList<Place> line = [];
    private readonly LinkedList<Place> inside = [];
    private long? askedAt; // when the first in line last did; null when its answer is out of date
    private ReservationMode askedFor;
    private bool isRefused; // since then
    private int turns; // of this process in a row
    private long grantedAt;
    private TimeSpan wantedFor; // from then on

    public Gates Gates => gates;
    public NodeId NodeId => nodeId;

    public Place? First_NeedsLock => line.First?.Value;

    public Place? AnyInside_NeedsLock => inside.First?.Value;

    public int CountInside_NeedsLock => inside.Count;

    public int CountBehind_NeedsLock => Math.Max(0, line.Count - 1);

    public bool IsEmpty_NeedsLock => line.Count == 0 && inside.Count == 0;

    /// <summary>What the first in line met when it last asked.</summary>
    public Obstacle? Met_NeedsLock { get; private set; }

    /// <summary>The reservation that those inside use; with nobody there, one for the next to name.</summary>
    public Claim? Claim_NeedsLock { get; set; }

    /// <summary>Who inside changes its mode, or is giving the node back: nobody joins meanwhile.</summary>
    public Place? Changing_NeedsLock { get; set; }

    public bool IsShared_NeedsLock => inside.Count > 0 && Changing_NeedsLock is null
        && Claim_NeedsLock is { Mode: ReservationMode.Shared };

    public Place Join_NeedsLock(string purpose, ReservationMode mode)
    {
        Place place = new(this, purpose, mode);
        line.AddLast(place.Entry);
        return place;
    }

    public bool MayAsk_NeedsLock(Place place) => First_NeedsLock == place
        && (inside.Count == 0 || (place.Mode == ReservationMode.Shared && IsShared_NeedsLock))
        && !IsHeldBack_NeedsLock(place) && !IsAnswered_NeedsLock(place);

    /// <summary>Notes a grant.</summary>
    /// <param name="isHandOver">Whether one of this process had the node before.</param>
    /// <param name="wanted">For how long somebody else is known to want it.</param>
    public void Granted_NeedsLock(bool isHandOver, TimeSpan wanted)
    {
        Met_NeedsLock = null;
        isRefused = false;
        turns = isHandOver ? turns + 1 : 1;
        wantedFor = wanted;
        grantedAt = gates.TimeProvider.GetTimestamp();
    }

    /// <summary>
    /// The last one inside leaves. Where another conductor wants the node, it is to have a fair chance: this process,
    /// which knows first that the node is free, would always be quicker. So after enough turns those in line give way,
    /// and so does whoever comes when there are none. Once for each turn, and before the node is free: the release is
    /// told to this process too, which ends it.
    /// </summary>
    public void GiveWayIfWanted_NeedsLock(Place leaving)
    {
        if (!leaving.IsInside || inside.Count > 1 || Claim_NeedsLock is not { Mode: ReservationMode.Exclusive }
            || gates.TimeProvider.GetElapsedTime(grantedAt) >= wantedFor || (line.Count > 0 && turns < MostTurns))
            return;
        wantedFor = TimeSpan.Zero;
        gates.GiveWay_NeedsLock(nodeId);
    }

    public void Refused_NeedsLock(Obstacle met)
    {
        Met_NeedsLock = met;
        isRefused = true;
    }

    public void Asked_NeedsLock(ReservationMode mode)
    {
        askedAt = gates.TimeProvider.GetTimestamp();
        askedFor = mode;
        isRefused = false;
    }

    /// <summary>Wakes the first in line, if it asks more rarely than this one would and is due by that.</summary>
    public void Prompt_NeedsLock(Place prompter)
    {
        if (First_NeedsLock is not { } first || first.Interval <= prompter.Interval || inside.Count > 0
            || IsHeldBack_NeedsLock(first) || askedAt is not { } asked
            || gates.TimeProvider.GetElapsedTime(asked) < prompter.Interval) return;
        askedAt = null;
        first.Wake_NeedsLock();
    }

    /// <summary>The store may answer otherwise than it did.</summary>
    public void Freed_NeedsLock()
    {
        askedAt = null;
        if (inside.Count == 0) First_NeedsLock?.Wake_NeedsLock();
        Changing_NeedsLock?.Wake_NeedsLock();
    }

    /// <summary>Whoever is not the last to leave, or has somebody behind who may name the claim, leaves it
    /// here.</summary>
    public bool WouldLeaveUnused_NeedsLock(Place leaving)
    {
        Place? next = First_NeedsLock == leaving ? leaving.Entry.Next?.Value : First_NeedsLock;
        bool isLast = leaving.IsInside ? inside.Count == 1 : inside.Count == 0 && First_NeedsLock == leaving;
        return isLast && Claim_NeedsLock is not null && (next is null || IsHeldBack_NeedsLock(next));
    }

    /// <summary>What is in the way of one who may not ask, as far as this process knows without asking.</summary>
    public Obstacle Obstacle_NeedsLock(string purpose, Place? except = null)
    {
        Place? other = AnyInside_NeedsLock;
        if (other is not null && other == except) other = other.Entry.Next?.Value;
        return other?.Holding?.AsObstacle() ?? Met_NeedsLock
            ?? (gates.AreSharersHeldBack_NeedsLock(nodeId) ? Obstacle.WriterWaits
                : First_NeedsLock is { } first && gates.GivesWay_NeedsLock(nodeId, first.NextTry) ? Obstacle.GivesWay
                : Obstacle.AskedFor(First_NeedsLock?.Purpose ?? purpose));
    }

    public void Enter_NeedsLock(Place place)
    {
        line.Remove(place.Entry);
        inside.AddLast(place.Entry);
        if (IsShared_NeedsLock) First_NeedsLock?.Wake_NeedsLock(); // it may want to join
    }

    /// <summary>Takes a place out. Woken is who can do something about it at once.</summary>
    public void Remove_NeedsLock(Place place)
    {
        bool wasInside = place.IsInside;
        bool wasFirst = First_NeedsLock == place;
        (wasInside ? inside : line).Remove(place.Entry);
        if (Changing_NeedsLock == place) Changing_NeedsLock = null;

        if (IsEmpty_NeedsLock) gates.Retire_NeedsLock(this);
        else if (wasInside && inside.Count == 0) First_NeedsLock!.Wake_NeedsLock();
        else if (wasInside && inside.Count == 1) Changing_NeedsLock?.Wake_NeedsLock(); // alone now: may upgrade
        // Unless the answer that it left with holds for the next one too.
        else if (wasFirst && (Claim_NeedsLock is not null || askedAt is null || !isRefused))
            First_NeedsLock?.Wake_NeedsLock();
    }

    /// <summary>Ends the turns of the scopes of a registration that is over.</summary>
    public void Lapse_NeedsLock(Registration registration)
    {
        if (Claim_NeedsLock?.Registration == registration) Claim_NeedsLock = null;
        foreach (Place place in inside.Where(p => p.Holding?.Registration == registration).ToArray())
            place.Remove_NeedsLock();
    }

    public void WakeAll_NeedsLock()
    {
        foreach (Place place in line) place.Wake_NeedsLock();
        Changing_NeedsLock?.Wake_NeedsLock();
    }

    private bool IsHeldBack_NeedsLock(Place place) =>
        (place.Mode == ReservationMode.Shared && gates.AreSharersHeldBack_NeedsLock(nodeId))
        || gates.GivesWay_NeedsLock(nodeId, place.NextTry);

    /// <summary>Whether one who was before it in line has just had the answer that it would get: those whose time is up
    /// together do not all ask.</summary>
    private bool IsAnswered_NeedsLock(Place place) => inside.Count == 0 && Claim_NeedsLock is null
        && isRefused && askedFor == place.Mode && askedAt is { } asked
        && gates.TimeProvider.GetElapsedTime(asked) < place.Interval / 2;
}
