using System.Globalization;
using System.Text.RegularExpressions;
using NodeLock.Tests.Postgres;
using Npgsql;

namespace NodeLock.Benchmarks;

/// <summary>
/// PostgreSQL's own load generator, in C and over the wire as everybody else: two plain durable updates a cycle. It is
/// run by a shell that outlives this process, and by itself ends in time.
/// </summary>
internal sealed partial class Pgbench : IAsyncDisposable
{
    private const string Script =
        $"""
        \set node random(1, :nodes)
        update {PlainNodes.Table}
        set reservation = 'pgbench ' || :client_id::text, reservation_purpose = 'power on', reserved_at = now(),
            reservation_token = nextval('{BenchmarkContext.TokenSequence}')
        where id = :node::text and reservation is null;
        update {PlainNodes.Table} set reservation = null, reservation_purpose = null, reserved_at = null
        where id = :node::text and reservation = 'pgbench ' || :client_id::text;
        """;

    private readonly string program;
    private readonly Warden warden;

    private Pgbench(string program, Warden warden) => (this.program, this.warden) = (program, warden);

    public static async Task<Pgbench> StartAsync()
    {
        Pgbench pgbench = new(Find(), await Warden.StartAsync("true"));
        await File.WriteAllTextAsync(Path.Combine(pgbench.warden.Home, "cycle.sql"), Script);
        return pgbench;
    }

    /// <returns>Cycles a second.</returns>
    public async Task<double> RunAsync(BenchmarkDatabase database, int clients, TimeSpan time)
    {
        NpgsqlConnectionStringBuilder to = new(database.ConnectionString);
        int threads = Math.Min(2, clients);
        string command = string.Create(CultureInfo.InvariantCulture,
            $"timeout {time.TotalSeconds + 30:0} {Warden.Quote(program)} -n -M prepared -j {threads} -c {clients} "
            + $"-T {time.TotalSeconds:0} -D nodes={database.Nodes.Count} -f cycle.sql "
            + $"-h {to.Host} -p {to.Port} -U {to.Username} {Warden.Quote(database.Name)}");
        (int exitCode, string output) = await warden.TryRunAsync(command);
        Match rate = Rate().Match(output);
        return exitCode == 0 && rate.Success
            ? double.Parse(rate.Groups["rate"].Value, CultureInfo.InvariantCulture)
            : throw new InvalidOperationException($"'{command}' ended with {exitCode}: {output}");
    }

    public ValueTask DisposeAsync() => warden.DisposeAsync();

    private static string Find()
    {
        string beside = Path.Combine(Executables.PostgresBin(), "pgbench");
        return File.Exists(beside) ? beside : Executables.Find("pgbench") ?? throw new InvalidOperationException(
            "There is no pgbench beside the server's binaries, nor on the path. It comes with PostgreSQL "
            + $"(apt-get install postgresql), or set {Executables.BinVariable} to a directory that has it too.");
    }

    [GeneratedRegex(@"^tps = (?<rate>[0-9.]+)", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Rate();
}
