using System.Reflection;
using Xunit;

namespace NodeLock.Tests.Conventions;

/// <summary>What every package of this repository keeps to; the tests of a package derive this and name it.</summary>
public abstract class HouseRules
{
    private static readonly string[] Namespaces =
        ["NodeLock", "Microsoft.Extensions.DependencyInjection", "Microsoft.EntityFrameworkCore"];

    /// <summary>The assembly of the package.</summary>
    protected abstract Assembly Package { get; }

    /// <summary>The file of its approved public API, from the root of the repository.</summary>
    protected abstract string ApprovedApi { get; }

    private IEnumerable<Type> Classes => Package.GetExportedTypes()
        .Where(t => t.IsClass && !typeof(Delegate).IsAssignableFrom(t));

    [Fact]
    public void The_public_api_is_the_approved_one()
    {
        string path = Path.Combine(RepositoryRoot.Path, ApprovedApi);
        string approved = File.Exists(path) ? File.ReadAllText(path).ReplaceLineEndings("\n") : "";
        string received = PublicApi.Print(Package);
        if (received == approved) return;

        IReadOnlyList<string> before = PublicApi.Lines(approved);
        IReadOnlyList<string> after = PublicApi.Lines(received);
        Assert.Fail($"""
            The public API of {Package.GetName().Name} is not the approved one.
            Gone:
            {string.Join('\n', before.Except(after))}
            New:
            {string.Join('\n', after.Except(before))}
            To approve it, say so in the change log and replace {ApprovedApi} with:
            {received}
            """);
    }

    [Fact]
    public void Public_classes_are_sealed_static_or_abstract() =>
        Assert.Empty(Classes.Where(t => !t.IsSealed && !t.IsAbstract).Select(t => t.FullName));

    [Fact]
    public void Public_async_methods_take_a_cancellation_token_last() =>
        Assert.Empty(Classes.SelectMany(t => t.GetMethods()).Where(IsAsync)
            .Where(m => m.Name != nameof(IAsyncDisposable.DisposeAsync)
                && m.GetParameters().LastOrDefault()?.ParameterType != typeof(CancellationToken))
            .Select(m => $"{m.DeclaringType}.{m.Name}"));

    [Fact]
    public void Public_async_methods_are_named_so_and_others_are_not() =>
        Assert.Empty(Package.GetExportedTypes().SelectMany(t => t.GetMethods())
            .Where(m => m.DeclaringType?.Assembly == Package
                && IsAsync(m) != m.Name.EndsWith("Async", StringComparison.Ordinal))
            .Select(m => $"{m.DeclaringType}.{m.Name}"));

    [Fact]
    public void Public_types_live_where_a_user_has_them_at_hand() =>
        Assert.Empty(Package.GetExportedTypes().Where(t => !Namespaces.Contains(t.Namespace)).Select(t => t.FullName));

    [Fact]
    public void Exceptions_are_named_so_and_nothing_else_is() =>
        Assert.Empty(Package.GetExportedTypes().Where(t => typeof(Exception).IsAssignableFrom(t)
            != t.Name.EndsWith("Exception", StringComparison.Ordinal)).Select(t => t.FullName));

    [Fact]
    public void Public_fields_are_constants() =>
        Assert.Empty(Package.GetExportedTypes().Where(t => !t.IsEnum).SelectMany(t => t.GetFields())
            .Where(f => !f.IsLiteral).Select(f => $"{f.DeclaringType}.{f.Name}"));

    // What starts work and gives its task is named and cancelled as Task.Run is: the work's end is not the method's.
    private static bool IsAsync(MethodInfo method) => method.Name != nameof(TaskScope.Spawn) && (
        typeof(Task).IsAssignableFrom(method.ReturnType) || method.ReturnType == typeof(ValueTask)
        || (method.ReturnType.IsGenericType && method.ReturnType.GetGenericTypeDefinition() == typeof(ValueTask<>)));
}
