using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P17: who gets a node inside a process has a new token and its own purpose, and in between the node is
/// nobody else's.</summary>
public sealed class HandOverTests(PostgresFixture postgres) : SafetyTest(postgres)
{
    private const int Callers = 5;

    private static readonly NodeId Node = new("handed over");

    [Fact]
    public async Task Each_of_those_in_line_gets_a_new_token_and_its_own_purpose_and_the_node_is_never_free_between()
    {
        TestConductor a = await Fleet.StartAsync();
        TaskScope first = await a.AcquireOnceAsync(Node, "purpose 0");
        Task<TaskScope>[] line = [.. Enumerable.Range(1, Callers - 1)
            .Select(i => a.AcquirePatientlyAsync(Node, $"purpose {i}"))];
        List<long> tokens = [first.FencingToken];
        await first.DisposeAsync();
        foreach (Task<TaskScope> next in line)
        {
            await using TaskScope scope = await next;
            tokens.Add(scope.FencingToken);
        }

        await Fleet.FreeAsync(Node);

        IReadOnlyList<ReservationChange> changes = await Fleet.ChangesOfAsync(Node);
        Assert.Equal([.. Enumerable.Repeat(a.Holder, Callers), null], changes.Select(c => c.NewHolder));
        Assert.Equal([.. Enumerable.Range(0, Callers).Select(i => $"purpose {i}"), null],
            changes.Select(c => c.NewPurpose));
        Assert.Equal(tokens, changes.Take(Callers).Select(c => c.NewToken!.Value));
        Assert.Equal(tokens.Distinct().Order(), tokens);
        Assert.Empty(ReservationHistory.Check(changes));
    }

    [Fact]
    public async Task A_writer_in_line_behind_readers_gets_a_new_token_and_its_own_purpose()
    {
        TestConductor a = await Fleet.StartAsync();
        TaskScope[] readers = [await a.ShareOnceAsync(Node, "read"), await a.ShareOnceAsync(Node, "read on")];
        Task<TaskScope> next = a.AcquirePatientlyAsync(Node, "write");
        Assert.False(next.IsCompleted);
        foreach (TaskScope reader in readers) await reader.DisposeAsync();

        await using TaskScope writer = await next;

        Assert.All(readers, r => Assert.True(writer.FencingToken > r.FencingToken));
        Assert.Empty(await Fleet.SharersOfAsync(Node));
        await IsHeldAsync(a, writer, "write");
    }

    [Fact]
    public async Task Readers_in_line_behind_a_writer_get_a_stamp_of_their_own_and_the_writers_token_is_worthless()
    {
        TestConductor a = await Fleet.StartAsync();
        TaskScope writer = await a.AcquireOnceAsync(Node, "write");
        Task<TaskScope>[] line = [a.SharePatientlyAsync(Node, "read"), a.SharePatientlyAsync(Node, "read on")];
        await writer.DisposeAsync();

        await using TaskScope first = await line[0];
        await using TaskScope second = await line[1];

        Assert.Equal(first.FencingToken, second.FencingToken);
        Assert.True(first.FencingToken > writer.FencingToken);
        Assert.Equal([$"{a.Holder} {first.FencingToken}"], await Fleet.SharersOfAsync(Node));
        Assert.Null(await Fleet.HolderOfAsync(Node));
        Assert.True(await Fleet.TokenOfAsync(Node) > writer.FencingToken);
        Assert.Equal("read", (await a.Manager.GetReservationAsync(Node))?.Purpose);
    }

    [Fact]
    public async Task An_upgrade_and_a_downgrade_give_a_new_token_each()
    {
        TestConductor a = await Fleet.StartAsync();
        await using TaskScope task = await a.ShareOnceAsync(Node, "read");
        long read = task.FencingToken;
        await task.UpgradeAsync("write", LockRetry.None);
        long written = task.FencingToken;
        Assert.True(written > read);
        await IsHeldAsync(a, task, "write");

        await task.DowngradeAsync();

        Assert.True(task.FencingToken > written);
        Assert.True(await Fleet.TokenOfAsync(Node) > written);
        Assert.Equal([$"{a.Holder} {task.FencingToken}"], await Fleet.SharersOfAsync(Node));
    }

    private async Task IsHeldAsync(TestConductor conductor, TaskScope task, string purpose)
    {
        ReservationChange last = (await Fleet.ChangesOfAsync(Node))[^1];
        Assert.Equal((conductor.Holder, task.FencingToken, purpose),
            (last.NewHolder, last.NewToken!.Value, last.NewPurpose));
        task.EnsureExclusive();
    }
}
