using System.Text.RegularExpressions;

namespace NodeLock.EntityFrameworkCore;

/// <summary>
/// Statements are written with [names] in brackets, which stand for the tables and columns of the user's model; this
/// puts the real ones in, as the model's provider quotes them.
/// </summary>
internal sealed partial class SqlTemplate(ReservationModel model)
{
    // Everything that draws a token, registers, renews or declares dead must outlive a crash of the server, also where
    // the database's default is not to wait for the disk. Never lowers a setting that asks for more.
    private const string Durable = "case when current_setting('synchronous_commit') = 'off' "
        + "then set_config('synchronous_commit', 'on', true) end as durable";

    private readonly Dictionary<string, string> names = new()
    {
        ["nodes"] = model.Table.Sql,
        ["id"] = model.Columns.Id,
        ["reservation"] = model.Columns.Reservation,
        ["token"] = model.Columns.Token,
        ["purpose"] = model.Columns.Purpose,
        ["reserved_at"] = model.Columns.ReservedAt,
        ["conductors"] = model.Conductors.Sql,
        ["holder"] = model.ConductorColumns.Holder,
        ["kind"] = model.ConductorColumns.Kind,
        ["name"] = model.ConductorColumns.Name,
        ["host"] = model.ConductorColumns.Host,
        ["process_id"] = model.ConductorColumns.ProcessId,
        ["state"] = model.ConductorColumns.State,
        ["started_at"] = model.ConductorColumns.StartedAt,
        ["heartbeat_at"] = model.ConductorColumns.HeartbeatAt,
        ["expires_at"] = model.ConductorColumns.ExpiresAt,
        ["entity"] = model.Entity?.Sql ?? "",
        ["entity_id"] = model.EntityId ?? "",
        ["next_token"] = $"nextval({model.SequenceLiteral})",
        ["durable"] = Durable,
    };

    public string Render(string template) => Name().Replace(template, match => names[match.Groups["name"].Value]);

    [GeneratedRegex(@"\[(?<name>\w+)\]", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Name();
}
