using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Microsoft.EntityFrameworkCore;
using NodeLock.Tests.Guard;
using NodeLock.Tests.Postgres;

namespace NodeLock.Tests.Safety;

/// <summary>
/// A conductor in a process of its own, spoken to in lines: <c>acquire n</c>, <c>acquire-many n 1000</c>,
/// <c>acquire-all-random 2500 1 a,b,c</c>, <c>share n</c>, <c>ensure n</c>, <c>release n</c>, <c>save n text</c>,
/// <c>count n</c>, <c>count-guarded n</c>, <c>status</c>, <c>work 3 20 a,b,c</c>, <c>work-mixed {…}</c>, <c>rest</c>, <c>starve</c>,
/// <c>feed</c>. Each is answered by a line; it ends when its input does. One thread reads, acts and answers, so that a
/// starved thread pool does not keep it from answering.
/// </summary>
internal sealed class ChildConductor : IDisposable
{
    public const string Verb = "conductor";

    /// <summary>Before each answer, to tell it from what is said in between.</summary>
    public const string Answer = "> ";

    private readonly LocalConductor conductor;
    private readonly TextWriter output;
    private readonly ConcurrentDictionary<string, TaskScope> scopes = new();
    private readonly CancellationTokenSource resting = new();
    private readonly ManualResetEventSlim fed = new();
    private Batches? batches;
    private Task working = Task.CompletedTask;
    private int losses;
    private int starving;
    private volatile bool probeRan;

    private ChildConductor(LocalConductor conductor, TextWriter output)
    {
        this.conductor = conductor;
        this.output = output;
    }

    /// <returns>The exit code of the process, once its parent has closed its input.</returns>
    public static int Run(string settings)
    {
        LocalConductor started = LocalConductor.StartAsync(ConductorSettings.Parse(settings), Console.Error)
            .GetAwaiter().GetResult();
        using ChildConductor child = new(started, Console.Out); // synchronized, and flushed after each line
        Console.WriteLine(Answer + "ready");
        while (Console.In.ReadLine() is { } command)
        {
            try
            {
                Console.WriteLine(Answer + child.Obey(command.Split(' ')));
            }
            // The parent is told, and its test fails.
            catch (Exception e)
            {
                Console.WriteLine($"{Answer}failed {e.ToString().ReplaceLineEndings(" ")}");
            }
        }

        // Not disposed: whoever closes the input without a word means the process to be gone.
        return 0;
    }

    public void Dispose()
    {
        resting.Dispose();
        fed.Dispose();
    }

    private string Obey(string[] command) => command switch
    {
        ["acquire", var node] => Acquire(node),
        ["acquire-many", var prefix, var count] => AcquireMany(prefix, Number(count)),
        ["acquire-all-random", var count, var seed, var nodes] =>
            AcquireAll(Number(count), Number(seed), nodes.Split(',')),
        ["share", var node] => Share(node),
        ["ensure", var node] => Ensure(node),
        ["release", var node] => Release(node),
        ["save", var node, var text] => Save(node, text),
        ["status"] => $"status {conductor.Manager.Holder} {scopes.Count} {Volatile.Read(ref losses)}",
        ["work", var workers, var hold, var nodes] => Work(Number(workers), Number(hold), nodes.Split(',')),
        ["work-unguarded", var workers, var hold, var nodes] =>
            Work(Number(workers), Number(hold), nodes.Split(','), isGuarded: false),
        ["work-mixed", var order] => WorkMixed(WorkOrder.Parse(order)),
        ["count", var node] => Count(node, isGuarded: false),
        ["count-guarded", var node] => Count(node, isGuarded: true),
        ["rest"] => Rest(),
        ["starve"] => Starve(),
        ["feed"] => Feed(),
        _ => throw new InvalidOperationException($"Unknown: {string.Join(' ', command)}"),
    };

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private string Acquire(string node)
    {
        AcquireAsync(node).GetAwaiter().GetResult();
        return $"acquired {node} {scopes[node].FencingToken}";
    }

    private string AcquireMany(string prefix, int count)
    {
        Parallel.ForEachAsync(Enumerable.Range(1, count), new ParallelOptions { MaxDegreeOfParallelism = 32 },
            async (number, _) => await AcquireAsync($"{prefix}{number}")).GetAwaiter().GetResult();
        return $"acquired {count}";
    }

    private string AcquireAll(int count, int seed, string[] nodes)
    {
        batches ??= new Batches(conductor.Manager, new Beliefs($"{Environment.ProcessId}", output), nodes);
        batches.RunAsync(count, seed).GetAwaiter().GetResult();
        return $"batches {batches.PrintOutcomes()}";
    }

    private string Share(string node)
    {
        AcquireAsync(node, ReservationMode.Shared).GetAwaiter().GetResult();
        return $"shared {node} {scopes[node].FencingToken}";
    }

    private async Task AcquireAsync(string node, ReservationMode mode = ReservationMode.Exclusive)
    {
        TaskScope scope = await conductor.Manager.AcquireAsync(
            new NodeId(node), new AcquireOptions { Purpose = "work in a child", Mode = mode });
        scopes[node] = scope;
        scope.Lost.UnsafeRegister(_ =>
        {
            Interlocked.Increment(ref losses);
            output.WriteLine($"lost {node} {Stopwatch.GetTimestamp()}");
        }, null);
    }

    private string Ensure(string node)
    {
        try
        {
            scopes[node].EnsureHeld();
            return $"held {node}";
        }
        catch (ReservationLostException)
        {
            return $"not-held {node}";
        }
    }

    private string Release(string node)
    {
        scopes.TryRemove(node, out TaskScope? scope);
        scope!.DisposeAsync().AsTask().GetAwaiter().GetResult();
        return $"released {node}";
    }

    private string Save(string node, string text)
    {
        try
        {
            using Ledger ledger = Ledger.Open(conductor.Settings.ConnectionString).With(text);
            ledger.SaveChangesGuardedAsync(scopes[node]).GetAwaiter().GetResult();
            return $"saved {text}";
        }
        catch (ReservationLostException)
        {
            return $"not-saved {text}";
        }
    }

    private string Work(int workers, int hold, string[] nodes, bool isGuarded = true)
    {
        Beliefs beliefs = new($"{Environment.ProcessId}", output);
        string direct = conductor.Settings.DirectConnectionString ?? conductor.Settings.ConnectionString;
        Counters counters = new(direct);
        Workload workload = new(
            conductor.Manager, counters, beliefs, nodes, TimeSpan.FromMilliseconds(hold), isGuarded);
        working = workload.RunAsync(workers, resting.Token);
        return "working";
    }

    private string WorkMixed(WorkOrder order)
    {
        TextWriter sink = order.Record is { } file ? new StreamWriter(file) { AutoFlush = true } : output;
        WorkRecord record = new($"{Environment.ProcessId}", sink);
        Counters counters = new(conductor.Settings.DirectConnectionString ?? conductor.Settings.ConnectionString);
        MixedWorkload workload = new(conductor.Manager, counters,
            Accounts.OptionsFor(conductor.Settings.ConnectionString), record, order);
        working = workload.RunAsync(order.Workers, resting.Token);
        return "working";
    }

    /// <summary>Raises the plain number of a node that is held before the write is sent.</summary>
    private string Count(string node, bool isGuarded)
    {
        Counters counters = new(conductor.Settings.ConnectionString);
        long token = scopes[node].FencingToken;
        long count = counters.ReadAsync(node).GetAwaiter().GetResult();
        scopes[node].EnsureHeld();
        (isGuarded ? counters.WriteGuardedAsync(node, count + 1, token) : counters.WriteAsync(node, count + 1, token))
            .GetAwaiter().GetResult();
        return $"counted {node}";
    }

    private string Rest()
    {
        resting.Cancel();
        working.GetAwaiter().GetResult();
        return "rested";
    }

    /// <summary>Blocks every thread that the pool has, and may have.</summary>
    private string Starve()
    {
        const int Blockers = 200;
        ThreadPool.GetMinThreads(out int threads, out int completionThreads);
        if (!ThreadPool.SetMaxThreads(threads, completionThreads))
            throw new InvalidOperationException("The pool's size could not be limited.");
        for (int i = 0; i < Blockers; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(_ =>
            {
                Interlocked.Increment(ref starving);
                fed.Wait();
            }, null);
        }

        ThreadPool.UnsafeQueueUserWorkItem(_ => probeRan = true, null);
        SpinWait.SpinUntil(() => Volatile.Read(ref starving) >= threads);
        return $"starving {threads}";
    }

    private string Feed()
    {
        bool ranTooEarly = probeRan;
        fed.Set();
        SpinWait.SpinUntil(() => probeRan);
        return ranTooEarly ? "fed though-not-starved" : "fed at-last";
    }
}
