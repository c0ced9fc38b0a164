using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>What the living do about the dead, on real tables.</summary>
public sealed class HousekeepingTests(PostgresFixture postgres)
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Heartbeat = TimeSpan.FromMilliseconds(750);

    [Fact]
    public async Task Nodes_of_a_dead_conductor_that_nobody_asks_for_are_freed_with_a_greater_token()
    {
        string[] nodes = [.. Enumerable.Range(1, 1200).Select(number => $"n{number}")]; // more than two batches
        await using Yard yard = await CreateAsync("swept");
        await yard.LeaveBehindAsync("dead/1", nodes);
        long highest = await yard.ScalarAsync<long>("select max(reservation_token) from nodelock_nodes");
        await using LocalConductor conductor = await StartAsync(yard);

        await yard.UntilAsync("all were freed",
            "select count(*) = 0 from nodelock_nodes where reservation is not null");

        Assert.Equal(nodes.Length, await yard.ScalarAsync<long>(
            """
            select count(distinct reservation_token) from nodelock_nodes
            where reservation_token > $1 and reservation_purpose is null and reserved_at is null
            """,
            highest));
        Assert.Empty(await yard.ViolationsAsync());
    }

    [Fact]
    public async Task Nobody_is_declared_dead_before_the_third_renewal()
    {
        await using Yard yard = await CreateAsync("early");
        await yard.LeaveBehindAsync("dead/1", "n");
        await using LocalConductor conductor = await StartAsync(yard);

        await yard.UntilAsync("it was declared dead",
            "select state = 'fenced' from nodelock_conductors where holder = 'dead/1'");

        IReadOnlyList<ConductorChange> changes = await yard.Conductors.ReadAsync();
        int death = changes.ToList().FindIndex(change => change.IsDeath);
        Assert.InRange(changes.Take(death).Count(change => change.Kind == "renewed"), 3, 4);
        Assert.Empty(await yard.ViolationsAsync());
    }

    [Fact]
    public async Task A_holder_without_an_entry_is_buried_after_a_whole_lease_and_its_node_freed()
    {
        await using Yard yard = await CreateAsync("buried");
        await yard.NameAsync("ghost/1", "n");
        await using LocalConductor conductor = await StartAsync(yard);

        await yard.UntilAsync("its node was freed", "select reservation is null from nodelock_nodes where id = 'n'");

        IReadOnlyList<ConductorChange> changes = await yard.Conductors.ReadAsync();
        ConductorChange registered = changes.First(change => change.Kind == "entered" && change.Holder != "ghost/1");
        ConductorChange buried = changes.First(change => change.Holder == "ghost/1");
        Assert.Equal(("entered", "fenced"), (buried.Kind, buried.NewState));
        Assert.InRange(buried.At - registered.At, Lease, TimeSpan.MaxValue);
        Assert.Empty(await yard.ViolationsAsync());
    }

    [Fact]
    public async Task Entries_are_forgotten_a_week_after_their_lease_unless_a_node_names_them()
    {
        await using Yard yard = await CreateAsync("forgotten");
        await yard.EnterAsync("fenced/old", "fenced", TimeSpan.FromDays(8));
        await yard.EnterAsync("left/old", "left", TimeSpan.FromDays(8));
        await yard.EnterAsync("alive/old", "alive", TimeSpan.FromDays(8));
        await yard.EnterAsync("fenced/recent", "fenced", TimeSpan.FromDays(6));
        await yard.EnterAsync("fenced/named", "fenced", TimeSpan.FromDays(8));
        await yard.NameAsync("fenced/named", "n");
        await using Npgsql.NpgsqlConnection inHand = await yard.TakeRowInHandAsync("n"); // so that no sweep frees it
        await using LocalConductor conductor = await StartAsync(yard);

        await yard.UntilAsync("three were forgotten",
            "select count(*) = 0 from nodelock_conductors where holder like '%/old'");
        Assert.Equal(2, await yard.ScalarAsync<long>(
            "select count(*) from nodelock_conductors where holder in ('fenced/recent', 'fenced/named')"));

        await inHand.CloseAsync();
        await yard.UntilAsync("the one that was named is forgotten, too",
            "select count(*) = 0 from nodelock_conductors where holder = 'fenced/named'");
        Assert.Equal(1, await yard.ScalarAsync<long>(
            "select count(*) from nodelock_conductors where holder = 'fenced/recent'"));
    }

    [Fact]
    public async Task A_conductor_that_holds_nothing_leaves_when_it_stops()
    {
        await using Yard yard = await CreateAsync("left");
        LocalConductor conductor = await StartAsync(yard);
        await using (await conductor.Manager.AcquireAsync(new NodeId("n"), "use and release"))
        {
        }

        string holder = conductor.Manager.Holder;
        await conductor.DisposeAsync();

        Assert.Equal("left", await StateOfAsync(yard, holder));
    }

    [Fact]
    public async Task A_conductor_that_holds_a_node_does_not_leave_and_its_lease_takes_its_course()
    {
        await using Yard yard = await CreateAsync("notleft");
        await using LocalConductor other = await StartAsync(yard);
        LocalConductor conductor = await StartAsync(yard);
        TaskScope scope = await conductor.Manager.AcquireAsync(new NodeId("n"), "hold on");
        string holder = conductor.Manager.Holder;

        await conductor.DisposeAsync();
        Assert.Throws<ReservationLostException>(scope.EnsureHeld);
        Assert.Equal(("alive", holder), (await StateOfAsync(yard, holder), await yard.HolderOfAsync("n")));

        await yard.UntilAsync("its node was freed", "select reservation is null from nodelock_nodes where id = 'n'");
        Assert.Equal("fenced", await StateOfAsync(yard, holder));
        Assert.Empty(await yard.ViolationsAsync());
        await scope.DisposeAsync();
    }

    private static Task<string?> StateOfAsync(Yard yard, string holder) =>
        yard.ScalarAsync<string>("select state from nodelock_conductors where holder = $1", holder);

    private static Task<LocalConductor> StartAsync(Yard yard) => LocalConductor.StartAsync(new ConductorSettings
    {
        ConnectionString = yard.ConnectionString,
        Lease = Lease,
        Heartbeat = Heartbeat,
    });

    private Task<Yard> CreateAsync(string name) => Yard.CreateAsync(postgres.Server, name);
}
