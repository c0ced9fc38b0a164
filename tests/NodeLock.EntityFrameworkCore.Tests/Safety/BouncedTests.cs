using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P22: through a PgBouncer in transaction mode nobody is woken, and the rest holds; who listens past it is.
/// </summary>
public sealed class BouncedTests(PostgresFixture postgres, ITestOutputHelper output) : SafetyTest(postgres)
{
    private const int CannotHear = 35;

    private static readonly NodeId Node = new("bounced");
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    [Fact]
    public async Task Who_listens_through_it_is_not_woken_and_says_once_that_it_cannot_hear()
    {
        await using PgBouncer bouncer = await PgBouncer.StartNewAsync(Fleet.ConnectionString, poolSize: 4);
        await using FaultProxy proxy = new(bouncer.ConnectionString);
        using WatchedRequests listens = proxy.WatchRequests("listen nodelock_nodes");
        (TestConductor a, TestConductor b) = await StartAsync(proxy.ConnectionString, null);
        TaskScope task = await a.AcquireOnceAsync(Node);
        long began = TimeProvider.System.GetTimestamp();
        Task<TaskScope> waiting = WaitAsync(b, Interval);
        await UntilWantedAsync();

        await task.DisposeAsync();

        await using TaskScope next = await waiting.WithinLimit();
        TimeSpan waited = TimeProvider.System.GetElapsedTime(began);
        Assert.InRange(waited, Interval, Interval * 2);
        await listens.WaitForMatchesAsync(3, Limit); // each time it found out that it was deaf
        Assert.Single(b.Log.With(CannotHear));
        Assert.Equal(0, proxy.Notifications);
    }

    [Fact]
    public async Task Who_listens_past_it_is_woken()
    {
        TimeSpan interval = TimeSpan.FromSeconds(60);
        await using PgBouncer bouncer = await PgBouncer.StartNewAsync(Fleet.ConnectionString, poolSize: 4);
        (TestConductor a, TestConductor b) = await StartAsync(bouncer.ConnectionString, Fleet.ConnectionString);
        await Fleet.UntilAsync("""
            select exists (select from pg_stat_activity where application_name = 'NodeLock listener'
                             and datname = current_database() and query like 'listen%' and state = 'idle')
            """);
        TaskScope task = await a.AcquireOnceAsync(Node);
        Task<TaskScope> waiting = WaitAsync(b, interval);
        await UntilWantedAsync();

        await task.DisposeAsync();

        await using TaskScope next = await waiting.WaitAsync(interval / 3);
        Assert.Empty(b.Log.With(CannotHear));
    }

    [Fact]
    public async Task Groups_and_hand_overs_go_through_it()
    {
        const int Conductors = 2;
        const int Tasks = 60;
        const int Turns = 5;
        NodeId[] nodes = [.. Enumerable.Range(1, 20).Select(number => new NodeId($"node {number}"))];
        await using PgBouncer bouncer = await PgBouncer.StartNewAsync(Fleet.ConnectionString, poolSize: 4);
        await using FaultProxy proxy = new(bouncer.ConnectionString);
        using WatchedRequests handOvers = proxy.WatchRequests(Requests.IsHandOver);
        using WatchedRequests groups = proxy.WatchRequests(Requests.IsReserveOfMany);
        int[] inside = new int[nodes.Length];
        int together = 0;
        TestConductor[] conductors = await Task.WhenAll(Enumerable.Range(0, Conductors).Select(i =>
            Fleet.StartAsync(new ConductorSetup { Name = $"c{i}", ConnectionString = proxy.ConnectionString })));

        await Task.WhenAll(conductors.SelectMany(c => Enumerable.Range(0, Tasks).Select(async task =>
        {
            for (int turn = 0; turn < Turns; turn++)
            {
                int which = (task + (turn * 7)) % nodes.Length;
                await using TaskScope scope = await c.AcquirePatientlyAsync(nodes[which]);
                if (Interlocked.Increment(ref inside[which]) > 1) Interlocked.Increment(ref together);
                await Task.Yield();
                scope.EnsureHeld();
                Interlocked.Decrement(ref inside[which]);
            }
        })));

        output.WriteLine($"{handOvers.Matches} hand-overs, {groups.Matches} groups");
        Assert.Equal(0, together);
        Assert.InRange(handOvers.Matches, 20, int.MaxValue);
        Assert.InRange(groups.Matches, 5, int.MaxValue);
        await Fleet.UntilAsync("select not exists (select from nodelock_nodes where reservation is not null)");
        IReadOnlyList<ReservationChange> changes = await Fleet.History.ReadAsync();
        Assert.Equal(Conductors * Tasks * Turns, changes.Count(c => c.IsReservation && c.Node.StartsWith("node ",
            StringComparison.Ordinal)));
        Assert.Empty(ReservationHistory.Check(changes));
        Assert.All(conductors, c => Assert.DoesNotContain(c.Log.All, line =>
            line.Level >= Microsoft.Extensions.Logging.LogLevel.Warning && line.Id != CannotHear));
    }

    private async Task<(TestConductor A, TestConductor B)> StartAsync(string through, string? listens)
    {
        ConductorSetup setup = new()
        {
            ConnectionString = through,
            Options = o =>
            {
                o.HeartbeatInterval = TimeSpan.FromMilliseconds(500);
                o.ListenConnectionString = listens;
            },
        };
        return (await Fleet.StartAsync(new ConductorSetup { Options = o => o.ListenForReleases = false }),
            await Fleet.StartAsync(setup with { Name = "b" }));
    }

    private static Task<TaskScope> WaitAsync(TestConductor conductor, TimeSpan interval) =>
        conductor.Manager.AcquireAsync(Node,
            new AcquireOptions { Purpose = "wait", Retry = new LockRetry(3, interval) }).AsTask();

    private Task UntilWantedAsync() => Fleet.UntilAsync(
        "select coalesce(reservation_wanted_until > now(), false) from nodelock_nodes where id = $1", Node.ToString());
}
