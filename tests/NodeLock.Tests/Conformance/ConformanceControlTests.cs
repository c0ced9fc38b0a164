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
    public async Task The_same_without_a_fault_passes()
    {
        Suite suite = new((_, _) => { });
        await suite.InitializeAsync();
        await suite.A_release_by_another_token_changes_nothing();
        await suite.DisposeAsync();
    }

    private static async Task CaughtAsync(Action<INodeLockRepository, StoreWithFaults> fault, Func<Suite, Task> test)
    {
        Suite suite = new(fault);
        await suite.InitializeAsync();

        await Assert.ThrowsAnyAsync<XunitException>(() => test(suite));

        await suite.DisposeAsync();
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

        protected override Task EraseConductorAsync(string holder) => throw new NotSupportedException();
    }
}
