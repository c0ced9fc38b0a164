using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

#pragma warning disable CA1814 // Prefer jagged arrays over multidimensional

namespace NodeLock.ConductorService.Migrations
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateSequence(
                name: "nodelock_fencing_token");

            migrationBuilder.CreateTable(
                name: "nodelock_conductors",
                columns: table => new
                {
                    holder = table.Column<string>(type: "text", nullable: false),
                    kind = table.Column<string>(type: "text", nullable: false),
                    name = table.Column<string>(type: "text", nullable: false),
                    host = table.Column<string>(type: "text", nullable: true),
                    process_id = table.Column<int>(type: "integer", nullable: true),
                    state = table.Column<string>(type: "text", nullable: false),
                    started_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    heartbeat_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    expires_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    requires_fence = table.Column<bool>(type: "boolean", nullable: false, defaultValue: false),
                    fenced_by = table.Column<string>(type: "text", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_nodelock_conductors", x => x.holder);
                    table.CheckConstraint("ck_nodelock_conductors_state", "state in ('alive', 'dead', 'fenced', 'left')");
                })
                .Annotation("Npgsql:StorageParameter:fillfactor", 50);

            migrationBuilder.CreateTable(
                name: "nodes",
                columns: table => new
                {
                    id = table.Column<string>(type: "character varying(64)", maxLength: 64, nullable: false),
                    power = table.Column<string>(type: "character varying(3)", maxLength: 3, nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_nodes", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "nodelock_node",
                columns: table => new
                {
                    id = table.Column<string>(type: "character varying(64)", maxLength: 64, nullable: false),
                    reservation = table.Column<string>(type: "text", nullable: true),
                    reservation_token = table.Column<long>(type: "bigint", nullable: false, defaultValue: 0L),
                    reservation_purpose = table.Column<string>(type: "text", nullable: true),
                    reserved_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    reservation_shared = table.Column<string[]>(type: "text[]", nullable: false, defaultValueSql: "'{}'"),
                    reservation_wanted_until = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    reservation_writer_until = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_nodelock_node", x => x.id);
                    table.ForeignKey(
                        name: "FK_nodelock_node_nodes_id",
                        column: x => x.id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                })
                .Annotation("Npgsql:StorageParameter:fillfactor", 80);

            migrationBuilder.InsertData(
                table: "nodes",
                columns: new[] { "id", "power" },
                values: new object[,]
                {
                    { "bm-01", "off" },
                    { "bm-02", "off" },
                    { "bm-03", "off" },
                    { "bm-04", "off" },
                    { "bm-05", "off" },
                    { "bm-06", "off" },
                    { "bm-07", "off" },
                    { "bm-08", "off" },
                    { "bm-09", "off" },
                    { "bm-10", "off" },
                    { "bm-11", "off" },
                    { "bm-12", "off" },
                    { "bm-13", "off" },
                    { "bm-14", "off" },
                    { "bm-15", "off" },
                    { "bm-16", "off" },
                    { "bm-17", "off" },
                    { "bm-18", "off" },
                    { "bm-19", "off" },
                    { "bm-20", "off" }
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "nodelock_conductors");

            migrationBuilder.DropTable(
                name: "nodelock_node");

            migrationBuilder.DropTable(
                name: "nodes");

            migrationBuilder.DropSequence(
                name: "nodelock_fencing_token");
        }
    }
}
