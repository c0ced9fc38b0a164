using Microsoft.EntityFrameworkCore;
using TableBuilder = Microsoft.EntityFrameworkCore.Metadata.Builders.EntityTypeBuilder<
    System.Collections.Generic.Dictionary<string, object>>;

namespace NodeLock.EntityFrameworkCore;

/// <summary>What all kinds of a model share: the conductors, and the sequence that fencing tokens come from.</summary>
internal static class ConductorsTable
{
    public const string Name = "nodelock_conductors";
    public const string FencingToken = "nodelock_fencing_token";

    public const string Holder = "holder";
    public const string Kind = "kind";
    public const string ConductorName = "name";
    public const string Host = "host";
    public const string ProcessId = "process_id";
    public const string State = "state";
    public const string StartedAt = "started_at";
    public const string HeartbeatAt = "heartbeat_at";
    public const string ExpiresAt = "expires_at";
    public const string RequiresFence = "requires_fence";
    public const string FencedBy = "fenced_by";

    public static void Ensure(ModelBuilder model)
    {
        // PostgreSQL's defaults for the rest: bigint, no cycle, and cache 1, without which tokens would not grow in
        // the order in which they are drawn (the manual on CREATE SEQUENCE, "Notes").
        model.HasSequence<long>(FencingToken).StartsAt(1).IncrementsBy(1).IsCyclic(false);
        if (model.Model.FindEntityType(Name) is null)
            model.SharedTypeEntity<Dictionary<string, object>>(Name, Build);
    }

    private static void Build(TableBuilder table)
    {
        // The heartbeat updates these rows more often than any other: half a page is left for HOT updates.
        table.ToTable(Name, t => t.HasCheckConstraint(
                "ck_nodelock_conductors_state", "state in ('alive', 'dead', 'fenced', 'left')"))
            .HasStorageParameter("fillfactor", 50);
        table.Required<string>(Holder, "text");
        table.HasKey(Holder);
        table.Required<string>(Kind, "text");
        table.Required<string>(ConductorName, "text");
        table.Optional<string>(Host, "text");
        table.Optional<int?>(ProcessId, "integer");
        table.Required<string>(State, "text");
        table.Required<DateTimeOffset>(StartedAt, "timestamp with time zone");
        table.Required<DateTimeOffset>(HeartbeatAt, "timestamp with time zone");
        table.Required<DateTimeOffset>(ExpiresAt, "timestamp with time zone");
        table.Required<bool>(RequiresFence, "boolean").HasDefaultValue(false);
        table.Optional<string>(FencedBy, "text");
    }
}
