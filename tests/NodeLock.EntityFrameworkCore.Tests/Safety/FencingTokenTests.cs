using NodeLock.Tests.Postgres;
using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>P2: every reservation of a node has a greater fencing token than the one before.</summary>
public sealed class FencingTokenTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public async Task Tokens_grow_over_release_and_deletion_and_death_and_a_crash_of_the_server()
    {
        await using PrivateCluster cluster = await PrivateCluster.StartNewAsync();
        await using Yard yard = await Yard.CreateAsync(cluster, "tokens");
        await using LocalConductor conductor = await LocalConductor.StartAsync(Settings(yard));
        List<long> tokens = [];

        for (int i = 0; i < 3; i++)
            tokens.Add(await UseAsync(conductor, "n"));
        await yard.ExecuteAsync("delete from nodelock_nodes");
        tokens.Add(await UseAsync(conductor, "n"));
        tokens.Add(await DieHoldingAsync(yard, "n"));
        tokens.Add(await UseAsync(conductor, "n"));
        await cluster.StopAsync(ClusterStop.Immediate);
        await cluster.StartAsync();
        tokens.Add(await Patience.SucceedsAsync(() => UseAsync(conductor, "n")));
        await cluster.StopAsync(ClusterStop.Kill);
        await cluster.StartAsync();
        tokens.Add(await Patience.SucceedsAsync(() => UseAsync(conductor, "n")));

        output.WriteLine(string.Join(' ', tokens));
        Assert.Equal(tokens.Order().Distinct(), tokens);
        Assert.Empty(await yard.ViolationsAsync());
        Assert.True((await yard.HistoryAsync()).Count(change => change.IsReservation) >= tokens.Count);
    }

    [Fact]
    public async Task Tokens_grow_over_an_entity_that_is_deleted_and_made_again()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "entitytokens");
        await using LocalConductor conductor = await LocalConductor.StartAsync(
            Settings(yard) with { Kind = NodeKind.Machines });
        List<long> tokens = [];

        for (int i = 0; i < 3; i++)
        {
            await yard.ExecuteAsync("insert into machines values (42)");
            tokens.Add(await UseAsync(conductor, "42"));
            tokens.Add(await UseAsync(conductor, "42"));
            await yard.ExecuteAsync("delete from machines");
        }

        Assert.Equal(tokens.Order().Distinct(), tokens);
        Assert.Empty(await yard.ViolationsAsync(NodeKind.Machines));
        Assert.Equal(3, (await yard.HistoryAsync(NodeKind.Machines)).Count(change => change.IsDelete));
    }

    [Fact]
    public async Task Control_tokens_that_start_again_after_a_release_are_caught()
    {
        await using Yard yard = await Yard.CreateAsync(postgres.Server, "tokenreset");
        await using LocalConductor conductor = await LocalConductor.StartAsync(
            Settings(yard) with { Fault = RepositoryFault.TokenResetOnRelease });

        long first = await UseAsync(conductor, "n");
        long second = await UseAsync(conductor, "n");

        IReadOnlyList<string> violations = await yard.ViolationsAsync();
        output.WriteLine(string.Join('\n', violations));
        Assert.Equal((1, 1), (first, second));
        Assert.Contains(violations, v => v.StartsWith("The token went back", StringComparison.Ordinal));
        Assert.Contains(violations, v => v.StartsWith("The token did not grow", StringComparison.Ordinal));
    }

    private static ConductorSettings Settings(Yard yard) => new() { ConnectionString = yard.ConnectionString };

    private static async Task<long> UseAsync(LocalConductor conductor, string node)
    {
        await using TaskScope scope = await conductor.Manager.AcquireAsync(
            new NodeId(node), new AcquireOptions { Purpose = "see its token", Retry = LockRetry.Patient });
        return scope.FencingToken;
    }

    private static async Task<long> DieHoldingAsync(Yard yard, string node)
    {
        await using ConductorProcess child = await ConductorProcess.StartAsync(Settings(yard));
        string[] acquired = await child.AskAsync($"acquire {node}", "acquired");
        child.Signal(ChildSignal.Kill);
        await child.WaitForExitAsync();
        return long.Parse(acquired[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
