using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P18: revoked, then fenced, then free; by one fencer at a time, whatever befalls fences and
/// fencers.</summary>
[Collection(AloneOnTheMachine.Name)]
public sealed class FenceTests(PostgresFixture postgres) : IAsyncLifetime
{
    private static readonly string[] Names = ["fencer1", "fencer2", "holder"];
    private static readonly string[] Nodes = ["n1", "n2", "n3", "n4", "n5"];

    private readonly List<ConductorProcess> processes = [];
    private Yard? yard;
    private LocalConductor? asker;
    private string dead = "";

    private Yard Yard => yard!;

    /// <summary>One that has no fence, and wants the nodes.</summary>
    private TaskManager Asker => asker!.Manager;

    public async ValueTask InitializeAsync()
    {
        yard = await Yard.CreateAsync(postgres.Server, "fences");
        await YardFence.InstallAsync(Yard);
        asker = await LocalConductor.StartAsync(Settings("asker", hasFence: false));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ConductorProcess process in processes) await process.DisposeAsync();
        if (asker is not null) await asker.DisposeAsync();
        await Yard.DisposeAsync();
    }

    [Fact]
    public async Task A_node_of_the_dead_is_revoked_and_fenced_once_and_free_and_only_then_anothers()
    {
        await StartAsync();
        Dictionary<string, long> tokens = await DieHoldingAsync();
        TaskScope[] next = await Task.WhenAll(Nodes.Select(AcquireAsync));

        IReadOnlyList<FenceEvent> fences = await YardFence.ReadAsync(Yard);
        Assert.Equal(Nodes, fences.Where(f => f.What == "begins").Select(f => f.Node).Order());
        Assert.Equal(Nodes, fences.Where(f => f.What == "ends").Select(f => f.Node).Order());
        Assert.All(fences, f => Assert.True(f.Token > tokens[f.Node]));
        Assert.All(next, scope =>
            Assert.True(scope.FencingToken > fences.First(f => f.Node == $"{scope.NodeId}").Token));
        Assert.Equal([dead, dead, null, Asker.Holder],
            (await Yard.HistoryAsync()).Where(c => c.Node == "n1" && !c.IsInsert).Select(c => c.NewHolder));
        await AllIsInOrderAsync();
    }

    [Fact]
    public async Task A_fence_that_fails_is_tried_again_and_the_node_waits_for_it_and_the_others_do_not()
    {
        await StartAsync();
        await YardFence.FailAsync(Yard, "n1", times: 3);
        await DieHoldingAsync();
        Task<TaskScope> waiting = AcquireAsync("n1");
        await Task.WhenAll(Nodes[1..].Select(AcquireAsync));
        Assert.False(waiting.IsCompleted); // for seven seconds at least: one, two and four

        (await waiting).EnsureHeld();

        IReadOnlyList<FenceEvent> fences = await YardFence.ReadAsync(Yard);
        Assert.Equal(["begins", "fails", "begins", "fails", "begins", "fails", "begins", "ends"],
            fences.Where(f => f.Node == "n1").Select(f => f.What));
        Assert.Equal(4, fences.Where(f => f.Node == "n1").Select(f => f.Token).Distinct().Count());
        await AllIsInOrderAsync();
    }

    [Fact]
    public async Task A_node_that_waits_for_its_fence_says_so()
    {
        await StartAsync();
        await using NpgsqlConnection shut = await YardFence.ShutAsync(Yard);
        await DieHoldingAsync();
        await UntilBegunAsync(fences: Nodes.Length);

        IReadOnlyList<Reservation> list = await Asker.ListReservationsAsync();
        NodeLockedException locked = await Assert.ThrowsAsync<NodeLockedException>(() => Asker.AcquireAsync(
            new NodeId("n1"), new AcquireOptions { Purpose = "too early", Retry = LockRetry.None }).AsTask());

        Assert.Equal(Nodes, list.Where(r => r.State == ReservationState.WaitingForFence).Select(r => $"{r.NodeId}"));
        Assert.All(list, r => Assert.Equal(dead, Assert.Single(r.Holders)));
        Assert.Equal((ReservationState.WaitingForFence, dead), (locked.Reservation?.State, locked.Holder));
        Assert.Contains("fence", locked.Message, StringComparison.Ordinal);
        Assert.Null(await Asker.TryAcquireAsync(new NodeId("n2"), "too early"));
        Assert.Null(await Asker.TryAcquireAsync(new NodeId("n2"), "too early", ReservationMode.Shared));

        await shut.CloseAsync();
        await Task.WhenAll(Nodes.Select(AcquireAsync));
        await AllIsInOrderAsync();
    }

    [Fact]
    public async Task When_the_fencer_is_killed_half_way_another_fences_the_nodes_anew()
    {
        await StartAsync();
        await using NpgsqlConnection shut = await YardFence.ShutAsync(Yard);
        await DieHoldingAsync();
        await UntilBegunAsync(fences: Nodes.Length);
        ConductorProcess first = await FencerAsync();

        first.Signal(ChildSignal.Kill);
        await UntilBegunAsync(fences: 2 * Nodes.Length);
        Assert.Equal(Nodes.Length, await StillHeldAsync());
        await shut.CloseAsync();
        await Task.WhenAll(Nodes.Select(AcquireAsync));

        IReadOnlyList<FenceEvent> fences = await YardFence.ReadAsync(Yard);
        Assert.Equal(2, fences.Where(f => f.What == "begins").Select(f => f.ProcessId).Distinct().Count());
        await AllIsInOrderAsync();
    }

    [Fact]
    public async Task A_fencer_that_was_paused_past_its_lease_frees_nothing_when_it_goes_on()
    {
        await StartAsync();
        await using NpgsqlConnection shut = await YardFence.ShutAsync(Yard);
        await DieHoldingAsync();
        await UntilBegunAsync(fences: Nodes.Length);
        ConductorProcess first = await FencerAsync();

        first.Signal(ChildSignal.Stop);
        await UntilBegunAsync(fences: 2 * Nodes.Length);
        await shut.CloseAsync();
        TaskScope[] next = await Task.WhenAll(Nodes.Select(AcquireAsync));
        int before = (await Yard.HistoryAsync()).Count;
        first.Signal(ChildSignal.Continue);
        await Yard.UntilAsync("the one that was paused went on under a new holder",
            "select count(*) = 2 from nodelock_conductors where process_id = $1", first.Id);
        await Yard.UntilRenewedAsync(await first.HolderAsync(), times: 3);

        foreach (TaskScope scope in next) scope.EnsureHeld();
        Assert.Equal(before, (await Yard.HistoryAsync()).Count);
        await AllIsInOrderAsync();
    }

    /// <summary>Two fencers, and one that is to die; all have a fence.</summary>
    private async Task StartAsync()
    {
        processes.AddRange(await Task.WhenAll(Names
            .Select(name => ConductorProcess.StartAsync(Settings(name, hasFence: true)))));
        foreach (ConductorProcess process in processes) // from then on it judges others
            await Yard.UntilRenewedAsync(await process.HolderAsync(), times: 3);
    }

    /// <summary>Kills the last one while it holds the nodes; returns the tokens it had.</summary>
    private async Task<Dictionary<string, long>> DieHoldingAsync()
    {
        ConductorProcess holder = processes[^1];
        foreach (string node in Nodes) await holder.AskAsync($"acquire {node}", "acquired");
        dead = await holder.HolderAsync();
        holder.Signal(ChildSignal.Kill);
        return (await Yard.HistoryAsync()).Where(c => c.NewHolder == dead)
            .ToDictionary(c => c.Node, c => c.NewToken!.Value);
    }

    private Task UntilBegunAsync(int fences) => Yard.UntilAsync($"{fences} fences began",
        "select count(*) >= $1 from yard_fences where what = 'begins'", fences);

    /// <summary>The process that has claimed the dead one.</summary>
    private async Task<ConductorProcess> FencerAsync()
    {
        int process = await Yard.ScalarAsync<int>("select f.process_id from nodelock_conductors d "
            + "join nodelock_conductors f on f.holder = d.fenced_by where d.holder = $1", dead);
        return processes.Single(p => p.Id == process);
    }

    private Task<long> StillHeldAsync() =>
        Yard.ScalarAsync<long>("select count(*) from nodelock_nodes where reservation = $1", dead);

    private async Task<TaskScope> AcquireAsync(string node) => await Asker.AcquireAsync(new NodeId(node),
        new AcquireOptions { Purpose = "after the fence", Retry = new LockRetry(600, TimeSpan.FromMilliseconds(100)) });

    private async Task AllIsInOrderAsync()
    {
        await Yard.UntilAsync("the dead one counted as fenced",
            "select state = 'fenced' from nodelock_conductors where holder = $1", dead);
        IReadOnlyList<ConductorChange> conductors = await Yard.Conductors.ReadAsync();
        Dictionary<string, int> ids = [];
        foreach (ConductorProcess process in processes)
            foreach (string holder in (await Yard.ScalarAsync<string[]>("select coalesce(array_agg(holder), '{}') "
                + "from nodelock_conductors where process_id = $1", process.Id))!) ids[holder] = process.Id;
        DateTimeOffset? Death(int process) => conductors.FirstOrDefault(c => c.NewState == "dead"
            && c.OldState == "alive" && ids.GetValueOrDefault(c.Holder) == process)?.At;
        Assert.Empty(FenceJudge.Check(
            await Yard.HistoryAsync(), await YardFence.ReadAsync(Yard), dead, Death));
        Assert.Empty(await Yard.ViolationsAsync());
    }

    private ConductorSettings Settings(string name, bool hasFence) => new()
    {
        ConnectionString = Yard.ConnectionString,
        Name = name,
        HasFence = hasFence,
    };
}
