using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;
using NodeLock.Tests.Postgres;
using Npgsql;
using Xunit;

namespace NodeLock.EntityFrameworkCore.Tests;

public sealed class SchemaTests(PostgresFixture postgres) : IDisposable
{
    private static readonly KindName Nodes = KindName.OfNames();
    private static readonly KindName Servers = KindName.OfEntity(typeof(Server));

    private readonly TestDatabase database = new(postgres.Server.ConnectionString);

    public void Dispose() => database.Dispose();

    [Fact]
    public void What_a_model_makes_has_no_problem()
    {
        using TestContext context = Context(AllKinds);
        context.Database.EnsureCreated();

        Type[] entities = [typeof(Server), typeof(BareMetalNode), typeof(VMImage), typeof(Tenant), typeof(Device)];
        foreach (Type entity in entities) Assert.Empty(Check(context, KindName.OfEntity(entity)));

        Assert.Empty(Check(context, Nodes));
        Assert.Empty(Check(context, KindName.OfNames("images")));
    }

    [Fact]
    public void Odd_schemas_and_names_are_found()
    {
        using TestContext context = Context(m =>
        {
            m.HasDefaultSchema("My \"odd\" 'schema'");
            m.Entity<Server>().ToTable("Ser.vers", "In ventory").Property(s => s.Id).HasColumnName("The \"Id\"");
            m.AddNodeLock().AddNodeLock<Server>();
            foreach (IMutableEntityType type in m.Model.GetEntityTypes().Where(t => t.Name == "nodelock_server"))
            {
                type.SetTableName("Reser'ved");
                type.GetProperty("reservation").SetColumnName("Held \"by\"");
            }
        });
        context.Database.EnsureCreated();

        Assert.Empty(Check(context, Servers));
        string? token = database.Scalar($"select nextval({context.Reservations(Servers).SequenceLiteral})");
        Assert.Equal("1", token);
    }

    [Fact]
    public void A_table_without_a_schema_is_the_one_that_the_search_path_finds()
    {
        using TestContext context = Context(m => m.AddNodeLock());
        context.Database.EnsureCreated();
        database.Execute("create schema elsewhere; set search_path = elsewhere");

        Assert.Equal(
            [
                "table nodelock_nodes is missing", "table nodelock_conductors is missing",
                "sequence nodelock_fencing_token is missing",
            ],
            Check(context, Nodes));
    }

    [Fact]
    public void Everything_that_is_missing_is_named_at_once()
    {
        using TestContext context = Context(AllKinds);

        IReadOnlyList<string> problems = Check(context, Servers);

        Assert.Equal(
            [
                "table nodelock_server is missing", "table nodelock_conductors is missing",
                "table \"Server\" is missing", "sequence nodelock_fencing_token is missing",
            ],
            problems);
        string message = SchemaSql.Refused(nameof(TestContext), problems).Message;
        Assert.Contains("TestContext does not have what NodeLock needs: table nodelock_server is missing;", message,
            StringComparison.Ordinal);
        Assert.Contains("'dotnet ef migrations add AddNodeLock' and 'dotnet ef database update'", message,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("alter table nodelock_nodes drop column reserved_at",
        "column nodelock_nodes.reserved_at is missing")]
    [InlineData("alter table nodelock_nodes alter reservation_token type integer",
        "column nodelock_nodes.reservation_token is integer, and the model says bigint")]
    [InlineData("alter table nodelock_nodes alter reserved_at type timestamp",
        "column nodelock_nodes.reserved_at is timestamp without time zone, and the model says timestamp with time "
            + "zone")]
    [InlineData("alter table nodelock_nodes alter reservation_token drop default",
        "column nodelock_nodes.reservation_token has no default")]
    [InlineData("alter table nodelock_nodes alter reservation_shared drop not null",
        "column nodelock_nodes.reservation_shared may be null")]
    [InlineData("alter table nodelock_nodes drop constraint \"PK_nodelock_nodes\"; create index on nodelock_nodes (id)",
        "column nodelock_nodes.id is no primary key")]
    [InlineData("alter table nodelock_nodes drop constraint \"PK_nodelock_nodes\"; "
        + "create unique index on nodelock_nodes (id) where id > 'a'", "column nodelock_nodes.id is no primary key")]
    [InlineData("alter table nodelock_nodes set unlogged",
        "table nodelock_nodes is not logged, so that a crash empties it")]
    [InlineData("alter table nodelock_nodes rename to n; create view nodelock_nodes as select * from n",
        "table nodelock_nodes is not a table")]
    [InlineData("alter table nodelock_conductors drop column fenced_by",
        "column nodelock_conductors.fenced_by is missing")]
    [InlineData("alter sequence nodelock_fencing_token increment 2",
        "sequence nodelock_fencing_token has increment 2 instead of 1")]
    [InlineData("alter sequence nodelock_fencing_token cache 10",
        "sequence nodelock_fencing_token has cache 10 instead of 1")]
    [InlineData("alter sequence nodelock_fencing_token cycle",
        "sequence nodelock_fencing_token starts again at its end")]
    [InlineData("alter sequence nodelock_fencing_token as integer",
        "sequence nodelock_fencing_token is not of type bigint")]
    public void What_differs_is_named(string change, string expected)
    {
        using TestContext context = Context(m => m.AddNodeLock());
        context.Database.EnsureCreated();
        database.Execute(change);

        Assert.Contains(expected, Check(context, Nodes));
    }

    [Theory]
    [InlineData("citext", "citext")]
    [InlineData("char(8)", "character(8)")]
    [InlineData("ids", "ids")]
    [InlineData("\"char\"", "\"char\"")]
    public void Text_that_is_equal_without_being_the_same_is_no_node_id(string type, string shown)
    {
        database.Execute("create extension citext; create domain ids as citext");
        using TestContext context = Context(m =>
        {
            m.Entity<BareMetalNode>().Property(n => n.Id).HasColumnType(type);
            m.AddNodeLock<BareMetalNode>();
        });
        context.Database.EnsureCreated();

        string problem = $"is {shown}; node ids are text, character varying, uuid, integer or bigint";
        Assert.Equal(
            [$"column nodelock_bare_metal_node.id {problem}", $"column \"BareMetalNode\".\"Id\" {problem}"],
            Check(context, KindName.OfEntity(typeof(BareMetalNode))));
    }

    [Fact]
    public void A_collation_that_is_not_deterministic_is_refused()
    {
        database.Execute(
            "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
        using TestContext context = Context(m =>
        {
            m.Entity<BareMetalNode>().Property(n => n.Id).UseCollation("blind");
            m.AddNodeLock<BareMetalNode>();
        });
        context.Database.EnsureCreated();

        Assert.Equal(
            [
                "column nodelock_bare_metal_node.id has the non-deterministic collation blind",
                "column \"BareMetalNode\".\"Id\" has the non-deterministic collation blind",
            ],
            Check(context, KindName.OfEntity(typeof(BareMetalNode))));
    }

    [Fact]
    public void Deleting_an_entity_deletes_its_reservation_row_and_nothing_else()
    {
        using TestContext context = Context(AllKinds);
        context.Database.EnsureCreated();
        Server kept = new() { Id = Guid.NewGuid() };
        Server gone = new() { Id = Guid.NewGuid() };
        context.AddRange(kept, gone);
        context.SaveChanges();
        database.Execute("insert into nodelock_server (id) select \"Id\" from \"Server\"");

        context.Remove(gone);
        context.SaveChanges();

        Assert.Equal($"{kept.Id} 0 {{}}", database.Scalar(
            "select string_agg(concat_ws(' ', id, reservation_token, reservation_shared), ';') from nodelock_server"));
        PostgresException refusal = Assert.Throws<PostgresException>(() =>
            database.Execute("insert into nodelock_server (id) values (gen_random_uuid())"));
        Assert.Equal(PostgresErrorCodes.ForeignKeyViolation, refusal.SqlState);
    }

    [Fact]
    public void Tables_leave_room_for_hot_updates_and_have_no_index_but_their_keys()
    {
        using TestContext context = Context(AllKinds);
        context.Database.EnsureCreated();

        Assert.Equal("nodelock_conductors fillfactor=50, nodelock_nodes fillfactor=80, nodelock_server fillfactor=80",
            database.Scalar(
            "select string_agg(relname || ' ' || array_to_string(reloptions, ','), ', ' order by relname) "
            + "from pg_class where relname in ('nodelock_nodes', 'nodelock_server', 'nodelock_conductors')"));
        Assert.Equal("PK_nodelock_conductors, PK_nodelock_server", database.Scalar(
            "select string_agg(indexname, ', ' order by indexname) from pg_indexes "
            + "where tablename in ('nodelock_server', 'nodelock_conductors')"));
    }

    [Fact]
    public void A_conductor_is_in_one_of_four_states()
    {
        using TestContext context = Context(m => m.AddNodeLock());
        context.Database.EnsureCreated();

        PostgresException refusal = Assert.Throws<PostgresException>(() => database.Execute(
            "insert into nodelock_conductors (holder, kind, name, state, started_at, heartbeat_at, expires_at) "
            + "values ('a/1', 'nodelock_nodes', 'a', 'asleep', now(), now(), now())"));

        Assert.Equal("ck_nodelock_conductors_state", refusal.ConstraintName);
    }

    private static void AllKinds(ModelBuilder model)
    {
        model.Entity<Server>();
        model.Entity<BareMetalNode>();
        model.Entity<VMImage>();
        model.Entity<Tenant>();
        model.Entity<Device>().Property(d => d.Id).HasConversion(id => id.Value, value => new DeviceId(value));
        model.Entity<Device>().HasKey(d => d.Id);
        model.AddNodeLock().AddNodeLock("images").AddNodeLock<Server>().AddNodeLock<BareMetalNode>();
        model.AddNodeLock<VMImage>().AddNodeLock<Tenant>().AddNodeLock<Device>();
    }

    private TestContext Context(Action<ModelBuilder> build) =>
        new(build, connectionString: database.ConnectionString);

    private IReadOnlyList<string> Check(TestContext context, KindName kind) =>
        SchemaSql.Check(database.Connection, context.Reservations(kind));
}
