using System.Diagnostics;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.Tests;

/// <summary>How several nodes at once get along with the transactions of others.</summary>
public sealed class ManySqlTests(PostgresFixture postgres) : SqlTest(postgres)
{
    [Fact]
    public async Task Many_that_have_rows_are_reserved_in_one_round_trip()
    {
        using Asker asker = await AskAsync($"{Fleet.Proxy.ConnectionString};No Reset On Close=true");
        string a = asker.Register();
        NodeId[] nodes = [.. Enumerable.Range(1, 20).Select(i => new NodeId($"n{i}"))];
        IReadOnlyList<ReserveAnswer> first = await asker.ReserveManyAsync(a, Atomicity.AllOrNone, nodes);
        HeldNode[] held =
            [.. nodes.Zip(first.Cast<ReserveAnswer.Granted>(), (n, g) => new HeldNode(n, g.FencingToken))];
        Assert.Equal(20, (await asker.Repository.ReleaseManyAsync(a, held, Limit)).Count);
        int before = Fleet.Proxy.Requests;

        IReadOnlyList<ReserveAnswer> second = await asker.ReserveManyAsync(a, Atomicity.AllOrNone, nodes);

        Assert.Equal(1, Fleet.Proxy.Requests - before);
        Assert.All(second, answer => Assert.IsType<ReserveAnswer.Granted>(answer));
    }

    [Fact]
    public async Task First_reserves_of_many_pass_by_an_entity_that_is_being_deleted()
    {
        using Asker asker = await AskAsync(nodesAreMachines: true);
        string a = asker.Register();
        int[] machines = [await Fleet.AddMachineAsync(), await Fleet.AddMachineAsync(), await Fleet.AddMachineAsync()];
        NodeId[] nodes = [.. machines.Select(m => (NodeId)m)];
        await using NpgsqlConnection user = await Fleet.OpenAsync();
        await new NpgsqlCommand($"begin; delete from machines where id = {machines[1]}", user).ExecuteNonQueryAsync();

        long began = Stopwatch.GetTimestamp();
        IReadOnlyList<ReserveAnswer> none = await asker.ReserveManyAsync(a, Atomicity.AllOrNone, nodes);
        IReadOnlyList<ReserveAnswer> each = await asker.ReserveManyAsync(a, Atomicity.Each, nodes);
        TimeSpan took = Stopwatch.GetElapsedTime(began);

        Assert.Equal([typeof(ReserveAnswer.Withheld), typeof(ReserveAnswer.RowInHand), typeof(ReserveAnswer.Withheld)],
            none.Select(answer => answer.GetType()));
        Assert.Equal([typeof(ReserveAnswer.Granted), typeof(ReserveAnswer.RowInHand), typeof(ReserveAnswer.Granted)],
            each.Select(answer => answer.GetType()));
        Assert.InRange(took, TimeSpan.Zero, TimeSpan.FromSeconds(5));

        await new NpgsqlCommand($"delete from machines where id = {machines[0]}; commit", user).ExecuteNonQueryAsync();
        each = await asker.ReserveManyAsync(a, Atomicity.Each, nodes[0], nodes[1]);
        Assert.All(each, answer => Assert.IsType<ReserveAnswer.NodeNotFound>(answer));
    }

    [Fact]
    public async Task First_reserves_of_many_wait_no_longer_than_for_one_for_a_row_that_is_being_made()
    {
        using Asker asker = await AskAsync();
        string a = asker.Register();
        await using NpgsqlConnection user = await Fleet.OpenAsync();
        await new NpgsqlCommand("begin; insert into nodelock_nodes (id) values ('node')", user).ExecuteNonQueryAsync();

        long began = Stopwatch.GetTimestamp();
        IReadOnlyList<ReserveAnswer> answers = await asker.ReserveManyAsync(a, Atomicity.Each, Node);

        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromSeconds(5));
        Assert.IsType<ReserveAnswer.RowInHand>(Assert.Single(answers));
    }

    [Fact]
    public async Task First_reserves_of_many_and_deletes_in_another_order_meet_in_no_deadlock()
    {
        using Asker asker = await AskAsync(nodesAreMachines: true);
        string[] holders = [asker.Register(), asker.Register()];
        for (int round = 0; round < 25; round++)
        {
            int[] machines = [await Fleet.AddMachineAsync(), await Fleet.AddMachineAsync()];
            NodeId[] nodes = [.. machines.Select(m => (NodeId)m)];
            Task<IReadOnlyList<ReserveAnswer>>[] asked =
            [
                .. holders.Select((h, i) => Task.Run(() =>
                    asker.ReserveManyAsync(h, Atomicity.Each, i == 0 ? nodes : [nodes[1], nodes[0]]))),
            ];
            await using NpgsqlConnection user = await Fleet.OpenAsync();
            await new NpgsqlCommand("begin", user).ExecuteNonQueryAsync();
            foreach (int machine in machines.Reverse())
                await new NpgsqlCommand($"delete from machines where id = {machine}", user).ExecuteNonQueryAsync();
            await new NpgsqlCommand("commit", user).ExecuteNonQueryAsync();

            foreach (IReadOnlyList<ReserveAnswer> answers in await Task.WhenAll(asked).WithinLimit())
                Assert.Equal(2, answers.Count);
        }

        Assert.Equal(0L, await Fleet.ScalarAsync(
            "select deadlocks from pg_stat_database where datname = current_database()"));
    }

    [Fact]
    public async Task A_row_in_hand_is_passed_by_and_the_others_are_reserved_and_released()
    {
        using Asker asker = await AskAsync();
        string a = asker.Register();
        HeldNode held = new(Node, await asker.GrantAsync(ReserveAction.Share, Node, a), ReservationMode.Shared);
        HeldNode other = new(Other, await asker.GrantAsync(ReserveAction.Reserve, Other, a));
        await using NpgsqlConnection user = await Fleet.OpenAsync();
        await new NpgsqlCommand("begin; select from nodelock_nodes where id = 'node' for update", user)
            .ExecuteNonQueryAsync();

        Assert.Equal([other], await asker.Repository.ReleaseManyAsync(a, [held, other], Limit).AsTask().WithinLimit());
        IReadOnlyList<ReserveAnswer> answers = await asker.ReserveManyAsync(a, Atomicity.Each, Node, Other);

        Assert.IsType<ReserveAnswer.RowInHand>(answers[0]);
        Assert.IsType<ReserveAnswer.Granted>(answers[1]);
    }
}
