// The worker of a query over HTTP: reads the task, runs it READ ONLY under the token's role, writes
// results and series as InfluxDB does, or CSV.

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/transaction.hpp"
#include "pg/ingest/http_query.hpp"
#include "pg/ingest/influx_statement.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr int kFetchRows = 1000;

struct Run {
  const QueryTask *task;
  const char *text;
  QueryResult *result;
  // Of the answer that is being written.
  int rows;
  bool in_series, had_series;
  int column_count;
};

[[noreturn]] void Refuse(int sqlstate, const char *message) {
  ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
  pg_unreachable();
}

// ---- writing ----

StringInfo Body(Run *run) {
  return &run->result->body;
}

bool IsCsv(const Run *run) {
  return run->task->answer == AnswerForm::kCsv;
}

void AppendCsv(StringInfo out, const char *text) {
  if (strpbrk(text, ",\"\r\n") == nullptr) {
    appendStringInfoString(out, text);
    return;
  }
  appendStringInfoChar(out, '"');
  for (const char *at = text; *at != '\0'; at++) {
    if (*at == '"') appendStringInfoChar(out, '"');
    appendStringInfoChar(out, *at);
  }
  appendStringInfoChar(out, '"');
}

void AppendString(Run *run, const char *text) {
  const char *utf8 = pg_server_to_any(text, static_cast<int>(strlen(text)), PG_UTF8);
  if (IsCsv(run)) {
    AppendCsv(Body(run), utf8);
  } else {
    escape_json(Body(run), utf8);
  }
}

void EndSeries(Run *run) {
  if (!run->in_series) return;
  if (!IsCsv(run)) appendStringInfoString(Body(run), "]}");
  run->in_series = false;
}

void BeginSeries(Run *run, const char *name, const char *const *columns, int count) {
  EndSeries(run);
  StringInfo out = Body(run);
  run->in_series = true;
  run->column_count = count;
  if (IsCsv(run)) {
    if (!run->had_series) {
      appendStringInfoString(out, "name,tags");
      for (int i = 0; i < count; i++) {
        appendStringInfoChar(out, ',');
        AppendString(run, columns[i]);
      }
      appendStringInfoChar(out, '\n');
    }
    run->had_series = true;
    return;
  }
  appendStringInfoString(out, run->had_series ? ",{\"name\":" : ",\"series\":[{\"name\":");
  run->had_series = true;
  AppendString(run, name);
  appendStringInfoString(out, ",\"columns\":[");
  for (int i = 0; i < count; i++) {
    if (i > 0) appendStringInfoChar(out, ',');
    AppendString(run, columns[i]);
  }
  appendStringInfoString(out, "],\"values\":[");
}

/// Starts a row; the caller writes its values with BeginValue() before each.
void BeginRow(Run *run, const char *name, bool is_first) {
  if (run->rows++ == run->task->max_rows) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("the result has more than %d rows", run->task->max_rows),
                    errhint("Ask for less with LIMIT, or raise tsext.http_query_rows.")));
  }
  if (static_cast<size_t>(Body(run)->len) > kQueryMaxBytes) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("the result has more than %zu bytes", kQueryMaxBytes),
                    errhint("Ask for less with LIMIT.")));
  }
  if (IsCsv(run)) {
    AppendString(run, name);
    appendStringInfoChar(Body(run), ',');
  } else {
    appendStringInfoString(Body(run), is_first ? "[" : ",[");
  }
}

void BeginValue(Run *run, int index) {
  if (IsCsv(run) || index > 0) appendStringInfoChar(Body(run), ',');
}

void EndRow(Run *run) {
  appendStringInfoString(Body(run), IsCsv(run) ? "\n" : "]");
}

void BeginAnswer(Run *run) {
  if (!IsCsv(run)) appendStringInfoString(Body(run), "{\"results\":[{\"statement_id\":0");
}

void EndAnswer(Run *run) {
  EndSeries(run);
  if (!IsCsv(run)) appendStringInfoString(Body(run), run->had_series ? "]}]}\n" : "}]}\n");
}

int64 UnitNs(Epoch epoch) {
  switch (epoch) {
    case Epoch::kMicrosecond:
      return 1000;
    case Epoch::kMillisecond:
      return 1000000;
    case Epoch::kSecond:
      return 1000000000;
    case Epoch::kMinute:
      return INT64CONST(60000000000);
    case Epoch::kHour:
      return INT64CONST(3600000000000);
    default:
      return 1;
  }
}

/// A time as an integer of the epoch's unit or as 2024-01-01T00:00:00.5Z; ±infinity as null.
void AppendTime(Run *run, TimestampTz time) {
  StringInfo out = Body(run);
  if (TIMESTAMP_NOT_FINITE(time)) {
    if (!IsCsv(run)) appendStringInfoString(out, "null");
    return;
  }
  if (run->task->epoch != Epoch::kRfc3339) {
    const int64 unix_us =
        time + int64{POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE} * SECS_PER_DAY * USECS_PER_SEC;
    if (run->task->epoch == Epoch::kNanosecond) {
      int64 ns;
      if (pg_mul_s64_overflow(unix_us, 1000, &ns))
        Refuse(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "a time is out of the range of nanoseconds");
      appendStringInfo(out, INT64_FORMAT, ns);
    } else {
      const int64 unit_us = UnitNs(run->task->epoch) / 1000;
      int64 value = unix_us / unit_us;
      if (unix_us % unit_us < 0) value--;
      appendStringInfo(out, INT64_FORMAT, value);
    }
    return;
  }
  pg_tm tm;
  fsec_t fraction;
  if (timestamp2tm(time, nullptr, &tm, &fraction, nullptr, nullptr) != 0)
    Refuse(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "timestamp out of range");
  const char *quote = IsCsv(run) ? "" : "\"";
  appendStringInfo(out, "%s%04d-%02d-%02dT%02d:%02d:%02d", quote, tm.tm_year, tm.tm_mon, tm.tm_mday,
                   tm.tm_hour, tm.tm_min, tm.tm_sec);
  if (fraction != 0) {
    int digits = 6;
    for (; fraction % 10 == 0; fraction /= 10) digits--;
    appendStringInfo(out, ".%0*d", digits, static_cast<int>(fraction));
  }
  appendStringInfo(out, "Z%s", quote);
}

bool IsFiniteNumber(const char *text) {
  // NaN, Infinity, -Infinity
  return strchr(text, 'n') == nullptr && strchr(text, 'N') == nullptr;
}

void AppendDatum(Run *run, Datum value, bool is_null, Oid type, FmgrInfo *output) {
  StringInfo out = Body(run);
  if (is_null) {
    if (!IsCsv(run)) appendStringInfoString(out, "null");
    return;
  }
  switch (type) {
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
      AppendTime(run, DatumGetTimestampTz(value));
      return;
    case BOOLOID:
      appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
      return;
    default:
      break;
  }
  const char *text = OutputFunctionCall(output, value);
  switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
      appendStringInfoString(out, text);
      break;
    case FLOAT4OID:
    case FLOAT8OID:
    case NUMERICOID:
      appendStringInfoString(out, IsFiniteNumber(text) || IsCsv(run) ? text : "null");
      break;
    case JSONOID:
    case JSONBOID:
      if (IsCsv(run)) {
        AppendString(run, text);
      } else {
        appendStringInfoString(out,
                               pg_server_to_any(text, static_cast<int>(strlen(text)), PG_UTF8));
      }
      break;
    default:
      AppendString(run, text);
  }
}

// ---- SQL ----

/// How a result is cut into series.
enum class SeriesName : uint8_t { kGiven, kFirstColumn };

struct Columns {
  int count;  // of a row that is written
  const char **names;
  Oid *types;
  FmgrInfo *outputs;
};

Columns DescribeColumns(TupleDesc descriptor, int skipped) {
  Columns columns;
  columns.count = descriptor->natts - skipped;
  columns.names = static_cast<const char **>(palloc(sizeof(char *) * (columns.count + 1)));
  columns.types = static_cast<Oid *>(palloc(sizeof(Oid) * (columns.count + 1)));
  columns.outputs = static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo) * (columns.count + 1)));
  for (int i = 0; i < columns.count; i++) {
    Form_pg_attribute attribute = TupleDescAttr(descriptor, i + skipped);
    columns.names[i] = NameStr(attribute->attname);
    columns.types[i] = getBaseType(attribute->atttypid);
    Oid function;
    bool is_varlena;
    getTypeOutputInfo(attribute->atttypid, &function, &is_varlena);
    fmgr_info(function, &columns.outputs[i]);
  }
  return columns;
}

/// Runs one statement and writes its rows. kFirstColumn: it names the series; rows come ordered by
/// it. Memory of a fetch is given back after it.
void WriteRows(Run *run, const char *sql, int argument_count, Oid *types, Datum *arguments,
               SeriesName naming, const char *name) {
  SPIPlanPtr plan = SPI_prepare(sql, argument_count, types);
  if (plan == nullptr) elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
  Portal portal = SPI_cursor_open(nullptr, plan, arguments, nullptr, false);
  const int skipped = naming == SeriesName::kFirstColumn ? 1 : 0;
  MemoryContext memory =
      AllocSetContextCreate(CurrentMemoryContext, "tsext rows", ALLOCSET_DEFAULT_SIZES);
  Columns columns{};
  const char *current = nullptr;
  for (;;) {
    SPI_cursor_fetch(portal, true, kFetchRows);
    if (SPI_processed == 0) break;
    TupleDesc descriptor = SPI_tuptable->tupdesc;
    if (columns.names == nullptr)
      columns = DescribeColumns(CreateTupleDescCopy(descriptor), skipped);
    for (uint64 row = 0; row < SPI_processed; row++) {
      HeapTuple tuple = SPI_tuptable->vals[row];
      bool is_first = !run->in_series;
      if (skipped > 0) {
        char *series = SPI_getvalue(tuple, descriptor, 1);
        if (current == nullptr || strcmp(current, series) != 0) {
          current = series;
          BeginSeries(run, current, columns.names, columns.count);
          is_first = true;
        }
      } else if (!run->in_series) {
        current = name;
        BeginSeries(run, name, columns.names, columns.count);
      }
      MemoryContext caller = MemoryContextSwitchTo(memory);
      BeginRow(run, current, is_first);
      for (int i = 0; i < columns.count; i++) {
        bool is_null;
        const Datum value = SPI_getbinval(tuple, descriptor, i + 1 + skipped, &is_null);
        BeginValue(run, i);
        AppendDatum(run, value, is_null, columns.types[i], &columns.outputs[i]);
      }
      EndRow(run);
      MemoryContextSwitchTo(caller);
      MemoryContextReset(memory);
    }
    SPI_freetuptable(SPI_tuptable);
  }
  SPI_cursor_close(portal);
  EndSeries(run);
}

/// The table a statement reads, when it reads one.
const char *NameOfResult(Node *statement) {
  if (IsA(statement, SelectStmt)) {
    List *from = reinterpret_cast<SelectStmt *>(statement)->fromClause;
    if (list_length(from) == 1 && IsA(linitial(from), RangeVar))
      return linitial_node(RangeVar, from)->relname;
  }
  return "result";
}

void RunSql(Run *run, const char *sql) {
  List *statements = raw_parser(sql, RAW_PARSE_DEFAULT);
  if (list_length(statements) == 0) Refuse(ERRCODE_SYNTAX_ERROR, "the query is empty");
  if (list_length(statements) > 1)
    Refuse(ERRCODE_SYNTAX_ERROR, "only one statement may be sent at a time");
  Node *statement = linitial_node(RawStmt, statements)->stmt;
  if (!IsA(statement, SelectStmt) && !IsA(statement, ExplainStmt) &&
      !IsA(statement, VariableShowStmt)) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("only SELECT, VALUES, WITH, TABLE, EXPLAIN and SHOW run over HTTP")));
  }
  WriteRows(run, sql, 0, nullptr, nullptr, SeriesName::kGiven, NameOfResult(statement));
}

// ---- statements of InfluxQL ----

bool IsOfTheSystem(const char *schema) {
  return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0 ||
         strcmp(schema, "tsext") == 0;
}

/// The schema of a database of the protocol, "" for the request's own.
const char *SchemaOf(const Run *run, const char *database) {
  const QueryTask *task = run->task;
  if (database[0] == '\0' || strcmp(database, task->schema) == 0) return task->schema;
  if (task->is_confined) {
    if (strcmp(database, task->database_name) == 0) return task->schema;
    Refuse(ERRCODE_INVALID_SCHEMA_NAME, psprintf("database not found: %s", database));
  }
  if (strcmp(database, task->database_name) == 0) return task->usual_schema;
  if (strlen(database) >= NAMEDATALEN || IsOfTheSystem(database))
    Refuse(ERRCODE_INVALID_SCHEMA_NAME, psprintf("database not found: %s", database));
  return database;
}

void RequireSchema(const char *schema) {
  if (!OidIsValid(get_namespace_oid(schema, true)))
    Refuse(ERRCODE_INVALID_SCHEMA_NAME, psprintf("database not found: %s", schema));
}

void RequireRight(bool has_it) {
  if (!has_it)
    Refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, "the token does not have the right to do this");
}

// $1 = schema, $2 = names of measurements or NULL.
#define MEASUREMENTS                                                                              \
  "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "          \
  "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped " \
  "WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "                              \
  "AND pg_catalog.has_table_privilege(c.oid, 'SELECT') "                                          \
  "AND EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid "                   \
  "AND t.attname = 'time' AND NOT t.attisdropped "                                                \
  "AND t.atttypid = 'pg_catalog.timestamptz'::pg_catalog.regtype) "                               \
  "AND ($2 IS NULL OR c.relname = ANY ($2)) "
#define IS_TAG "pg_catalog.col_description(c.oid, a.attnum) = 'tag'"

constexpr const char *kShowMeasurements =
    "SELECT DISTINCT 'measurements'::text, c.relname AS name " MEASUREMENTS "ORDER BY 2";
constexpr const char *kShowTagKeys = "SELECT c.relname, a.attname AS \"tagKey\" " MEASUREMENTS
                                     "AND " IS_TAG " ORDER BY c.relname, a.attnum";
constexpr const char *kShowFieldKeys =
    "SELECT c.relname, a.attname AS \"fieldKey\", CASE a.atttypid::pg_catalog.regtype::text "
    "WHEN 'double precision' THEN 'float' WHEN 'real' THEN 'float' WHEN 'bigint' THEN 'integer' "
    "WHEN 'integer' THEN 'integer' WHEN 'smallint' THEN 'integer' WHEN 'numeric' THEN 'unsigned' "
    "WHEN 'boolean' THEN 'boolean' ELSE 'string' END AS \"fieldType\" " MEASUREMENTS
    "AND a.attname NOT IN ('time', 'time_ns') AND " IS_TAG
    " IS NOT TRUE ORDER BY c.relname, a.attnum";
constexpr const char *kShowDatabases =
    "SELECT 'databases'::text, n.nspname AS name FROM pg_catalog.pg_namespace n "
    "WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND ($1 IS NULL OR n.nspname = $1) "
    "AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'tsext') "
    "ORDER BY 2";
constexpr const char *kShowRetentionPolicies =
    "SELECT 'policies'::text, 'autogen'::text AS name, '0s'::text AS duration, "
    "'168h0m0s'::text AS \"shardGroupDuration\", 1 AS \"replicaN\", true AS \"default\" "
    "WHERE $1 IS NOT NULL";
constexpr const char *kTagColumns = "SELECT c.relname, a.attname " MEASUREMENTS "AND " IS_TAG
                                    " AND a.attname = ANY ($3) ORDER BY c.relname, a.attnum";

ArrayType *NameArray(List *names) {
  if (names == NIL) return nullptr;
  auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * list_length(names)));
  int count = 0;
  ListCell *cell;
  foreach (cell, names) values[count++] = CStringGetTextDatum(static_cast<char *>(lfirst(cell)));
  return construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/// A statement with NULLs among its arguments, whose rows are few. Left in SPI_tuptable.
void Execute(const char *sql, int count, Oid *types, Datum *arguments, const char *nulls) {
  if (SPI_execute_with_args(sql, count, types, arguments, nulls, false, 0) < 0)
    elog(ERROR, "could not run: %s", SPI_result_code_string(SPI_result));
}

/// Rows of Execute(), the first column naming the series.
void WriteExecuted(Run *run, int64 limit) {
  SPITupleTable *table = SPI_tuptable;
  const uint64 count = limit >= 0 && static_cast<uint64>(limit) < table->numvals
                           ? static_cast<uint64>(limit)
                           : table->numvals;
  const Columns columns = DescribeColumns(table->tupdesc, 1);
  const char *current = nullptr;
  for (uint64 row = 0; row < count; row++) {
    const char *series = SPI_getvalue(table->vals[row], table->tupdesc, 1);
    const bool is_first = current == nullptr || strcmp(current, series) != 0;
    if (is_first) BeginSeries(run, series, columns.names, columns.count);
    current = series;
    BeginRow(run, current, is_first);
    for (int i = 0; i < columns.count; i++) {
      bool is_null;
      const Datum value = SPI_getbinval(table->vals[row], table->tupdesc, i + 2, &is_null);
      BeginValue(run, i);
      AppendDatum(run, value, is_null, columns.types[i], &columns.outputs[i]);
    }
    EndRow(run);
  }
  EndSeries(run);
}

void ShowTagValues(Run *run, const char *schema, const InfluxStatement &statement) {
  Oid types[3] = {NAMEOID, TEXTARRAYOID, TEXTARRAYOID};
  ArrayType *measurements = NameArray(statement.measurements);
  Datum arguments[3] = {CStringGetDatum(schema), PointerGetDatum(measurements),
                        PointerGetDatum(NameArray(statement.keys))};
  Execute(kTagColumns, 3, types, arguments, measurements == nullptr ? " n " : "   ");
  SPITupleTable *found = SPI_tuptable;
  StringInfoData sql;
  initStringInfo(&sql);
  for (uint64 row = 0; row < found->numvals; row++) {
    const char *table = SPI_getvalue(found->vals[row], found->tupdesc, 1);
    const char *column = SPI_getvalue(found->vals[row], found->tupdesc, 2);
    if (row > 0) appendStringInfoString(&sql, " UNION ALL ");
    appendStringInfo(&sql,
                     "(SELECT DISTINCT %s::text AS name, %s::text AS key, %s::text AS value FROM "
                     "%s WHERE %s IS NOT NULL)",
                     quote_literal_cstr(table), quote_literal_cstr(column),
                     quote_identifier(column), quote_qualified_identifier(schema, table),
                     quote_identifier(column));
  }
  if (sql.len == 0) return;
  appendStringInfoString(&sql, " ORDER BY 1, 2, 3");
  if (statement.limit >= 0) appendStringInfo(&sql, " LIMIT " INT64_FORMAT, statement.limit);
  WriteRows(run, sql.data, 0, nullptr, nullptr, SeriesName::kFirstColumn, nullptr);
}

void Show(Run *run, const InfluxStatement &statement) {
  RequireRight(run->task->may_read);
  Oid types[2] = {NAMEOID, TEXTARRAYOID};
  if (statement.kind == InfluxKind::kShowDatabases) {
    Datum schema = CStringGetDatum(run->task->schema);
    Execute(kShowDatabases, 1, types, &schema, run->task->is_confined ? " " : "n");
    WriteExecuted(run, statement.limit);
    return;
  }
  const char *schema = SchemaOf(run, statement.database);
  RequireSchema(schema);
  ArrayType *measurements = NameArray(statement.measurements);
  Datum arguments[2] = {CStringGetDatum(schema), PointerGetDatum(measurements)};
  const char *nulls = measurements == nullptr ? " n" : "  ";
  switch (statement.kind) {
    case InfluxKind::kShowMeasurements:
      Execute(kShowMeasurements, 2, types, arguments, nulls);
      break;
    case InfluxKind::kShowTagKeys:
      Execute(kShowTagKeys, 2, types, arguments, nulls);
      break;
    case InfluxKind::kShowFieldKeys:
      Execute(kShowFieldKeys, 2, types, arguments, nulls);
      break;
    case InfluxKind::kShowTagValues:
      ShowTagValues(run, schema, statement);
      return;
    default:
      Execute(kShowRetentionPolicies, 1, types, arguments, " ");
  }
  WriteExecuted(run, statement.limit);
}

void CreateDatabase(Run *run, const char *database) {
  RequireRight(run->task->may_write);
  const QueryTask *task = run->task;
  if (strcmp(database, task->database_name) == 0 || strcmp(database, task->usual_schema) == 0 ||
      OidIsValid(get_namespace_oid(database, true)))
    return;
  if (task->is_confined && strcmp(database, task->schema) != 0) RequireRight(false);
  if (!task->may_create) Refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, "tsext.auto_create is off");
  if (strlen(database) >= NAMEDATALEN || IsOfTheSystem(database) || database[0] == '\0')
    Refuse(ERRCODE_RESERVED_NAME, psprintf("invalid name of a database: %s", database));
  XactReadOnly = false;
  if (SPI_execute(psprintf("CREATE SCHEMA IF NOT EXISTS %s", quote_identifier(database)), false,
                  0) < 0)
    elog(ERROR, "could not create a schema: %s", SPI_result_code_string(SPI_result));
}

// ---- the JSON form ----

constexpr const char *kReadJson =
    "SELECT j->>'measurement', j#>>'{time_range,start}', j#>>'{time_range,end}', "
    "lower(j#>>'{aggregation,function}'), j#>>'{aggregation,field}', "
    "j#>>'{aggregation,interval_nanos}' FROM (SELECT $1::jsonb AS j) q";
constexpr const char *kReadFilters =
    "SELECT f->>'key', f->>'value', lower(coalesce(f->>'op', 'eq')) "
    "FROM jsonb_array_elements(coalesce(nullif($1::jsonb->'tag_filters', 'null'), '[]')) f";

int64 JsonInteger(const char *text, const char *what) {
  char *end;
  errno = 0;
  const int64 value = strtoll(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0')
    Refuse(ERRCODE_INVALID_PARAMETER_VALUE, psprintf("%s is not an integer", what));
  return value;
}

/// Nanoseconds since 1970 as a literal; rounded down to microseconds.
const char *TimeLiteral(int64 ns) {
  int64 us = ns / 1000;
  if (ns % 1000 < 0) us--;
  us -= int64{POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE} * SECS_PER_DAY * USECS_PER_SEC;
  return psprintf("'%s'::pg_catalog.timestamptz", timestamptz_to_str(us));
}

const char *FilterOperator(const char *op) {
  static const struct {
    const char *name, *sql;
  } operators[] = {{"eq", "="},     {"=", "="},         {"ne", "<>"},       {"neq", "<>"},
                   {"noteq", "<>"}, {"!=", "<>"},       {"regex", "~"},     {"match", "~"},
                   {"=~", "~"},     {"notregex", "!~"}, {"notmatch", "!~"}, {"!~", "!~"},
                   {"gt", ">"},     {"lt", "<"},        {"gte", ">="},      {"lte", "<="},
                   {"ge", ">="},    {"le", "<="}};
  for (const auto &known : operators) {
    if (strcmp(op, known.name) == 0) return known.sql;
  }
  Refuse(ERRCODE_INVALID_PARAMETER_VALUE, psprintf("unknown op of a tag filter: %s", op));
}

/// The aggregate of a function's name over a quoted column.
const char *Aggregate(const char *function, const char *column, const char *extension_schema) {
  static const struct {
    const char *name, *sql;
  } aggregates[] = {{"mean", "avg"}, {"avg", "avg"},       {"average", "avg"},
                    {"sum", "sum"},  {"count", "count"},   {"min", "min"},
                    {"max", "max"},  {"stddev", "stddev"}, {"variance", "variance"}};
  if (strcmp(function, "first") == 0 || strcmp(function, "last") == 0)
    return psprintf("%s.%s(%s, \"time\")", extension_schema, function, column);
  if (strcmp(function, "median") == 0)
    return psprintf("percentile_cont(0.5) WITHIN GROUP (ORDER BY %s)", column);
  for (const auto &known : aggregates) {
    if (strcmp(function, known.name) == 0) return psprintf("pg_catalog.%s(%s)", known.sql, column);
  }
  Refuse(ERRCODE_INVALID_PARAMETER_VALUE,
         psprintf("unknown function of an aggregation: %s", function));
}

/// Where time_bucket(), first() and last() are, quoted.
const char *ExtensionSchema() {
  Execute(
      "SELECT extnamespace::pg_catalog.regnamespace::text FROM pg_catalog.pg_extension "
      "WHERE extname = 'tsext'",
      0, nullptr, nullptr, nullptr);
  return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

void AppendConditions(StringInfo sql, const char *start, const char *end, Datum json) {
  const char *joint = " WHERE ";
  if (start != nullptr) {
    appendStringInfo(sql, "%s\"time\" >= %s", joint, TimeLiteral(JsonInteger(start, "start")));
    joint = " AND ";
  }
  if (end != nullptr && JsonInteger(end, "end") != PG_INT64_MAX) {
    appendStringInfo(sql, "%s\"time\" < %s", joint, TimeLiteral(JsonInteger(end, "end")));
    joint = " AND ";
  }
  Oid type = TEXTOID;
  Execute(kReadFilters, 1, &type, &json, " ");
  for (uint64 row = 0; row < SPI_processed; row++) {
    HeapTuple tuple = SPI_tuptable->vals[row];
    const char *key = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
    const char *value = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
    if (key == nullptr || value == nullptr)
      Refuse(ERRCODE_INVALID_PARAMETER_VALUE, "a tag filter needs key and value");
    appendStringInfo(sql, "%s%s::text %s %s", joint, quote_identifier(key),
                     FilterOperator(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3)),
                     quote_literal_cstr(value));
    joint = " AND ";
  }
}

void RunJson(Run *run) {
  Oid type = TEXTOID;
  Datum json = CStringGetTextDatum(run->text);
  Execute(kReadJson, 1, &type, &json, " ");
  const char *values[6];
  for (int i = 0; i < 6; i++)
    values[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);
  const char *measurement = values[0], *function = values[3], *field = values[4];
  if (measurement == nullptr)
    Refuse(ERRCODE_INVALID_PARAMETER_VALUE, "the query has no measurement");
  StringInfoData sql;
  initStringInfo(&sql);
  if (function == nullptr) {
    appendStringInfoString(&sql, "SELECT *");
  } else {
    if (field == nullptr) Refuse(ERRCODE_INVALID_PARAMETER_VALUE, "the aggregation has no field");
    const char *schema = ExtensionSchema();
    appendStringInfoString(&sql, "SELECT ");
    if (values[5] != nullptr) {
      const int64 interval_ns = JsonInteger(values[5], "interval_nanos");
      if (interval_ns < 1000)
        Refuse(ERRCODE_INVALID_PARAMETER_VALUE, "interval_nanos must be at least 1000");
      appendStringInfo(&sql,
                       "%s.time_bucket('" INT64_FORMAT
                       " microseconds'::pg_catalog.interval, \"time\") AS \"time\", ",
                       schema, interval_ns / 1000);
    }
    appendStringInfo(&sql, "%s AS %s", Aggregate(function, quote_identifier(field), schema),
                     quote_identifier(function));
  }
  appendStringInfo(&sql, " FROM %s", quote_qualified_identifier(run->task->schema, measurement));
  AppendConditions(&sql, values[1], values[2], json);
  if (function == nullptr) {
    appendStringInfoString(&sql, " ORDER BY \"time\"");
  } else if (values[5] != nullptr) {
    appendStringInfoString(&sql, " GROUP BY 1 ORDER BY 1");
  }
  WriteRows(run, sql.data, 0, nullptr, nullptr, SeriesName::kGiven, measurement);
}

// ---- the transaction ----

void RunBody(void *state) {
  auto *run = static_cast<Run *>(state);
  const QueryTask *task = run->task;
  XactReadOnly = true;
  if (task->timeout_ms > 0) enable_timeout_after(STATEMENT_TIMEOUT, task->timeout_ms);
  SetUserIdAndSecContext(OidIsValid(task->role) ? task->role : GetSessionUserId(),
                         SECURITY_LOCAL_USERID_CHANGE);
  SetConfigOption("search_path", psprintf("%s, public", quote_identifier(task->schema)),
                  PGC_USERSET, PGC_S_SESSION);
  SPI_connect();
  BeginAnswer(run);
  const InfluxStatement statement =
      task->form == QueryForm::kText ? ParseInfluxStatement(run->text) : InfluxStatement();
  switch (statement.kind) {
    case InfluxKind::kNothing:
      break;
    case InfluxKind::kCreateDatabase:
      CreateDatabase(run, statement.database);
      break;
    case InfluxKind::kNone:
      RequireRight(task->may_read);
      RequireSchema(task->schema);
      if (task->form == QueryForm::kJson) {
        RunJson(run);
      } else {
        RunSql(run, run->text);
      }
      break;
    default:
      Show(run, statement);
  }
  EndAnswer(run);
  SPI_finish();
  SetUserIdAndSecContext(GetSessionUserId(), 0);
  if (task->timeout_ms > 0) disable_timeout(STATEMENT_TIMEOUT, false);
}

int HttpStatus(int sqlstate) {
  switch (sqlstate) {
    case ERRCODE_INVALID_SCHEMA_NAME:
      return 404;
    case ERRCODE_INSUFFICIENT_PRIVILEGE:
      return 403;
    case ERRCODE_QUERY_CANCELED:
      return 408;
    default:
      break;
  }
  switch (ERRCODE_TO_CATEGORY(sqlstate)) {
    case MAKE_SQLSTATE('5', '3', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '7', '0', '0', '0'):
      return 503;
    case MAKE_SQLSTATE('X', 'X', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '8', '0', '0', '0'):
      return 500;
    default:
      return 400;
  }
}

}  // namespace

void RunQueryTask(const QueryTask *task, const char *text, QueryResult *result) {
  Run run{};
  run.task = task;
  run.text = text;
  run.result = result;
  initStringInfo(&result->body);
  result->status = 200;
  const ErrorData *error = TryTransaction(RunBody, &run);
  if (error == nullptr) return;
  result->status = HttpStatus(error->sqlerrcode);
  resetStringInfo(&result->body);
  appendStringInfoString(&result->body, error->message);
  if (error->detail != nullptr) appendStringInfo(&result->body, " (%s)", error->detail);
}

}  // namespace tsext::pg

void tsext_query_worker_main(Datum argument) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the worker's entry point
  Enter([argument] {
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    dsm_segment *segment = dsm_attach(DatumGetUInt32(argument));
    if (segment == nullptr) return;  // the listener has gone
    shm_toc *contents = shm_toc_attach(kQueryMagic, dsm_segment_address(segment));
    const auto *task =
        static_cast<const QueryTask *>(shm_toc_lookup(contents, kQueryKeyTask, false));
    const auto *text = static_cast<const char *>(shm_toc_lookup(contents, kQueryKeyText, false));
    auto *queue = static_cast<shm_mq *>(shm_toc_lookup(contents, kQueryKeyQueue, false));
    shm_mq_set_sender(queue, MyProc);
    shm_mq_handle *answer = shm_mq_attach(queue, segment, nullptr);
    BackgroundWorkerInitializeConnectionByOid(task->database, task->session_role, 0);
    SetConfigOption("TimeZone", "UTC", PGC_USERSET, PGC_S_SESSION);
    SetConfigOption("DateStyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION);

    // The text is other people's data as any query's; pg_stat_activity shows it to whom it may.
    pgstat_report_activity(STATE_RUNNING, text);
    MemoryContextSwitchTo(TopMemoryContext);
    QueryResult result;
    RunQueryTask(task, text, &result);
    const QueryAnswer head{result.status};
    shm_mq_iovec parts[2] = {{reinterpret_cast<const char *>(&head), sizeof head},
                             {result.body.data, static_cast<Size>(result.body.len)}};
    (void)shm_mq_sendv(answer, parts, 2, false, true);
    dsm_detach(segment);
  });
}
