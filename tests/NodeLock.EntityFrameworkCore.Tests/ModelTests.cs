using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Microsoft.EntityFrameworkCore.Metadata.Conventions;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;
using Xunit;

namespace NodeLock.EntityFrameworkCore.Tests;

public sealed class ModelTests
{
    private const string ReservationColumns =
        """
            reservation text,
            reservation_token bigint NOT NULL DEFAULT 0,
            reservation_purpose text,
            reserved_at timestamp with time zone,
            reservation_shared text[] NOT NULL DEFAULT ('{}'),
            reservation_wanted_until timestamp with time zone,
            reservation_writer_until timestamp with time zone,
        """;

    private const string ConductorsTableScript =
        """
        CREATE TABLE nodelock_conductors (
            holder text NOT NULL,
            kind text NOT NULL,
            name text NOT NULL,
            host text,
            process_id integer,
            state text NOT NULL,
            started_at timestamp with time zone NOT NULL,
            heartbeat_at timestamp with time zone NOT NULL,
            expires_at timestamp with time zone NOT NULL,
            requires_fence boolean NOT NULL DEFAULT FALSE,
            fenced_by text,
            CONSTRAINT "PK_nodelock_conductors" PRIMARY KEY (holder),
            CONSTRAINT ck_nodelock_conductors_state CHECK (state in ('alive', 'dead', 'fenced', 'left'))
        )
        WITH (fillfactor=50);
        """;

    private static readonly Action<ModelConfigurationBuilder> Hostile = conventions =>
    {
        conventions.Properties<string>().HaveMaxLength(10).AreUnicode(false).AreFixedLength().UseCollation("C");
        conventions.Properties<string[]>().HaveConversion<JoinedStrings>();
        conventions.Properties<DateTimeOffset>().HaveConversion<Ticks>().HavePrecision(0);
        conventions.Properties<DateTimeOffset?>().HaveConversion<Ticks>();
        conventions.Properties<bool>().HaveConversion<string>();
        conventions.Properties<long>().HaveColumnType("numeric(20,0)");
        conventions.Properties<int>().HaveConversion<long>();
        conventions.Properties<DeviceId>().HaveConversion<DeviceIds>();
        conventions.Conventions.Add(_ => new LateConvention());
    };

    [Fact]
    public void Nodes_that_are_only_names_get_one_table()
    {
        string script = Script(m => m.AddNodeLock());

        Assert.Contains($"""
            CREATE TABLE nodelock_nodes (
                id text NOT NULL,
            {ReservationColumns}
                CONSTRAINT "PK_nodelock_nodes" PRIMARY KEY (id)
            )
            WITH (fillfactor=80);
            """, script, StringComparison.Ordinal);
        Assert.Contains("CREATE SEQUENCE nodelock_fencing_token START WITH 1 INCREMENT BY 1 NO CYCLE;", script,
            StringComparison.Ordinal);
        Assert.Contains(ConductorsTableScript, script, StringComparison.Ordinal);
    }

    [Fact]
    public void An_entitys_table_is_keyed_by_the_entity_and_goes_with_it()
    {
        string script = Script(m =>
        {
            m.Entity<BareMetalNode>().ToTable("bm").Property(n => n.Id).HasMaxLength(64);
            m.AddNodeLock<BareMetalNode>();
        });

        Assert.Contains($"""
            CREATE TABLE nodelock_bare_metal_node (
                id character varying(64) NOT NULL,
            {ReservationColumns}
                CONSTRAINT "PK_nodelock_bare_metal_node" PRIMARY KEY (id),
                CONSTRAINT "FK_nodelock_bare_metal_node_bm_id" FOREIGN KEY (id) REFERENCES bm ("Id") ON DELETE CASCADE
            )
            WITH (fillfactor=80);
            """, script, StringComparison.Ordinal);
        Assert.DoesNotContain("INDEX", script, StringComparison.Ordinal);
        Assert.DoesNotContain("GENERATED", script, StringComparison.Ordinal);
    }

    [Fact]
    public void Several_kinds_share_the_conductors_and_the_sequence()
    {
        string script = Script(m =>
        {
            AllEntities(m);
            m.AddNodeLock().AddNodeLock("images").AddNodeLock<Server>().AddNodeLock<Tenant>().AddNodeLock<VMImage>();
        });

        foreach (string table in new[] { "nodes", "images", "server", "tenant", "vm_image", "conductors" })
            Assert.Single(script.Split($"CREATE TABLE nodelock_{table} (").Skip(1));

        Assert.Single(script.Split("CREATE SEQUENCE").Skip(1));
    }

    [Fact]
    public void Conventions_of_the_model_do_not_reach_the_tables()
    {
        static void Build(ModelBuilder m)
        {
            _ = m.AddNodeLock().AddNodeLock("images");
        }

        Assert.Equal(Script(Build), Script(Build, Hostile), ignoreLineEndingDifferences: true);
    }

    [Fact]
    public void Conventions_reach_an_entitys_key_and_its_nodes_alike()
    {
        using TestContext context = new(m =>
        {
            AllEntities(m);
            m.AddNodeLock<Server>().AddNodeLock<VMImage>().AddNodeLock<Device>().AddNodeLock<BareMetalNode>();
        }, Hostile);

        Assert.Equal("uuid", context.Reservations(KindName.OfEntity(typeof(Server))).KeyStoreType);
        Assert.Equal("bigint", context.Reservations(KindName.OfEntity(typeof(VMImage))).KeyStoreType);
        Assert.Equal("uuid", context.Reservations(KindName.OfEntity(typeof(Device))).KeyStoreType);
        Assert.Equal("character(10)", context.Reservations(KindName.OfEntity(typeof(BareMetalNode))).KeyStoreType);
        Assert.Contains("id character(10) COLLATE \"C\" NOT NULL", context.Database.GenerateCreateScript(),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(typeof(Server), typeof(Guid), "uuid")]
    [InlineData(typeof(BareMetalNode), typeof(string), "text")]
    [InlineData(typeof(VMImage), typeof(int), "integer")]
    [InlineData(typeof(Tenant), typeof(long), "bigint")]
    [InlineData(typeof(Device), typeof(Guid), "uuid")]
    public void A_key_has_the_entitys_type_after_conversion(Type entity, Type stored, string storeType)
    {
        using TestContext context = new(m =>
        {
            AllEntities(m);
            m.AddNodeLock<Server>().AddNodeLock<BareMetalNode>().AddNodeLock<VMImage>().AddNodeLock<Tenant>();
            m.AddNodeLock<Device>();
        });

        ReservationModel model = context.Reservations(KindName.OfEntity(entity));

        Assert.Equal(stored, model.Key.Type);
        Assert.Equal(storeType, model.KeyStoreType);
    }

    [Fact]
    public void A_key_that_is_configured_further_after_the_call_is_followed()
    {
        using TestContext context = new(m =>
        {
            AllEntities(m);
            m.AddNodeLock<VMImage>().AddNodeLock<Server>();
            m.Entity<VMImage>().Property(i => i.Id).HasConversion<string>().HasMaxLength(50);
            m.Entity<Server>().Property(s => s.Id).HasColumnName("server_id");
        });

        ReservationModel images = context.Reservations(KindName.OfEntity(typeof(VMImage)));
        ReservationModel servers = context.Reservations(KindName.OfEntity(typeof(Server)));

        Assert.Equal("character varying(50)", images.KeyStoreType);
        Assert.Equal(typeof(string), images.Key.Type);
        Assert.Equal("server_id", servers.EntityId);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_default_schema_holds_everything_whenever_it_is_set(bool before)
    {
        using TestContext context = new(m =>
        {
            _ = before ? m.HasDefaultSchema("My 'locks'") : m;
            AllEntities(m);
            m.Entity<Server>().ToTable("servers", "inventory");
            m.AddNodeLock().AddNodeLock<Server>();
            _ = before ? m : m.HasDefaultSchema("My 'locks'");
        });

        ReservationModel model = context.Reservations(KindName.OfEntity(typeof(Server)));

        Assert.Equal("\"My 'locks'\".nodelock_server", model.Table.Sql);
        Assert.Equal("\"My 'locks'\".nodelock_conductors", model.Conductors.Sql);
        Assert.Equal("\"My 'locks'\".nodelock_fencing_token", model.Sequence);
        Assert.Equal("'\"My ''locks''\".nodelock_fencing_token'", model.SequenceLiteral);
        Assert.Equal("inventory.servers", model.Entity!.Sql);
        Assert.Equal("\"Id\"", model.EntityId);
        Assert.Equal("nodelock_server", model.Kind);
    }

    [Fact]
    public void Names_that_are_only_names_have_no_entity()
    {
        using TestContext context = new(m => m.AddNodeLock());

        ReservationModel model = context.Reservations(KindName.OfNames());

        Assert.Equal("nodelock_nodes", model.Table.Sql);
        Assert.Equal("'nodelock_fencing_token'", model.SequenceLiteral);
        Assert.Null(model.Entity);
        Assert.Null(model.EntityId);
    }

    [Fact]
    public void A_loop_that_renames_everything_is_followed()
    {
        using TestContext context = new(m =>
        {
            AllEntities(m);
            m.AddNodeLock<Server>();
            foreach (IMutableEntityType type in m.Model.GetEntityTypes())
            {
                type.SetTableName(type.GetTableName()!.ToUpperInvariant());
                foreach (IMutableProperty property in type.GetProperties())
                    property.SetColumnName(property.GetColumnName().ToUpperInvariant());
            }
        });

        ReservationModel model = context.Reservations(KindName.OfEntity(typeof(Server)));

        Assert.Equal("\"NODELOCK_SERVER\"", model.Table.Sql);
        Assert.Equal("\"NODELOCK_CONDUCTORS\"", model.Conductors.Sql);
        Assert.Equal("\"RESERVATION_TOKEN\"", model.Columns.Token);
        Assert.Equal("\"STATE\"", model.ConductorColumns.State);
        Assert.Equal("\"SERVER\"", model.Entity!.Sql);
        Assert.Equal("\"ID\"", model.EntityId);
        Assert.Equal("nodelock_server", model.Kind);
    }

    private static void AllEntities(ModelBuilder model)
    {
        model.Entity<Server>();
        model.Entity<BareMetalNode>();
        model.Entity<VMImage>();
        model.Entity<Tenant>();
        model.Entity<Device>().Property(d => d.Id).HasConversion(new DeviceIds());
        model.Entity<Device>().HasKey(d => d.Id);
    }

    private static string Script(Action<ModelBuilder> build, Action<ModelConfigurationBuilder>? conventions = null)
    {
        using TestContext context = new(build, conventions);
        return context.Database.GenerateCreateScript().ReplaceLineEndings("\n");
    }

    private sealed class DeviceIds() : ValueConverter<DeviceId, Guid>(id => id.Value, value => new DeviceId(value));

    private sealed class JoinedStrings() : ValueConverter<string[], string>(
        texts => string.Join(',', texts), text => text.Split(','));

    private sealed class Ticks() : ValueConverter<DateTimeOffset, long>(
        time => time.UtcTicks, ticks => new DateTimeOffset(ticks, TimeSpan.Zero));

    /// <summary>What a naming plug-in does: the last word, but as a convention.</summary>
    private sealed class LateConvention : IModelFinalizingConvention
    {
        public void ProcessModelFinalizing(
            IConventionModelBuilder modelBuilder, IConventionContext<IConventionModelBuilder> context)
        {
            foreach (IConventionEntityType type in modelBuilder.Metadata.GetEntityTypes())
            {
                _ = type.Builder.ToTable(type.Name.ToUpperInvariant());
                foreach (IConventionProperty property in type.GetProperties())
                {
                    _ = property.Builder.HasColumnName(property.Name.ToUpperInvariant());
                    _ = property.ClrType == typeof(string) ? property.Builder.HasMaxLength(20) : null;
                    _ = property.ClrType == typeof(DateTimeOffset)
                        ? property.Builder.HasConversion(typeof(Ticks)) : null;
                }
            }
        }
    }
}
