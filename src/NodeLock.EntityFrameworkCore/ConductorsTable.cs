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
        _ = model.HasSequence<long>(FencingToken).StartsAt(1).IncrementsBy(1).IsCyclic(false);
        if (model.Model.FindEntityType(Name) is null)
        {
            _ = model.SharedTypeEntity<Dictionary<string, object>>(Name, Build);
        }
    }

    private static void Build(TableBuilder table)
    {
        // The heartbeat updates these rows more often than any other: half a page is left for HOT updates.
        _ = table.ToTable(Name, t => t.HasCheckConstraint(
                "ck_nodelock_conductors_state", "state in ('alive', 'dead', 'fenced', 'left')"))
            .HasStorageParameter("fillfactor", 50);
        _ = table.Required<string>(Holder, "text");
        _ = table.HasKey(Holder);
        _ = table.Required<string>(Kind, "text");
        _ = table.Required<string>(ConductorName, "text");
        _ = table.Optional<string>(Host, "text");
        _ = table.Optional<int?>(ProcessId, "integer");
        _ = table.Required<string>(State, "text");
        _ = table.Required<DateTimeOffset>(StartedAt, "timestamp with time zone");
        _ = table.Required<DateTimeOffset>(HeartbeatAt, "timestamp with time zone");
        _ = table.Required<DateTimeOffset>(ExpiresAt, "timestamp with time zone");
        _ = table.Required<bool>(RequiresFence, "boolean").HasDefaultValue(false);
        _ = table.Optional<string>(FencedBy, "text");
    }
}
