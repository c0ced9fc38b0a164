using Xunit;

namespace NodeLock.Tests.Readme;

public sealed class ReadmeCompilerTests
{
    private readonly ReadmeCompiler compiler = new();

    [Theory]
    [InlineData("""
        await using TaskScope task = await taskManager.AcquireAsync(server.Id, "power on", cancellationToken);
        """)]
    [InlineData("""
        using System.Globalization;

        string text = 42.ToString(CultureInfo.InvariantCulture);
        NodeId node = new Rack(text).Node;

        public sealed record Rack(string Name)
        {
            public NodeId Node => new(Name);
        }
        """)]
    [InlineData("public sealed class Rack(TaskManager taskManager) { public string Who => taskManager.Holder; }")]
    [InlineData("protected int Answer() => 42;")]
    [InlineData("public sealed class Server { public int Number { get; init; } }")]
    [InlineData("""
        protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddNodeLock<Server>();
        """)]
    [InlineData("services.AddNodeLock(configuration.GetSection(\"NodeLock\")).UseInMemory();")]
    public void A_good_block_compiles(string code) => Assert.Empty(compiler.Errors(new CodeBlock("A.md", 1, code)));

    [Theory]
    [InlineData("taskManager.Acquire(1);", "CS1061")]
    [InlineData("NodeId node = \"text\";", "CS0266")]
    [InlineData("using var task = taskManager.AcquireAsync(1, \"forgotten await\");", "CS1674")]
    [InlineData("int x = ;", "CS1525")]
    [InlineData("public sealed class Rack : NoSuchThing;", "CS0246")]
    [InlineData("using No.Such.Namespace;", "CS0246")]
    public void A_bad_block_does_not(string code, string error) =>
        Assert.Contains(compiler.Errors(new CodeBlock("A.md", 1, code)), e => e.Contains(error));

    [Fact]
    public void An_error_is_told_by_the_line_of_the_file()
    {
        string error = Assert.Single(compiler.Errors(new CodeBlock("A.md", 40, """
            using System.Text;

            int good = 1;
            // a comment
            int bad = "text";
            """)));

        Assert.StartsWith("A.md:44: CS0029", error);
    }

    [Fact]
    public void Types_of_blocks_before_may_be_used_and_declared_again()
    {
        Assert.Empty(compiler.Errors(new CodeBlock("A.md", 1, "public sealed record Rack(string Name);")));
        Assert.Empty(compiler.Errors(new CodeBlock("A.md", 5, "Rack rack = new(\"7\");")));
        Assert.Empty(compiler.Errors(new CodeBlock("A.md", 9, "public sealed record Rack(int Number);")));
        Assert.NotEmpty(compiler.Errors(new CodeBlock("A.md", 13, "Rack rack = new(\"7\");")));
    }

    [Fact]
    public void Blocks_of_csharp_are_found_with_their_lines()
    {
        IReadOnlyList<CodeBlock> blocks = CodeBlock.Of("A.md",
            "# Title\n```csharp\nint a;\nint b;\n```\n```bash\nls\n```\ntext\n  ```csharp\n  int c;\n  ```\n");

        Assert.Equal([new CodeBlock("A.md", 3, "int a;\nint b;"), new CodeBlock("A.md", 11, "  int c;")], blocks);
        Assert.Throws<FormatException>(() => CodeBlock.Of("A.md", "```csharp\nint a;"));
    }
}
