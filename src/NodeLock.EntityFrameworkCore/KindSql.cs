namespace NodeLock.EntityFrameworkCore;

/// <summary>All statements, as they are for one kind of a model.</summary>
internal sealed class KindSql
{
    public KindSql(ReservationModel model)
    {
        SqlTemplate template = new(model);
        bool nodesAreRows = model.Entity is not null;
        Reservations = new ReservationSql(template, nodesAreRows);
        Shared = new SharedSql(template);
        Many = new ManySql(template, nodesAreRows);
        Conductors = new ConductorSql(template);
        Fence = new FenceSql(template);
        Guard = new GuardSql(template);
    }

    public ReservationSql Reservations { get; }

    public SharedSql Shared { get; }

    public ManySql Many { get; }

    public ConductorSql Conductors { get; }

    public FenceSql Fence { get; }

    public GuardSql Guard { get; }
}
