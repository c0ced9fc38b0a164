using Xunit;

namespace NodeLock.Tests.Model;

/// <summary>
/// One run of random steps on several conductors, judged by a plain model of readers and writers: the list of those
/// scopes that nobody has ended.
/// </summary>
internal sealed class Run : IAsyncDisposable
{
    private static readonly TimeSpan Wish = TimeSpan.FromSeconds(2);

    private readonly World world = new();
    private readonly Func<InMemoryNodeLockRepository, INodeLockRepository> storeOf;
    private readonly TaskManager[] managers = new TaskManager[Step.Conductors];
    private readonly StoreWithFaults[] ways = new StoreWithFaults[Step.Conductors];
    private readonly List<Held> held = [];
    private readonly List<Waiting> waiting = [];
    private readonly DateTimeOffset[] uncertainUntil = new DateTimeOffset[Step.Nodes];

    public Run(Func<InMemoryNodeLockRepository, INodeLockRepository> storeOf) => this.storeOf = storeOf;

    /// <summary>How many steps found something to do.</summary>
    public int Done { get; private set; }

    /// <summary>How often each answer was given, so that a test can see that it was not always the same.</summary>
    public Dictionary<string, int> Answers { get; } = [];

    public async Task StartAsync()
    {
        for (int i = 0; i < managers.Length; i++) await StartAsync(i);
        Pass(TimeSpan.FromSeconds(31)); // so that each may judge the others
    }

    public async Task DoAsync(Step step)
    {
        Collect();
        await (step.Kind switch
        {
            StepKind.TryWrite => TryAsync(step, ReservationMode.Exclusive),
            StepKind.TryRead => TryAsync(step, ReservationMode.Shared),
            StepKind.Wait => WaitAsync(step),
            StepKind.Upgrade => UpgradeAsync(step),
            StepKind.Downgrade => DowngradeAsync(step),
            StepKind.Dispose => DisposeAsync(step),
            StepKind.Spawn => SpawnAsync(step),
            StepKind.Break => BreakAsync(step),
            StepKind.Pass => PassAsync(step),
            StepKind.Kill => KillAsync(step),
            StepKind.CutOff => CutOffAsync(step),
            _ => throw new ArgumentOutOfRangeException(nameof(step), step.Kind, "Not a step."),
        });
        Collect();
    }

    /// <summary>Ends all, and sees that nothing is left.</summary>
    public async Task EndAsync()
    {
        await Eventually.TrueAsync(() =>
        {
            Pass(World.Second);
            Collect();
            foreach (Held one in held.ToArray()) one.EndAsync().WithinLimit().GetAwaiter().GetResult();
            held.Clear();
            return waiting.Count == 0;
        }, "the end of all who wait");
        Pass(TimeSpan.FromSeconds(20));
        Assert.True(world.IsAllFree, "Something is reserved that nobody holds.");
        foreach (TaskManager manager in managers)
        {
            for (int node = 0; node < Step.Nodes; node++)
            {
                await using TaskScope? last = await manager.TryAcquireAsync(node, "after the end");
                Assert.True(last is not null, "A node is locked that nobody holds.");
            }
        }
    }

    public ValueTask DisposeAsync() => world.DisposeAsync();

    private async Task TryAsync(Step step, ReservationMode mode)
    {
        bool isFree = mode == ReservationMode.Shared
            ? !On(step.Node).Any(h => h.Scope.Mode == ReservationMode.Exclusive)
            : !On(step.Node).Any();
        TaskScope? scope = await managers[step.Conductor].TryAcquireAsync(step.Node, "try", mode);
        Answered($"{step.Kind}: {(scope is null ? "no" : "yes")}");
        if (scope is null)
            Assert.True(!isFree || IsUncertain(step.Node), $"{step}: refused, though the node is free for it.");
        else
            Add(new Held(step.Conductor, scope));
    }

    private Task WaitAsync(Step step)
    {
        ReservationMode mode = step.Pick % 2 == 0 ? ReservationMode.Exclusive : ReservationMode.Shared;
        waiting.Add(new Waiting(step.Conductor, step.Node, managers[step.Conductor].AcquireAsync(step.Node,
            new AcquireOptions { Purpose = "wait", Mode = mode }).AsTask()));
        Answered("Wait");
        return Task.CompletedTask;
    }

    private async Task UpgradeAsync(Step step)
    {
        if (Pick(step, h => h.Scope.Mode == ReservationMode.Shared) is not { } reader) return;
        bool isAlone = On(step.Node).Count() == 1;
        try
        {
            await reader.Scope.UpgradeAsync("upgraded", LockRetry.None);
            Answered("Upgrade: yes");
            reader.Scope.EnsureExclusive();
            Judge();
        }
        catch (NodeLockedException)
        {
            Answered("Upgrade: no");
            Assert.True(!isAlone || IsUncertain(step.Node), $"{step}: refused, though nobody else shares the node.");
            Assert.Equal(ReservationMode.Shared, reader.Scope.Mode);
        }
    }

    private async Task DowngradeAsync(Step step)
    {
        if (Pick(step, h => h.Scope.Mode == ReservationMode.Exclusive) is not { } writer) return;
        await writer.Scope.DowngradeAsync();
        Answered("Downgrade");
        Assert.Equal(ReservationMode.Shared, writer.Scope.Mode);
    }

    private async Task DisposeAsync(Step step)
    {
        if (Pick(step, _ => true) is not { } one) return;
        held.Remove(one);
        await one.EndAsync().WithinLimit();
        Answered("Dispose");
    }

    private async Task SpawnAsync(Step step)
    {
        if (Pick(step, h => h.Work is null) is not { } one) return;
        TaskCompletionSource<TaskScope> own = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task work = one.Scope.Spawn((scope, _) =>
        {
            own.SetResult(scope);
            return goOn.Task;
        });
        held.Remove(one);
        Add(new Held(one.Conductor, await own.Task.WithinLimit()) { GoOn = goOn, Work = work });
        Answered("Spawn");
    }

    private async Task BreakAsync(Step step)
    {
        if (Pick(step, _ => true) is not { } one) return;
        TaskManager manager = managers[one.Conductor];
        Held[] broken = [.. On(step.Node).Where(h => h.Conductor == one.Conductor)];
        Assert.True(one.Scope.Mode == ReservationMode.Exclusive
            ? await manager.BreakAsync(step.Node, one.Scope.FencingToken, "test")
            : await manager.BreakAsync(step.Node, manager.Holder, "test"));
        await EndLostAsync(broken);
        Answered("Break");
    }

    private Task PassAsync(Step step)
    {
        Pass(World.Second * (1 + step.Pick));
        Answered("Pass");
        return Task.CompletedTask;
    }

    private async Task KillAsync(Step step)
    {
        Held[] lost = [.. held.Where(h => h.Conductor == step.Conductor)];
        Task end = Task.Run(() => managers[step.Conductor].DisposeAsync().AsTask());
        await world.UntilAsync(() => end.IsCompleted, "the end of a conductor");
        await end;
        TaskManager other = managers[(step.Conductor + 1) % managers.Length];
        foreach (Held one in lost)
            Assert.Null(await other.TryAcquireAsync(one.Scope.NodeId, "before the lease is over"));
        await EndLostAsync(lost);
        Pass(TimeSpan.FromSeconds(75));
        await StartAsync(step.Conductor);
        Answered("Kill");
    }

    private async Task CutOffAsync(Step step)
    {
        World.Cut(ways[step.Conductor]);
        Pass(TimeSpan.FromSeconds(75));
        await EndLostAsync([.. held.Where(h => h.Conductor == step.Conductor)]);
        Collect();
        ways[step.Conductor].BeforeStatement = null;
        Pass(TimeSpan.FromSeconds(5));
        Answered("CutOff");
    }

    private async Task EndLostAsync(Held[] lost)
    {
        foreach (Held one in lost)
        {
            await Eventually.TrueAsync(() => one.Scope.Lost.IsCancellationRequested, "Lost fires");
            Assert.Throws<ReservationLostException>(one.Scope.EnsureHeld);
            held.Remove(one);
        }

        foreach (Held one in lost) await one.EndAsync().WithinLimit();
    }

    private void Collect()
    {
        foreach (Waiting one in waiting.Where(w => w.Acquire.IsCompleted).ToArray())
        {
            waiting.Remove(one);
            uncertainUntil[one.Node] = world.Time.GetUtcNow() + Wish;
            Answered($"Wait: {(one.Acquire.IsCompletedSuccessfully ? "yes" : "no")}");
            if (one.Acquire.IsCompletedSuccessfully)
            {
                Held got = new(one.Conductor, one.Acquire.Result);
                if (got.Scope.Lost.IsCancellationRequested) got.Scope.Dispose(); // granted before a cut
                else Add(got);
            }
            else
                Assert.True(one.Acquire.Exception?.InnerException is NodeLockedException
                    or ConductorStoppingException or ReservationLostException or StoreException,
                    $"{one.Acquire.Exception}");
        }

        Judge();
    }

    private void Add(Held one)
    {
        held.Add(one);
        Judge();
    }

    /// <summary>Never a writer beside anybody.</summary>
    private void Judge()
    {
        for (int node = 0; node < Step.Nodes; node++)
        {
            Held[] believed = [.. On(node).Where(h => !h.Scope.Lost.IsCancellationRequested)];
            Assert.True(believed.Length < 2 || believed.All(h => h.Scope.Mode == ReservationMode.Shared),
                $"Node {node}: a writer beside somebody else.");
        }
    }

    private IEnumerable<Held> On(int node) => held.Where(h => h.Scope.NodeId == node);

    private Held? Pick(Step step, Func<Held, bool> which)
    {
        Held[] all = [.. On(step.Node).Where(which)];
        return all.Length == 0 ? null : all[step.Pick % all.Length];
    }

    /// <summary>Those who wait may be ahead in line, and their wishes hold readers back for a while.</summary>
    private bool IsUncertain(int node) =>
        waiting.Any(w => w.Node == node) || world.Time.GetUtcNow() <= uncertainUntil[node];

    private void Answered(string answer)
    {
        Done++;
        Answers[answer] = Answers.GetValueOrDefault(answer) + 1;
    }

    private async Task StartAsync(int conductor)
    {
        ways[conductor] = new StoreWithFaults(storeOf(world.Memory));
        managers[conductor] = world.NewManager(ways[conductor]);
        await using TaskScope start = await managers[conductor].AcquireAsync(new NodeId($"start {conductor}"), "start");
    }

    private void Pass(TimeSpan time)
    {
        for (; time > TimeSpan.Zero; time -= World.Second)
        {
            world.StoreTime.Advance(World.Second);
            world.Time.Advance(World.Second);
        }
    }
}
