using Npgsql;

namespace NodeLock.EntityFrameworkCore;

/// <summary>Compares what a database really has with what the statements count on. Run once, at start.</summary>
internal static class SchemaSql
{
    // $1 tables  $2 their columns  $3 types  $4 never null  $5 with a default  $6 alone in a unique index  $7 node ids
    // $8 the sequence; one element for each column. to_regclass finds a name as a statement would, by the search path
    // where no schema is given, and takes it in SQL's spelling.
    //
    // What each line protects: an insert on first use needs the defaults, and the unique index so that a node has one
    // row; a table that is not logged forgets its reservations in a crash; text that is equal without being the same
    // (citext, char(n), a non-deterministic collation: the manual, 24.2.2.4) would be one row and two nodes; a sequence
    // with a cache hands out later tokens that are smaller.
    private const string Query =
        """
        with expected as (
          select e.*, to_regclass(e.tbl) as rel
          from unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::bool[], $6::bool[], $7::bool[])
            with ordinality as e(tbl, col, type, not_null, with_default, is_unique, is_id, place)),
        tables as (
          select e.tbl, e.rel, c.relkind, c.relpersistence, min(e.place) as place
          from expected e left join pg_class c on c.oid = e.rel group by 1, 2, 3, 4),
        columns as (
          select e.*, a.attnum, a.atttypid, a.attnotnull, a.atthasdef, o.collname, o.collisdeterministic,
            format_type(a.atttypid, a.atttypmod) as has_type, format_type(a.atttypid, null) as bare_type
          from expected e
          left join pg_attribute a on a.attrelid = e.rel and a.attname = e.col and a.attnum > 0 and not a.attisdropped
          left join pg_collation o on o.oid = a.attcollation
          where e.rel is not null),
        sequences as (
          select $8 as seq, s.*, c.relpersistence
          from (select to_regclass($8) as rel) r
          left join pg_sequence s on s.seqrelid = r.rel left join pg_class c on c.oid = s.seqrelid),
        problems as (
          select place, 1 as line, 'table ' || tbl as object, 'is missing' as problem from tables where rel is null
          union all
          select place, 2, 'table ' || tbl, 'is not a table' from tables where relkind not in ('r', 'p')
          union all
          select place, 3, 'table ' || tbl, 'is not logged, so that a crash empties it' from tables
          where relkind in ('r', 'p') and relpersistence <> 'p'
          union all
          select c.place, p.line, 'column ' || c.tbl || '.' || quote_ident(c.col), p.problem
          from columns c cross join lateral (values
            (4, case when attnum is null then 'is missing' end),
            (5, case when atttypid <> to_regtype(type) or (attnum is not null and to_regtype(type) is null)
                     then 'is ' || has_type || ', and the model says ' || type end),
            (6, case when is_id and bare_type not in ('text', 'character varying', 'uuid', 'integer', 'bigint')
                     then 'is ' || has_type || '; node ids are text, character varying, uuid, integer or bigint' end),
            (7, case when not collisdeterministic then 'has the non-deterministic collation ' || collname end),
            (8, case when not_null and not attnotnull then 'may be null' end),
            (9, case when with_default and not atthasdef then 'has no default' end),
            (10, case when is_unique and attnum is not null and not exists (
                   select from pg_index i
                   where i.indrelid = rel and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
                     and i.indnkeyatts = 1 and i.indkey[0] = attnum)
                 then 'is no primary key' end)) as p(line, problem)
          where p.problem is not null
          union all
          select 1000, p.line, 'sequence ' || s.seq, p.problem
          from sequences s cross join lateral (values
            (1, case when seqrelid is null then 'is missing' end),
            (2, case when seqtypid <> 'bigint'::regtype then 'is not of type bigint' end),
            (3, case when seqincrement <> 1 then 'has increment ' || seqincrement || ' instead of 1' end),
            (4, case when seqcache <> 1 then 'has cache ' || seqcache || ' instead of 1' end),
            (5, case when seqcycle then 'starts again at its end' end),
            (6, case when relpersistence <> 'p' then 'is not logged, so that a crash sets it back' end)
            ) as p(line, problem)
          where p.problem is not null)
        select object, problem from problems order by place, line
        """;

    /// <summary>What a database lacks of a model, each as "object problem"; empty when it has everything.</summary>
    public static IReadOnlyList<string> Check(NpgsqlConnection connection, ReservationModel model)
    {
        IReadOnlyList<ExpectedColumn> columns = ExpectedColumn.Of(model);
        using NpgsqlCommand command = new(Query, connection)
        {
            Parameters =
            {
                new() { Value = columns.Select(c => c.Table).ToArray() },
                new() { Value = columns.Select(c => c.Name).ToArray() },
                new() { Value = columns.Select(c => c.Type).ToArray() },
                new() { Value = columns.Select(c => c.NotNull).ToArray() },
                new() { Value = columns.Select(c => c.HasDefault).ToArray() },
                new() { Value = columns.Select(c => c.IsUnique).ToArray() },
                new() { Value = columns.Select(c => c.IsNodeId).ToArray() },
                new() { Value = model.Sequence },
            },
        };
        using NpgsqlDataReader reader = command.ExecuteReader();
        List<string> problems = [];
        while (reader.Read()) problems.Add($"{reader.GetString(0)} {reader.GetString(1)}");

        return problems;
    }

    /// <exception cref="InvalidOperationException">The database lacks something; the message says what to
    /// do.</exception>
    public static void Demand(NpgsqlConnection connection, ReservationModel model)
    {
        if (Check(connection, model) is { Count: > 0 } problems) throw Refused(model.ContextName, problems);
    }

    /// <summary>The exception for what <see cref="Check"/> found.</summary>
    public static InvalidOperationException Refused(
        string contextName, IReadOnlyList<string> problems, Exception? cause = null) => new(
        $"The database of {contextName} does not have what NodeLock needs: {string.Join("; ", problems)}. If a "
        + "migration is missing, run 'dotnet ef migrations add AddNodeLock' and 'dotnet ef database update', or apply "
        + "the migrations that you have.", cause);
}
