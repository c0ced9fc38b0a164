using Microsoft.EntityFrameworkCore;

namespace NodeLock.Tests.Safety;

/// <summary>
/// A user's context with a number per node that is read, and after a while saved one higher with a guarded write. Each
/// save leaves a posting with the name of the write, so that what became of it can be found out.
/// </summary>
internal sealed class Accounts(DbContextOptions<Accounts> options) : DbContext(options)
{
    private const int AnswerLimit = 1; // second: soon enough for one that is held up to come late

    public static Task CreateAsync(Yard yard, string[] nodes) => yard.ExecuteAsync(
        """
        create table yard_account (node text primary key, value bigint not null);
        create table yard_posting (id text primary key, node text not null, token bigint not null, value bigint not null);
        """ + string.Concat(nodes.Select(node => $"insert into yard_account values ('{node}', 0);")));

    /// <summary>How many saves were lost: another was saved over them.</summary>
    public static Task<long> LostAsync(Yard yard) => yard.ScalarAsync<long>(
        "select (select count(*) from yard_posting) - (select sum(value)::bigint from yard_account)");

    /// <summary>The names of the writes that were saved.</summary>
    public static async Task<IReadOnlySet<string>> SavedAsync(Yard yard) =>
        (await yard.ScalarAsync<string[]>("select coalesce(array_agg(id), '{}') from yard_posting"))!.ToHashSet();

    public static DbContextOptions<Accounts> OptionsFor(string connectionString) =>
        new DbContextOptionsBuilder<Accounts>()
            .UseNpgsql(connectionString, npgsql => npgsql.CommandTimeout(AnswerLimit)).Options;

    /// <summary>Reads the number of a node, to be saved one higher.</summary>
    public Task<Account> ReadAsync(string node) => Set<Account>().SingleAsync(account => account.Node == node);

    public void Raise(Account account, string write, long token)
    {
        account.Value++;
        Add(new Posting { Id = write, Node = account.Node, Token = token, Value = account.Value });
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Account>(account =>
        {
            account.ToTable("yard_account").HasKey(a => a.Node);
            account.Property(a => a.Node).HasColumnName("node");
            account.Property(a => a.Value).HasColumnName("value");
        });
        modelBuilder.Entity<Posting>(posting =>
        {
            posting.ToTable("yard_posting");
            posting.Property(p => p.Id).HasColumnName("id");
            posting.Property(p => p.Node).HasColumnName("node");
            posting.Property(p => p.Token).HasColumnName("token");
            posting.Property(p => p.Value).HasColumnName("value");
        });
    }

    internal sealed class Account
    {
        public required string Node { get; set; }

        public long Value { get; set; }
    }

    internal sealed class Posting
    {
        public required string Id { get; set; }

        public required string Node { get; set; }

        public long Token { get; set; }

        public long Value { get; set; }
    }
}
