using Xunit;
using Xunit.Sdk;

namespace NodeLock.Tests.Conformance;

/// <summary>Shows that the conformance suite can fail: it catches stores that are broken on purpose.</summary>
public sealed class ConformanceControlTests
{
    [Fact]
    public Task A_store_that_releases_without_looking_at_the_token_is_caught() => CaughtAsync(
        (store, way) => way.OnRelease = async (held, _) =>
        {
            if (await store.FindAsync(held.NodeId, default) is { } found)
                await store.ReleaseAsync(found.Holders[0], new HeldNode(held.NodeId, found.FencingToken), World.Second);
        },
        suite => suite.A_release_by_another_token_changes_nothing());

    [Fact]
    public Task A_store_that_starts_its_tokens_again_is_caught() => CaughtAsync(
        (store, way) =>
        {
            long real = 0;
            way.OnReserve = async (_, carryOut) =>
            {
                ReserveAnswer.Granted granted = (ReserveAnswer.Granted)await carryOut();
                real = granted.FencingToken;
                return granted with { FencingToken = 1 };
            };
            way.OnRelease = async (held, _) =>
            {
                Reservation? found = await store.FindAsync(held.NodeId, default);
                await store.ReleaseAsync(found!.Holders[0], new HeldNode(held.NodeId, real), World.Second);
            };
        },
        suite => suite.A_release_does_not_reset_the_token());

    [Fact]
    public Task A_store_that_takes_ones_own_name_for_leave_is_caught() => CaughtAsync(
        (store, way) => way.OnReserve = async (request, carryOut) =>
        {
            ReserveAnswer answer = await carryOut();
            return answer is ReserveAnswer.Unnamed unnamed
                ? await store.ReserveAsync(request with { KnownToken = unnamed.FencingToken }, World.Second)
                : answer;
        },
        suite => suite.A_late_copy_of_an_earlier_reserve_takes_nothing_from_the_later_reservation());

    [Fact]
    public Task A_store_that_lets_the_dead_renew_is_caught() => CaughtAsync(
        (_, way) => way.OnRenew = renew => renew() ?? DateTimeOffset.UnixEpoch,
        suite => suite.A_death_is_reported_once_and_is_final());

    [Fact]
    public Task A_store_that_releases_a_shared_entry_by_its_holder_is_caught() => CaughtAsync(
        (store, way) => way.OnRelease = async (held, _) =>
        {
            using IConductorStore connection = store.Connect(World.Second);
            foreach (string holder in (await store.FindAsync(held.NodeId, default))?.Holders ?? [])
                connection.Release(holder, connection.FindReservedBy(holder));
        },
        suite => suite.A_shared_entry_is_released_by_exactly_its_stamp());

    [Fact]
    public Task A_store_that_believes_what_a_join_names_is_caught() => CaughtAsync(
        (_, way) => way.OnReserve = (request, carryOut) => request.Action == ReserveAction.Join
            ? new(new ReserveAnswer.Granted(request.KnownToken, DateTimeOffset.UnixEpoch, null))
            : carryOut(),
        suite => suite.Nothing_is_joined_but_the_entry_that_stands());

    [Theory]
    [InlineData(ReserveAction.Reserve)]
    [InlineData(ReserveAction.Share)]
    [InlineData(ReserveAction.Upgrade)]
    [InlineData(ReserveAction.Downgrade)]
    public Task A_store_to_which_a_request_need_name_nothing_is_caught(ReserveAction action) => CaughtAsync(
        (store, way) => way.OnReserve = async (request, carryOut) =>
        {
            ReserveAnswer answer = await carryOut();
            return answer is ReserveAnswer.Unnamed unnamed
                ? await store.ReserveAsync(request with { KnownToken = unnamed.FencingToken }, World.Second)
                : answer;
        },
        suite => suite.A_late_copy_changes_nothing_of_what_the_first_was_granted(action));

    [Fact]
    public Task A_store_that_grants_what_it_finds_in_the_askers_name_is_caught() => CaughtAsync(
        (_, way) => way.OnReserve = async (_, carryOut) => await carryOut() is var answer
            && answer is ReserveAnswer.Unnamed unnamed
                ? new ReserveAnswer.Granted(unnamed.FencingToken, DateTimeOffset.UnixEpoch, null)
                : answer,
        suite => suite.A_share_whose_reply_was_lost_is_answered_with_the_stamp_and_granted_when_it_is_named());

    [Fact]
    public Task A_store_that_lets_writers_starve_is_caught() => CaughtAsync(
        (store, way) => way.OnReserve =
            (request, _) => store.ReserveAsync(request with { NextAttempt = TimeSpan.Zero }, World.Second),
        suite => suite.New_sharers_hold_back_while_a_writer_waits_for_others());

    [Fact]
    public Task A_store_that_lets_an_upgrade_wait_for_another_is_caught() => CaughtAsync(
        (_, way) => way.OnReserve = async (_, carryOut) => await carryOut() is var answer
            && answer is ReserveAnswer.Taken taken
                ? taken with { WriterWaits = TimeSpan.Zero }
                : answer,
        suite => suite.Of_two_upgrades_the_second_is_refused_and_writes_nothing());

    [Fact]
    public Task A_store_that_reserves_some_where_all_or_none_were_asked_for_is_caught() => CaughtAsync(
        (store, way) => way.OnReserveMany =
            (requests, _, _) => store.ReserveManyAsync(requests, Atomicity.Each, World.Second),
        suite => suite.Of_many_none_is_granted_when_all_or_none_are_asked_for_and_one_is_taken());

    [Fact]
    public Task A_store_that_tells_nobody_is_caught() => CaughtAsync(
        (store, way) => way.OnRelease = async (_, carryOut) =>
        {
            HashSet<InMemoryReleaseListener> listeners = ((InMemoryNodeLockRepository)store).Listeners;
            InMemoryReleaseListener[] deaf = [.. listeners];
            listeners.Clear();
            await carryOut();
            listeners.UnionWith(deaf);
        },
        suite => suite.A_release_is_told_while_somebody_waits_for_the_node());

    [Fact]
    public Task A_store_that_tells_of_every_release_is_caught() => CaughtAsync(
        (store, way) => way.OnRelease = async (held, carryOut) =>
        {
            await carryOut();
            InMemoryNodeLockRepository memory = (InMemoryNodeLockRepository)store;
            lock (memory.Sync) memory.Tell_NeedsLock(held.NodeId);
        },
        suite => suite.Nothing_is_told_where_nobody_waits());

    [Fact]
    public Task A_store_to_which_a_sharer_is_nobody_is_caught() => CaughtAsync(
        (store, way) => way.OnReserve = (request, carryOut) => request.Action == ReserveAction.Share
            ? store.ReserveAsync(request with { NextAttempt = TimeSpan.Zero }, World.Second)
            : carryOut(),
        suite => suite.Whoever_is_refused_and_will_ask_again_is_to_be_told(ReserveAction.Share));

    [Fact]
    public Task A_store_that_says_nothing_of_those_who_wait_is_caught() => CaughtAsync(
        (_, way) => way.OnReserve = async (_, carryOut) => await carryOut() is var answer
            && answer is ReserveAnswer.Granted granted
                ? granted with { Wanted = TimeSpan.Zero }
                : answer,
        suite => suite.A_wish_outlasts_the_grants_between_until_it_ends());

    [Fact]
    public Task A_store_that_takes_the_wish_of_one_of_many_for_that_of_all_is_caught() => CaughtAsync(
        (store, way) => way.OnReserveMany = (requests, atomicity, _) => store.ReserveManyAsync(
            [.. requests.Select(r => r with { NextAttempt = requests.Max(o => o.NextAttempt) })],
            atomicity, World.Second),
        suite => suite.Of_many_that_are_refused_each_leaves_the_wish_that_it_asks_for());

    [Fact]
    public async Task The_same_without_a_fault_passes()
    {
        await RunAsync((_, _) => { }, suite => suite.A_release_by_another_token_changes_nothing());
        await RunAsync((_, _) => { }, suite => suite.A_shared_entry_is_released_by_exactly_its_stamp());
    }

    private static async Task CaughtAsync(Action<INodeLockRepository, StoreWithFaults> fault, Func<Suite, Task> test) =>
        await Assert.ThrowsAnyAsync<XunitException>(() => RunAsync(fault, test));

    private static async Task RunAsync(Action<INodeLockRepository, StoreWithFaults> fault, Func<Suite, Task> test)
    {
        Suite suite = new(fault);
        await suite.InitializeAsync();
        try
        {
            await test(suite);
        }
        finally
        {
            await suite.DisposeAsync();
        }
    }

    private sealed class Suite(Action<INodeLockRepository, StoreWithFaults> fault) : NodeLockRepositoryConformance
    {
        protected override IReadOnlyList<NodeId> Nodes { get; } = [1, 2, 3];

        protected override NodeId? Missing => null;

        protected override Task<INodeLockRepository> CreateAsync()
        {
            InMemoryNodeLockRepository store = new();
            StoreWithFaults way = new(store);
            fault(store, way);
            return Task.FromResult<INodeLockRepository>(way);
        }

        protected override INodeLockRepository OpenOther() => new InMemoryNodeLockRepository();

        protected override Task EraseConductorAsync(string holder) => throw new NotSupportedException();
    }
}
