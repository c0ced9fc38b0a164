using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P16: a writer that waits gets the node although readers of other processes keep coming.</summary>
public sealed class WriterAmongReadersTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private static readonly NodeId Node = new("much read");

    [Fact]
    public async Task A_writer_gets_the_node_although_there_would_always_be_a_reader()
    {
        TestConductor b = await StartAsync("b", r => r);
        await using Readers readers = await OverlappingReadersAsync();

        await using (TaskScope writer = await WriteAsync(b))
        {
            writer.EnsureExclusive();
            Assert.Empty(await Fleet.SharersOfAsync(Node));
        }

        await readers.GoOnAsync();
    }

    [Fact]
    public async Task A_writer_gets_the_node_although_readers_come_one_right_after_the_other()
    {
        TestConductor a = await StartAsync("a", r => r);
        TestConductor b = await StartAsync("b", r => r);
        TestConductor c = await StartAsync("c", r => r);
        await using Readers readers = new(async (turn, _) =>
        {
            await using TaskScope reader = await ReadAsync(turn % 2 == 0 ? a : c);
            await Task.Delay(TimeSpan.FromMilliseconds(20));
        });
        await readers.GoOnAsync();

        await using (TaskScope writer = await WriteAsync(b)) writer.EnsureExclusive();

        await readers.GoOnAsync();
    }

    /// <summary>The control: without its wish, the writer finds a reader at each of its attempts.</summary>
    [Fact]
    public async Task Control_a_writer_that_leaves_no_wish_finds_a_reader_at_each_attempt()
    {
        TestConductor b = await StartAsync("b", r => new WithoutWish(r));
        await using Readers readers = await OverlappingReadersAsync();

        await Assert.ThrowsAsync<NodeLockedException>(() => WriteAsync(b));
    }

    /// <summary>Two conductors in turn, each of which comes before the other leaves.</summary>
    private async Task<Readers> OverlappingReadersAsync()
    {
        TestConductor a = await StartAsync("a", r => r);
        TestConductor c = await StartAsync("c", r => r);
        Readers readers = new(async (turn, last) =>
        {
            TaskScope next = await ReadAsync(turn % 2 == 0 ? a : c, untilNext: last);
            if (last.Scope is { } scope) await scope.DisposeAsync();
            last.Scope = next;
            await Task.Delay(TimeSpan.FromMilliseconds(20));
        });
        await readers.GoOnAsync();
        return readers;
    }

    private static async Task<TaskScope> ReadAsync(TestConductor conductor, Last? untilNext = null)
    {
        AcquireOptions once = new() { Purpose = "read", Mode = ReservationMode.Shared, Retry = LockRetry.None };
        try
        {
            return await conductor.Manager.AcquireAsync(Node, once);
        }
        catch (NodeLockedException)
        {
            // A reader that must wait does not hold on: its work is done before.
            if (untilNext?.Scope is { } scope) await scope.DisposeAsync();
            if (untilNext is not null) untilNext.Scope = null;
            return await conductor.SharePatientlyAsync(Node);
        }
    }

    // 20 attempts, a fifth of a second apart, as configured.
    private static Task<TaskScope> WriteAsync(TestConductor conductor) =>
        conductor.Manager.AcquireAsync(Node, "write").WithinLimit();

    private Task<TestConductor> StartAsync(string name, Func<INodeLockRepository, INodeLockRepository> decorate) =>
        Fleet.StartAsync(new ConductorSetup
        {
            Name = name,
            Decorate = decorate,
            Options = o =>
                (o.NodeLockedRetryAttempts, o.NodeLockedRetryInterval) = (20, TimeSpan.FromMilliseconds(200)),
        });

    private sealed class Last
    {
        public TaskScope? Scope { get; set; }
    }

    /// <summary>Readers that come all the time, until it is disposed.</summary>
    private sealed class Readers : IAsyncDisposable
    {
        private readonly CancellationTokenSource enough = new();
        private readonly Tally turns = new("readers");
        private readonly Last last = new();
        private readonly Task running;

        public Readers(Func<int, Last, Task> turn) => running = Task.Run(async () =>
        {
            for (int i = 0; !enough.IsCancellationRequested; i++)
            {
                await turn(i, last);
                turns.Add();
            }
        });

        /// <summary>Waits until some more have come.</summary>
        public Task GoOnAsync() => turns.ReachAsync(turns.Count + 4, Limit);

        public async ValueTask DisposeAsync()
        {
            await enough.CancelAsync();
            await running.WithinLimit();
            if (last.Scope is { } scope) await scope.DisposeAsync();
            enough.Dispose();
        }
    }

    private sealed class WithoutWish(INodeLockRepository inner) : DecoratedRepository(inner)
    {
        public override ValueTask<ReserveAnswer> ReserveAsync(ReserveRequest request, TimeSpan timeLimit) =>
            base.ReserveAsync(request with { NextAttempt = TimeSpan.Zero }, timeLimit);
    }
}
