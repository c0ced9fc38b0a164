using NodeLock.Tests.Postgres;
using NodeLock.Tests.Safety;
using Npgsql;
using Xunit;

namespace NodeLock.Tests;

/// <summary>The connection that listens.</summary>
public sealed class ListenerTests(PostgresFixture postgres) : SqlTest(postgres)
{
    private const string Sessions =
        "from pg_stat_activity where application_name = 'NodeLock listener' and datname = current_database()";

    [Fact]
    public async Task It_takes_nothing_of_the_pool_and_its_session_ends_with_it()
    {
        string one = $"{Fleet.ConnectionString};Maximum Pool Size=1";
        await using NpgsqlConnection only = new(one);
        await only.OpenAsync();

        await using (await ListenAsync(one)) Assert.Equal(1L, await Fleet.ScalarAsync($"select count(*) {Sessions}"));

        await Fleet.UntilAsync($"select not exists (select {Sessions})");
    }

    [Fact]
    public async Task It_goes_where_its_own_connection_string_leads()
    {
        await using IReleaseListener listener =
            await ListenAsync("Host=127.0.0.1;Port=1;Database=nowhere", Fleet.ConnectionString);

        await Fleet.ExecuteAsync("notify nodelock_nodes, 'node'");

        Assert.Equal(Node, await HearAsync(listener));
    }

    [Fact]
    public async Task What_is_no_id_of_its_kind_is_not_heard()
    {
        await using IReleaseListener listener = await ListenAsync(nodesAreMachines: true);

        await Fleet.ExecuteAsync("""
            notify nodelock_nodes, '1'; notify nodelock_machine, 'two'; notify nodelock_machine, '99999999999';
            notify nodelock_machine, E'\n'; notify nodelock_machine, '3'; notify nodelock_machine;
            """);

        Assert.Equal(3, await HearAsync(listener));
        Assert.Null(await HearAsync(listener));
    }

    [Fact]
    public async Task It_throws_when_its_session_is_ended_and_goes_on_to()
    {
        await using IReleaseListener listener = await ListenAsync();
        Task<NodeId?> hearing = HearAsync(listener);

        await Fleet.UntilAsync($"select pg_terminate_backend(pid) {Sessions}");

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => hearing);
        await Assert.ThrowsAnyAsync<Exception>(() => HearAsync(listener));
    }

    [Fact]
    public async Task It_throws_when_its_connection_is_cut()
    {
        await using IReleaseListener listener = await ListenAsync(Fleet.Proxy.ConnectionString);
        Task<NodeId?> hearing = HearAsync(listener);

        Fleet.Proxy.CutAll();

        await Assert.ThrowsAnyAsync<NpgsqlException>(() => hearing);
    }

    [Fact]
    public async Task It_sends_nothing_once_it_listens()
    {
        await using IReleaseListener listener = await ListenAsync($"{Fleet.ConnectionString};Keepalive=1");
        Task<NodeId?> hearing = HearAsync(listener);

        await Fleet.UntilAsync($"select clock_timestamp() - state_change > interval '3 s' {Sessions}");

        await Fleet.ExecuteAsync("notify nodelock_nodes");
        Assert.Null(await hearing);
        Assert.Equal("listen nodelock_nodes", await Fleet.ScalarAsync($"select query {Sessions}"));
    }

    [Fact]
    public async Task It_is_deaf_behind_a_pooler_of_transactions_and_hears_past_it()
    {
        await using PgBouncer bouncer = await PgBouncer.StartNewAsync(Fleet.ConnectionString, poolSize: 2);
        using Asker asker = await AskAsync($"{bouncer.ConnectionString};Pooling=false");
        string a = asker.Register();
        await using IReleaseListener deaf = await ListenAsync(bouncer.ConnectionString);
        await using IReleaseListener listener = await ListenAsync(bouncer.ConnectionString, Fleet.ConnectionString);
        Task<NodeId?> hearing = deaf.HearAsync(CancellationToken.None).AsTask();
        long token = await asker.GrantAsync(ReserveAction.Reserve, Node, a);
        Assert.IsType<ReserveAnswer.Taken>(await asker.ReserveAsync(
            ReserveAction.Share, Node, asker.Register(), nextAttempt: TimeSpan.FromMinutes(1)));

        await asker.ReleaseAsync(Node, a, token, ReservationMode.Exclusive);
        asker.Store.TellNothing();

        Assert.Equal(Node, await HearAsync(listener));
        Assert.Null(await HearAsync(listener));
        Assert.False(hearing.IsCompleted);
    }

    [Fact]
    public async Task To_open_it_takes_no_longer_than_it_may()
    {
        INodeLockRepository repository = RepositoryAt(Fleet.Proxy.ConnectionString);
        using HeldRequests held = Fleet.Proxy.HoldRequests("listen");

        Exception late = await Assert.ThrowsAnyAsync<Exception>(() =>
            repository.ListenAsync(null, TimeSpan.FromSeconds(1), CancellationToken.None).AsTask().WithinLimit());

        Assert.True(late is TimeoutException or NpgsqlException, $"{late}");
    }

    [Fact]
    public async Task To_open_it_ends_with_the_token()
    {
        INodeLockRepository repository = RepositoryAt(Fleet.Proxy.ConnectionString);
        using HeldRequests held = Fleet.Proxy.HoldRequests("listen");
        using CancellationTokenSource end = new();
        Task<IReleaseListener> opening = repository.ListenAsync(null, Limit, end.Token).AsTask();
        await held.WaitForMatchAsync(Limit);

        await end.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => opening.WithinLimit());
    }

    [Fact]
    public async Task A_database_that_is_not_there_is_the_providers_own_error()
    {
        await Assert.ThrowsAnyAsync<NpgsqlException>(() =>
            ListenAsync(connectionString: null, $"{Fleet.ConnectionString};Database=nowhere"));
    }

    private static Task<NodeId?> HearAsync(IReleaseListener listener) =>
        listener.HearAsync(CancellationToken.None).WithinLimit();

    private INodeLockRepository RepositoryAt(string? connectionString, bool nodesAreMachines = false) => Fleet.Create(
        new ConductorSetup { ConnectionString = connectionString, NodesAreMachines = nodesAreMachines }).Repository;

    private async Task<IReleaseListener> ListenAsync(
        string? connectionString = null, string? own = null, bool nodesAreMachines = false) =>
        await RepositoryAt(connectionString, nodesAreMachines).ListenAsync(own, Limit, CancellationToken.None);
}
