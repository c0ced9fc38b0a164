using System.Globalization;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace NodeLock.Tests.Readme;

/// <summary>Compiles blocks of C# as a reader would: put into a program of their own.</summary>
/// <remarks>
/// A block may hold using directives, then statements, then type declarations, each part as it likes; or members of a
/// class (a <c>DbContext</c> where there is one), as when it shows what to override. Statements stand in an async
/// method and may use, without declaring them, the names of <see cref="Surroundings"/>; a block that declares such a
/// name itself means its own. Every block may use the types that blocks before it, in the same file, declare.
/// </remarks>
internal sealed class ReadmeCompiler
{
    /// <summary>What a fragment is taken to have around it.</summary>
    private const string Surroundings = """
        namespace Around
        {
            public sealed class Server
            {
                public Guid Id { get; set; }
            }

            public abstract class Surroundings
            {
                protected static IServiceCollection services = null!;
                protected static IConfiguration configuration = null!;
                protected static IHostApplicationBuilder builder = null!;
                protected static IServiceProvider serviceProvider = null!;
                protected static string connectionString = "";
                protected static TaskManager taskManager = null!;
                protected static TaskScope task = null!;
                protected static CancellationToken cancellationToken = default;
                protected static NodeId nodeId = default;
                protected static ILogger logger = null!;
                protected static Server server = null!;
                protected static Server neighbour = null!;
            }
        }
        """;

    private static readonly string[] Usings =
    [
        "System", "System.Collections.Generic", "System.IO", "System.Linq", "System.Net.Http", "System.Threading",
        "System.Threading.Tasks", "Microsoft.Extensions.Configuration", "Microsoft.Extensions.DependencyInjection",
        "Microsoft.Extensions.Hosting", "Microsoft.Extensions.Logging", "Microsoft.AspNetCore.Builder",
        "Microsoft.AspNetCore.Http", "Microsoft.EntityFrameworkCore", "NodeLock",
    ];

    private static readonly CSharpCompilation Empty = CSharpCompilation.Create("Readme",
        references: [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path))],
        options: new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary,
            nullableContextOptions: NullableContextOptions.Enable));

    private static readonly string Preamble = string.Concat(Usings.Where(Exists).Select(u => $"global using {u};\n"))
        + "global using Around;\n" + Surroundings;

    private readonly Dictionary<string, string> declared = [];

    /// <summary>What the compiler has against a block, with the lines of its file; empty when it compiles.</summary>
    public IReadOnlyList<string> Errors(CodeBlock block)
    {
        CompilationUnitSyntax unit = Parse(block.Code);
        List<string> asProgram = Errors(Program(block, unit), Types(unit));
        if (asProgram.Count > 0 && Errors(Members(block), []).Count == 0) return [];
        foreach (BaseTypeDeclarationSyntax type in Types(unit))
            declared[type.Identifier.Text] = unit.Usings.ToFullString() + type.ToFullString();
        return asProgram;
    }

    private List<string> Errors(string source, IEnumerable<BaseTypeDeclarationSyntax> own)
    {
        IEnumerable<string> others = declared.Where(d => own.All(t => t.Identifier.Text != d.Key)).Select(d => d.Value);
        SyntaxTree[] trees = [.. others.Prepend(source).Prepend(Preamble)
            .Select(text => CSharpSyntaxTree.ParseText(text))];
        return [.. Empty.AddSyntaxTrees(trees).GetDiagnostics().Where(d => d.Severity == DiagnosticSeverity.Error)
            .Select(d => $"{Place(d.Location.GetMappedLineSpan())}: {d.Id} "
                + d.GetMessage(CultureInfo.InvariantCulture))];
    }

    private static string Place(FileLinePositionSpan span) => $"{span.Path}:{span.StartLinePosition.Line + 1}";

    private static string Program(CodeBlock block, CompilationUnitSyntax unit) => $$"""
        {{Text(block, unit.Usings)}}
        public sealed class Fragment : Surroundings
        {
            public static async Task RunAsync()
            {
                await Task.CompletedTask;
                {{Text(block, unit.Members.OfType<GlobalStatementSyntax>())}}
            }
        }
        {{Text(block, unit.Members.Where(m => m is not GlobalStatementSyntax))}}
        """;

    private static string Members(CodeBlock block) => $$"""
        public sealed class Fragment : {{(Exists("Microsoft.EntityFrameworkCore") ? "DbContext" : "Surroundings")}}
        {
        #line {{block.Line}} "{{block.File}}"
        {{block.Code}}
        #line default
        }
        """;

    /// <summary>Nodes as they stand in the file, so that the compiler's lines are the file's.</summary>
    private static string Text(CodeBlock block, IEnumerable<SyntaxNode> nodes) => string.Concat(nodes.Select(node =>
        $"\n#line {block.Line + LineOf(node)} \"{block.File}\"\n{node.ToFullString()}\n#line default\n"));

    private static int LineOf(SyntaxNode node) =>
        node.SyntaxTree.GetLineSpan(node.FullSpan).StartLinePosition.Line;

    private static CompilationUnitSyntax Parse(string code) =>
        CSharpSyntaxTree.ParseText(code).GetCompilationUnitRoot();

    private static IEnumerable<BaseTypeDeclarationSyntax> Types(CompilationUnitSyntax unit) =>
        unit.Members.OfType<BaseTypeDeclarationSyntax>();

    private static bool Exists(string name)
    {
        INamespaceSymbol? space = Empty.GlobalNamespace;
        foreach (string part in name.Split('.'))
            space = space?.GetNamespaceMembers().FirstOrDefault(n => n.Name == part);
        return space is not null;
    }
}
