using NodeLock.Tests.Safety;
using Xunit.MicrosoftTestingPlatform;
using Xunit.Runner.InProc.SystemConsole;

namespace NodeLock.EntityFrameworkCore.Tests;

/// <summary>
/// This executable is the tests, and also a conductor that they start as a process of its own. For the tests it does
/// what the entry point that xunit generates would do.
/// </summary>
internal static class EntryPoint
{
    public static int Main(string[] args)
    {
        if (args is [ChildConductor.Verb, string settings])
            return ChildConductor.Run(settings);
        // The proxies between driver and server share this process with tests that block threads for a purpose; on a
        // machine of few cores those would otherwise delay every packet of the others.
        ThreadPool.SetMinThreads(workerThreads: 64, completionPortThreads: 64);
        bool isPlatform = args.Any(arg => arg is "--server" or "--internal-msbuild-node");
        Task<int> tests = isPlatform
            ? TestPlatformTestFramework.RunAsync(args, SelfRegisteredExtensions.AddSelfRegisteredExtensions)
            : ConsoleRunner.Run(args);
        return tests.GetAwaiter().GetResult();
    }
}
