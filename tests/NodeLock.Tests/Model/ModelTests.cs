using FsCheck;
using FsCheck.Fluent;
using Microsoft.FSharp.Core;
using Xunit;

namespace NodeLock.Tests.Model;

/// <summary>
/// Whatever several conductors do to a few nodes, in whatever order: never a writer beside a reader or another writer;
/// what is free is granted, what is held is refused, and in the end nothing is left.
/// </summary>
public sealed class ModelTests(ITestOutputHelper output)
{
    private const int Length = 60;

    // FsCheck prints the seed of a failure, and the steps that it takes at least.
    private static readonly Replay Seed = new(new Rnd(20_260_827, 47), FSharpOption<int>.None);

    private readonly Dictionary<string, int> answers = [];
    private int done;

    [Fact]
    public void Twelve_thousand_random_operations_agree_with_a_model_of_readers_and_writers()
    {
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(330).WithReplay(FSharpOption<Replay>.Some(Seed)),
            Prop.ForAll(Step.Runs(Length), steps => Do(steps, store => store)));

        foreach ((string answer, int count) in answers.OrderBy(a => a.Key, StringComparer.Ordinal))
            output.WriteLine($"{count,6} {answer}");
        Assert.True(done >= 12_000, $"{done} operations only.");
        string[] both = ["TryWrite", "TryRead", "Upgrade", "Wait"];
        Assert.All(both, b => Assert.True(answers[$"{b}: yes"] > 100 && answers[$"{b}: no"] > 100, b));
    }

    [Fact]
    public void The_judge_catches_a_store_that_lets_a_writer_in_beside_readers()
    {
        Exception e = Assert.ThrowsAny<Exception>(() => Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(330).WithReplay(FSharpOption<Replay>.Some(Seed)),
            Prop.ForAll(Step.Runs(Length), steps => Do(steps, store => new StoreBlindToReaders(store)))));

        output.WriteLine(e.Message);
        Assert.Contains("a writer beside somebody else", e.ToString());
        Assert.Contains("Shrunk", e.Message);
    }

    [Fact]
    public void The_judge_catches_a_store_that_refuses_what_is_free()
    {
        Exception e = Assert.ThrowsAny<Exception>(() => Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(330).WithReplay(FSharpOption<Replay>.Some(Seed)),
            Prop.ForAll(Step.Runs(Length), steps => Do(steps, store => new StoreThatForgetsReleases(store)))));

        output.WriteLine(e.Message);
        Assert.Matches("refused, though|that nobody holds", e.ToString());
    }

    private void Do(Step[] steps, Func<InMemoryNodeLockRepository, INodeLockRepository> storeOf) =>
        Task.Run(() => DoAsync(steps, storeOf)).GetAwaiter().GetResult();

    private async Task DoAsync(Step[] steps, Func<InMemoryNodeLockRepository, INodeLockRepository> storeOf)
    {
        await using Run run = new(storeOf);
        await run.StartAsync();
        foreach (Step step in steps) await run.DoAsync(step);
        await run.EndAsync();
        done += run.Done;
        foreach ((string answer, int count) in run.Answers)
            answers[answer] = answers.GetValueOrDefault(answer) + count;
    }
}
