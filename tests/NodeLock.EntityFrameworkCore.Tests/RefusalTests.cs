using Microsoft.EntityFrameworkCore;
using Xunit;

namespace NodeLock.EntityFrameworkCore.Tests;

public sealed class RefusalTests
{
    [Theory]
    [InlineData("")]
    [InlineData("Images")]
    [InlineData("im-ages")]
    [InlineData("büro")]
    [InlineData("a\"; drop table x; --")]
    [InlineData("conductors")]
    [InlineData("fencing_token")]
    [InlineData("a2345678901234567890123456789012345678901")]
    public void A_name_that_makes_no_table_name_is_refused(string name)
    {
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => Build(m => m.AddNodeLock(name)));

        Assert.Contains($"'{name}' is not a name for a kind of nodes", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_class_whose_name_makes_no_table_name_is_refused() =>
        Refused<ArgumentException>("Conductors would be called nodelock_conductors", m => m.AddNodeLock<Conductors>());

    [Fact]
    public void The_same_kind_twice_is_refused()
    {
        Refused("AddNodeLock(): the model already has a table nodelock_nodes", m => m.AddNodeLock().AddNodeLock());
        Refused("already has a table nodelock_nodes", m => m.AddNodeLock().AddNodeLock("nodes"));
        Refused("AddNodeLock<Server>(): the model already has a table nodelock_server", m =>
        {
            m.Entity<Server>();
            m.AddNodeLock<Server>().AddNodeLock<Server>();
        });
    }

    [Fact]
    public void Two_kinds_that_make_one_table_name_are_refused()
    {
        Refused("already has a table nodelock_server", m =>
        {
            m.Entity<Server>();
            m.AddNodeLock("server").AddNodeLock<Server>();
        });
        Refused("already has a table nodelock_server", m =>
        {
            m.Entity<Tenant>().ToTable("nodelock_server");
            m.Entity<Server>();
            m.AddNodeLock<Server>();
        });
    }

    [Fact]
    public void An_entity_that_is_not_in_the_model_is_refused() =>
        Refused("Server is no entity of this model yet. Call modelBuilder.Entity<Server>() before this",
            m => m.AddNodeLock<Server>());

    [Fact]
    public void An_entity_without_a_key_yet_is_told_to_configure_it_first() =>
        Refused("Keyed has no key yet. Configure its key", m =>
        {
            m.Entity<Keyed>();
            m.AddNodeLock<Keyed>();
            m.Entity<Keyed>().HasKey(k => k.Code);
        });

    [Fact]
    public void A_keyless_entity_is_refused() => Refused("Keyed is keyless", m =>
    {
        m.Entity<Keyed>().HasNoKey();
        m.AddNodeLock<Keyed>();
    });

    [Fact]
    public void A_composite_key_is_refused() => Refused("Keyed has a composite key (Code, Site)", m =>
    {
        m.Entity<Keyed>().HasKey(k => new { k.Code, k.Site });
        m.AddNodeLock<Keyed>();
    });

    [Fact]
    public void A_view_is_refused() => Refused("Server is mapped to v_servers", m =>
    {
        m.Entity<Server>().ToView("v_servers");
        m.AddNodeLock<Server>();
    });

    [Fact]
    public void An_entity_without_a_table_is_refused() => Refused("Server is mapped to no table", m =>
    {
        m.Entity<Server>().ToTable((string?)null);
        m.AddNodeLock<Server>();
    });

    [Fact]
    public void An_owned_type_is_refused() => Refused("Part is an owned type", m =>
    {
        m.Entity<Whole>().OwnsOne(w => w.Part);
        m.AddNodeLock<Part>();
    });

    [Fact]
    public void A_class_of_several_entity_types_is_refused() =>
        Refused("Server is the class of several entity types", m =>
        {
            m.SharedTypeEntity<Server>("blue");
            m.AddNodeLock<Server>();
        });

    [Fact]
    public void A_derived_type_is_told_to_use_its_root() =>
        Refused("Derived derives from Root and has its key from there. Use the root type: AddNodeLock<Root>()", m =>
        {
            m.Entity<Root>();
            m.Entity<Derived>();
            m.AddNodeLock<Derived>();
        });

    [Fact]
    public void A_hierarchy_with_a_table_for_each_class_is_refused() =>
        Refused("Root has a table for each concrete type", m =>
        {
            m.Entity<Root>().UseTpcMappingStrategy();
            m.AddNodeLock<Root>();
        });

    [Fact]
    public void A_key_of_another_type_is_refused() => Refused("the key Keyed.Size is stored as Decimal", m =>
    {
        m.Entity<Keyed>().HasKey(k => k.Size);
        m.AddNodeLock<Keyed>();
    });

    [Fact]
    public void A_key_that_becomes_another_type_later_is_refused_at_start() =>
        RefusedAtStart("the key of nodelock_server is stored as Byte[]", m =>
        {
            m.Entity<Server>();
            m.AddNodeLock<Server>();
            m.Entity<Server>().Property(s => s.Id).HasConversion<byte[]>();
        });

    [Fact]
    public void A_key_that_gets_another_length_later_is_refused_at_start() =>
        RefusedAtStart("the key of BareMetalNode is character varying(90) and the key of nodelock_bare_metal_node "
            + "character varying(64). Configure the entity's key before this call", m =>
        {
            m.Entity<BareMetalNode>().Property(n => n.Id).HasMaxLength(64);
            m.AddNodeLock<BareMetalNode>();
            m.Entity<BareMetalNode>().Property(n => n.Id).HasMaxLength(90);
        }, KindName.OfEntity(typeof(BareMetalNode)));

    [Fact]
    public void A_hierarchy_that_gets_a_table_for_each_class_later_is_refused_at_start() =>
        RefusedAtStart("has a table for each concrete type", m =>
        {
            m.Entity<Root>();
            m.AddNodeLock<Root>();
            m.Entity<Root>().UseTpcMappingStrategy();
            m.Entity<Derived>();
        }, KindName.OfEntity(typeof(Root)));

    [Fact]
    public void A_context_without_the_kind_is_told_what_to_call() =>
        RefusedAtStart("The model of TestContext has no table nodelock_server. Call modelBuilder.AddNodeLock<Server>()",
            m => m.AddNodeLock());

    private static void Refused(string expected, Action<ModelBuilder> build) =>
        Refused<InvalidOperationException>(expected, build);

    private static void Refused<TException>(string expected, Action<ModelBuilder> build)
        where TException : Exception
    {
        TException refusal = Assert.Throws<TException>(() => Build(build));
        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
    }

    private static void RefusedAtStart(string expected, Action<ModelBuilder> build, KindName? kind = null)
    {
        using TestContext context = new(build);
        InvalidOperationException refusal = Assert.Throws<InvalidOperationException>(
            () => context.Reservations(kind ?? KindName.OfEntity(typeof(Server))));
        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
    }

    private static void Build(Action<ModelBuilder> build)
    {
        using TestContext context = new(build);
        _ = context.Model;
    }

    private sealed class Conductors
    {
        public int Id { get; set; }
    }

    private sealed class Keyed
    {
        public int Code { get; set; }

        public int Site { get; set; }

        public decimal Size { get; set; }
    }

    private sealed class Whole
    {
        public int Id { get; set; }

        public Part? Part { get; set; }
    }

    private sealed class Part
    {
        public int Size { get; set; }
    }

    private class Root
    {
        public int Id { get; set; }
    }

    private sealed class Derived : Root;
}
