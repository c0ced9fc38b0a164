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

    private static ReservationMode ModeOf(ReserveAction action) =>
        action is ReserveAction.Reserve or ReserveAction.Upgrade ? ReservationMode.Exclusive : ReservationMode.Shared;

    private static ReserveAction ActionFor(ReservationMode mode) =>
        mode == ReservationMode.Exclusive ? ReserveAction.Reserve : ReserveAction.Share;

    /// <summary>Gives a conductor what the action is about, and names it.</summary>
    private async Task<ReserveRequest> PrepareAsync(ReserveAction action, string holder)
    {
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
