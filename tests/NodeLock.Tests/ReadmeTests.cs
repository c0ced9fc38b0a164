using NodeLock.Tests.Conventions;
using NodeLock.Tests.Readme;
using Xunit;

namespace NodeLock.Tests;

/// <summary>What the readmes show compiles; <see cref="ReadmeCompiler"/> says what a block may hold.</summary>
public sealed class ReadmeTests
{
    [Fact]
    public void The_readme_shows_code() => Assert.NotEmpty(BlocksOf("README.md"));

    [Theory]
    [InlineData("README.md")]
    [InlineData("src/NodeLock/README.md")]
    [InlineData("src/NodeLock.EntityFrameworkCore/README.md")]
    public void Every_block_of_csharp_in_a_readme_compiles(string file)
    {
        ReadmeCompiler compiler = new();

        Assert.Empty(BlocksOf(file).SelectMany(compiler.Errors));
    }

    private static IReadOnlyList<CodeBlock> BlocksOf(string file)
    {
        string path = Path.Combine(RepositoryRoot.Path, file);
        return File.Exists(path) ? CodeBlock.Of(file, File.ReadAllText(path)) : [];
    }
}
