using Xunit;

namespace NodeLock.Tests.Conformance;

/// <content>A statement that is carried out a second time, at any time, takes nothing from anybody.</content>
public abstract partial class NodeLockRepositoryConformance
{
    public static TheoryData<ReserveAction> Actions => [.. Enum.GetValues<ReserveAction>()];

    public static TheoryData<ReserveAction, ReservationMode> ActionsAndModes =>
        new MatrixTheoryData<ReserveAction, ReservationMode>(
            Enum.GetValues<ReserveAction>(), Enum.GetValues<ReservationMode>());

    [Theory]
    [MemberData(nameof(Actions))]
    public async Task A_late_copy_changes_nothing_of_what_the_first_was_granted(ReserveAction action)
    {
        string a = Register();
        ReserveRequest request = await PrepareAsync(action, a);
        long granted = (await GrantAsync(request)).FencingToken;
        ReservationMode mode = ModeOf(action);

        ReserveAnswer copy = await AskAsync(request);

        if (action == ReserveAction.Join) Assert.Equal(granted, Assert.IsType<ReserveAnswer.Granted>(copy).FencingToken);
        else Assert.Equal(new ReserveAnswer.Unnamed(granted, mode), copy);
        await HeldAsync(a, granted, mode);
        Assert.Empty(connection.FindLost(a, [new HeldNode(Node, granted, mode)]));
    }

    [Theory]
    [MemberData(nameof(ActionsAndModes))]
    public async Task A_late_copy_changes_nothing_of_what_the_same_conductor_has_now(
        ReserveAction action, ReservationMode mode)
    {
        string a = Register();
        ReserveRequest request = await PrepareAsync(action, a);
        long first = (await GrantAsync(request)).FencingToken;
        await ReleaseAsync(Node, a, first, ModeOf(action));
        long now = (await GrantAsync(To(ActionFor(mode), a))).FencingToken;

        Assert.Equal(new ReserveAnswer.Unnamed(now, mode), await AskAsync(request));

        await HeldAsync(a, now, mode);
    }

    [Theory]
    [MemberData(nameof(ActionsAndModes))]
    public async Task A_late_copy_takes_nothing_from_the_next_holder(ReserveAction action, ReservationMode mode)
    {
        string a = Register();
        string b = Register();
        ReserveRequest request = await PrepareAsync(action, a);
        long first = (await GrantAsync(request)).FencingToken;
        await ReleaseAsync(Node, a, first, ModeOf(action));
        long next = (await GrantAsync(To(ActionFor(mode), b))).FencingToken;

        ReserveAnswer copy = await AskAsync(request);

        Assert.Empty(connection.FindLost(b, [new HeldNode(Node, next, mode)]));
        if (action is ReserveAction.Share && mode is ReservationMode.Shared)
        {
            await SharedByAsync((b, next), (a, Assert.IsType<ReserveAnswer.Granted>(copy).FencingToken));
            return;
        }

        if (action is ReserveAction.Reserve or ReserveAction.Share) Assert.IsType<ReserveAnswer.Taken>(copy);
        else Assert.IsType<ReserveAnswer.NotHeld>(copy);
        await HeldAsync(b, next, mode);
        Assert.Empty(connection.FindReservedBy(a));
    }

    [Theory]
    [InlineData(ReservationMode.Exclusive)]
    [InlineData(ReservationMode.Shared)]
    public async Task A_late_copy_of_a_release_takes_nothing_from_a_later_reservation(ReservationMode mode)
    {
        string a = Register();
        long first = (await GrantAsync(To(ActionFor(mode), a))).FencingToken;
        await ReleaseAsync(Node, a, first, mode);
        long now = (await GrantAsync(To(ActionFor(mode), a))).FencingToken;

        await ReleaseAsync(Node, a, first, mode);

        await HeldAsync(a, now, mode);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Whatever_is_asked_in_whatever_order_a_writer_is_never_beside_a_reader(int seed)
    {
        Random random = new(seed);
        string[] holders = [.. Enumerable.Range(0, 3).Select(_ => Register())];
        List<ReserveRequest> sent = [];
        Dictionary<string, List<long>> told = holders.ToDictionary(h => h, _ => new List<long> { 0 });
        Dictionary<string, List<long>> spares = holders.ToDictionary(h => h, _ => new List<long>());
        int granted = 0;
        for (int step = 0; step < 150; step++)
        {
            string holder = holders[random.Next(holders.Length)];
            // Mostly what it was told last, now and then something older: as a process does that missed replies.
            long known = told[holder][^(random.Next(4) == 0 ? random.Next(told[holder].Count) + 1 : 1)];
            if (random.Next(4) == 0) await ReleaseAsync(Node, holder, known, Pick(Enum.GetValues<ReservationMode>()));
            if (random.Next(5) > 0 || sent.Count == 0)
            {
                sent.Add(To(Pick(Enum.GetValues<ReserveAction>()), holder, known) with
                {
                    NextAttempt = TimeSpan.FromMilliseconds(random.Next(3)),
                    Spares = random.Next(3),
                    NewToken = spares[holder].Find(spare => spare > known),
                });
            }

            ReserveRequest request = random.Next(5) == 0 ? Pick(sent) : sent[^1];
            ReserveAnswer answer = await AskAsync(request);
            if (answer is ReserveAnswer.Granted) granted++;
            spares[request.Holder].AddRange((answer as ReserveAnswer.Granted)?.Spares ?? []);
            if ((answer as ReserveAnswer.Granted)?.FencingToken is { } token) told[request.Holder].Add(token);
            if ((answer as ReserveAnswer.Unnamed)?.FencingToken is { } unnamed) told[request.Holder].Add(unnamed);

            IReadOnlyList<HeldNode>[] held = [.. holders.Select(connection.FindReservedBy)];
            Assert.All(held, h => Assert.True(h.Count <= 1, $"{h.Count} of one conductor after {request}: {answer}"));
            HeldNode[] all = [.. held.SelectMany(h => h)];
            Assert.True(all.Length <= 1 || all.All(h => h.Mode == ReservationMode.Shared), $"{request}: {answer}");
        }

        Assert.True(granted >= 10, $"{granted} granted");

        T Pick<T>(IReadOnlyList<T> of) => of[random.Next(of.Count)];
    }

    private static ReservationMode ModeOf(ReserveAction action) =>
        action is ReserveAction.Reserve or ReserveAction.Upgrade or ReserveAction.HandOver
            ? ReservationMode.Exclusive
            : ReservationMode.Shared;

    private static ReserveAction ActionFor(ReservationMode mode) =>
        mode == ReservationMode.Exclusive ? ReserveAction.Reserve : ReserveAction.Share;

    /// <summary>Gives a conductor what the action is about, and names it.</summary>
    private async Task<ReserveRequest> PrepareAsync(ReserveAction action, string holder)
    {
        if (action == ReserveAction.HandOver)
        {
            ReserveAnswer.Granted drawn = await GrantAsync(To(ReserveAction.Reserve, holder) with { Spares = 1 });
            return To(action, holder, drawn.FencingToken) with { NewToken = drawn.Spares[0] };
        }

        ReserveAction? before = action switch
        {
            ReserveAction.Join or ReserveAction.Upgrade => ReserveAction.Share,
            ReserveAction.Downgrade => ReserveAction.Reserve,
            _ => null,
        };
        long known = before is { } had ? (await GrantAsync(To(had, holder))).FencingToken : 0;
        return To(action, holder, known);
    }
}
