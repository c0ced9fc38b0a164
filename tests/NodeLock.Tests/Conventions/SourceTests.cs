using Xunit;

namespace NodeLock.Tests.Conventions;

public sealed class SourceTests
{
    private static readonly string[] Files = [.. new[] { "src", "tests" }
        .Select(d => Path.Combine(RepositoryRoot.Path, d))
        .SelectMany(d => Directory.EnumerateFiles(d, "*.cs", SearchOption.AllDirectories))
        .Select(f => Path.GetRelativePath(RepositoryRoot.Path, f).Replace('\\', '/'))
        .Where(f => !f.Contains("/bin/") && !f.Contains("/obj/") && !f.Contains("/Migrations/"))];

    [Fact]
    public void No_file_is_longer_than_300_lines()
    {
        Assert.NotEmpty(Files);
        Assert.DoesNotContain(Files, f => Read(f).Length > 300);
    }

    [Fact]
    public void No_line_of_a_package_is_longer_than_120_characters() => Assert.DoesNotContain(
        Files.Where(f => f.StartsWith("src/", StringComparison.Ordinal)), f => Read(f).Any(line => line.Length > 120));

    [Theory]
    [InlineData("Fact(Skip")]
    [InlineData("Theory(Skip")]
    [InlineData("Assert.Skip")]
    public void No_test_is_skipped(string by) => Assert.DoesNotContain(Files, f => Read(f).Any(
        line => line.Contains(by) && !line.Contains("InlineData")));

    private static string[] Read(string file) => File.ReadAllLines(Path.Combine(RepositoryRoot.Path, file));
}
