using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P1c: two spellings of one id are one node.</summary>
public sealed class SpellingTests(PostgresFixture postgres)
{
    private const string Rack = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

    [Theory]
    [InlineData(NodeKind.Machines, "42", "042")]
    [InlineData(NodeKind.Machines, "42", "+42")]
    [InlineData(NodeKind.Racks, Rack, "6F9619FF-8B86-D011-B42D-00CF4FC964FF")]
    [InlineData(NodeKind.Racks, Rack, "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}")]
    public async Task Another_spelling_waits_for_the_node(NodeKind kind, string id, string spelling)
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "spelling");
        await yard.ExecuteAsync($"insert into machines values (42); insert into racks values ('{Rack}')");
        ConductorSettings settings = new()
        {
            ConnectionString = yard.ConnectionString,
            Kind = kind,
            Lease = TimeSpan.FromSeconds(15),
            Heartbeat = TimeSpan.FromSeconds(5),
        };
        await using LocalConductor one = await LocalConductor.StartAsync(settings);
        await using LocalConductor other = await LocalConductor.StartAsync(settings);
        TaskScope scope = await one.Manager.AcquireAsync(new NodeId(id), "as it is spelled");

        Task<TaskScope> waiting = one.Manager.AcquireAsync(new NodeId(spelling),
            new AcquireOptions { Purpose = "in the same process", Retry = LockRetry.Patient }).AsTask();
        Assert.Null(await one.Manager.TryAcquireAsync(new NodeId(spelling), "in the same process"));
        Assert.Null(await other.Manager.TryAcquireAsync(new NodeId(spelling), "in another process"));
        Reservation? found = await other.Manager.GetReservationAsync(new NodeId(spelling));
        Assert.Equal((new NodeId(id), scope.FencingToken), (found!.NodeId, found.FencingToken));
        Assert.False(waiting.IsCompleted);

        await scope.DisposeAsync();
        await using TaskScope next = await waiting.WaitAsync(Patience.Limit);
        Assert.Equal(new NodeId(id), next.NodeId);
        Assert.Equal([id], (await yard.HistoryAsync(kind)).Select(change => change.Node).Distinct());
        Assert.Empty(await yard.ViolationsAsync(kind));
    }
}
