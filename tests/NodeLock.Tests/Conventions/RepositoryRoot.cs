namespace NodeLock.Tests.Conventions;

/// <summary>The directory of the checkout that the tests were built in.</summary>
internal static class RepositoryRoot
{
    public static string Path { get; } = Find();

    private static string Find()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(System.IO.Path.Combine(directory, "NodeLock.sln")))
            directory = System.IO.Path.GetDirectoryName(directory);
        return directory ?? throw new InvalidOperationException($"No NodeLock.sln above {AppContext.BaseDirectory}.");
    }
}
