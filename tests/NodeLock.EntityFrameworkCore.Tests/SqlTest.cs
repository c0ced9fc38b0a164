using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Xunit;

namespace NodeLock.Tests;

/// <summary>A test of statements, asked of the repository directly, with a look at the tables.</summary>
public abstract class SqlTest(PostgresFixture postgres) : SafetyTest(postgres)
{
    private protected static NodeId Node { get; } = new("node");

    private protected static NodeId Other { get; } = new("other node");

    private protected Task<Asker> AskAsync(string? connectionString = null, bool nodesAreMachines = false) =>
        Task.FromResult(new Asker(Fleet.Create(new ConductorSetup
        {
            ConnectionString = connectionString,
            NodesAreMachines = nodesAreMachines,
        }).Repository));

    /// <summary>A repository, and a line to it on which conductors are entered.</summary>
    private protected sealed class Asker(INodeLockRepository repository) : IDisposable
    {
        private int conductors;

        public INodeLockRepository Repository => repository;

        public IConductorStore Store { get; } = repository.Connect(Limit);

        public string Register()
        {
            string holder = $"asker/{++conductors}";
            Assert.True(Store.Register(
                new ConductorEntry(holder, "asker", "here", 1, TimeSpan.FromMinutes(5), RequiresFence: false)));
            return holder;
        }

        public async Task<ReserveAnswer> ReserveAsync(ReserveAction action, NodeId node, string holder, long known = 0,
            TimeSpan nextAttempt = default) => await repository.ReserveAsync(
                new ReserveRequest(action, node, holder, known, "test") { NextAttempt = nextAttempt }, Limit);

        public async Task<long> GrantAsync(ReserveAction action, NodeId node, string holder, long known = 0) =>
            Assert.IsType<ReserveAnswer.Granted>(await ReserveAsync(action, node, holder, known)).FencingToken;

        public Task<IReadOnlyList<ReserveAnswer>> ReserveManyAsync(
            string holder, Atomicity atomicity, params NodeId[] nodes) => repository.ReserveManyAsync(
                [.. nodes.Select(n => new ReserveRequest(ReserveAction.Reserve, n, holder, 0, "test"))],
                atomicity, Limit).AsTask();

        public async Task ReleaseAsync(NodeId node, string holder, long token, ReservationMode mode) =>
            await repository.ReleaseAsync(holder, new HeldNode(node, token, mode), Limit);

        public void Dispose() => Store.Dispose();
    }
}
