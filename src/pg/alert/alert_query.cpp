#include "pg/alert/alert_query.hpp"

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/transaction.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
}

namespace tsext::pg {

namespace {

constexpr int kFetchRows = 1000;
constexpr int kMaxLabelBytes = 8192;
constexpr int kConditionColumn = 1;  // the query's columns follow

/// Where a run is, which tells what an error is about.
enum class Step : uint8_t { kQuery, kCondition, kPlan };

/// Check plans the query and opens it, which asks for privileges, but fetches nothing.
enum class Extent : uint8_t { kCheck, kRun };

struct Run {
  const Alert *alert;
  Extent extent;
  MemoryContext memory;  // of the rows
  Step step;
  // In characters of the statement, for positions of errors.
  int condition_start, condition_length, query_start, query_length;
  AlertRows *result;
};

// ---- one SELECT and one expression ----

/// The SELECT that `text` consists of, without its semicolon.
const char *OnlySelect(const char *text) {
  List *statements = raw_parser(text, RAW_PARSE_DEFAULT);
  if (list_length(statements) != 1) {
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                    statements == NIL ? errmsg("the query is empty")
                                      : errmsg("the query has more than one statement")));
  }
  const auto *statement = linitial_node(RawStmt, statements);
  if (!IsA(statement->stmt, SelectStmt) ||
      reinterpret_cast<SelectStmt *>(statement->stmt)->intoClause != nullptr) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query is not a plain SELECT")));
  }
  const char *start = text + statement->stmt_location;
  return statement->stmt_len == 0 ? start : pnstrdup(start, statement->stmt_len);
}

/// Raises unless `text` is one expression: put between parentheses it stays there.
void CheckExpression(const char *text) {
  List *statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
  const auto *statement = linitial_node(RawStmt, statements);
  const auto *parsed = castNode(SelectStmt, statement->stmt);
  const bool is_expression = list_length(parsed->targetList) == 1 &&
                             linitial_node(ResTarget, parsed->targetList)->name == nullptr &&
                             parsed->distinctClause == NIL && parsed->fromClause == NIL &&
                             parsed->whereClause == nullptr && parsed->groupClause == NIL &&
                             parsed->havingClause == nullptr && parsed->windowClause == NIL &&
                             parsed->sortClause == NIL && parsed->limitOffset == nullptr &&
                             parsed->limitCount == nullptr && parsed->lockingClause == NIL;
  if (!is_expression) {
    ereport(ERROR,
            (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the condition is not a single expression")));
  }
}

int Characters(const char *text, int bytes) {
  return pg_mbstrlen_with_len(text, bytes);
}

/// SELECT (condition), q.* FROM (query) q. A line of its own ends a comment of either.
const char *Statement(Run *run) {
  const char *query = OnlySelect(run->alert->query);
  run->step = Step::kCondition;
  CheckExpression(run->alert->condition);
  StringInfoData sql;
  initStringInfo(&sql);
  appendStringInfoString(&sql, "SELECT (\n");
  run->condition_start = Characters(sql.data, sql.len);
  appendStringInfoString(&sql, run->alert->condition);
  run->condition_length = Characters(sql.data, sql.len) - run->condition_start;
  appendStringInfoString(&sql, "\n), q.* FROM (\n");
  run->query_start = Characters(sql.data, sql.len);
  appendStringInfoString(&sql, query);
  run->query_length = Characters(sql.data, sql.len) - run->query_start;
  appendStringInfoString(&sql, "\n) AS q");
  run->step = Step::kPlan;
  return sql.data;
}

// ---- the plan ----

void CheckPlan(Run *run, SPIPlanPtr plan) {
  auto *source = static_cast<CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(plan)));
  auto *query = linitial_node(Query, source->query_list);
  if (query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs) {
    run->step = Step::kCondition;
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("the condition has an aggregate, a window function or a function that "
                           "returns sets"),
                    errhint("Compute it in a column of the query.")));
  }
  if (isQueryUsingTempRelation(query)) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query reads a temporary table"),
             errhint("The session of the job does not have it.")));
  }
}

bool IsNumber(Oid type) {
  switch (getBaseType(type)) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case FLOAT4OID:
    case FLOAT8OID:
    case NUMERICOID:
      return true;
    default:
      return false;
  }
}

/// The number of the column "value"; raises when the columns are not those of an alert.
int CheckColumns(Run *run, TupleDesc columns) {
  run->step = Step::kQuery;
  int value = 0;
  for (int i = kConditionColumn; i < columns->natts; i++) {
    const char *name = NameStr(TupleDescAttr(columns, i)->attname);
    if (strcmp(name, "value") == 0) value = i + 1;
    for (int other = kConditionColumn; other < i; other++) {
      if (strcmp(name, NameStr(TupleDescAttr(columns, other)->attname)) == 0) {
        ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
                        errmsg("the query returns two columns \"%s\"", name),
                        errhint("Name them with AS: each is a label.")));
      }
    }
  }
  if (value == 0) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("the query returns no column \"value\""),
             errhint("Name the number that is watched with AS value; every other column is "
                     "a label.")));
  }
  const Oid type = TupleDescAttr(columns, value - 1)->atttypid;
  if (!IsNumber(type)) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("the column \"value\" of the query is of type %s, not a number",
                           format_type_be(type)),
                    errhint("A condition may use any column: return a number as value, for "
                            "example count(*), and the others as labels.")));
  }
  run->step = Step::kCondition;
  const Oid condition = TupleDescAttr(columns, kConditionColumn - 1)->atttypid;
  if (getBaseType(condition) != BOOLOID) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("the condition is of type %s, not boolean", format_type_be(condition)),
                    errhint("Write a condition such as value > 90.")));
  }
  return value;
}

// ---- rows ----

struct Reader {
  TupleDesc columns;
  int value_column;
  FmgrInfo *outputs;  // of each column
};

Jsonb *ReadLabels(const Reader &reader, HeapTuple tuple) {
  JsonbParseState *state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  for (int column = kConditionColumn + 1; column <= reader.columns->natts; column++) {
    if (column == reader.value_column) continue;
    JsonbValue item;
    item.type = jbvString;
    item.val.string.val = NameStr(TupleDescAttr(reader.columns, column - 1)->attname);
    item.val.string.len = static_cast<int>(strlen(item.val.string.val));
    pushJsonbValue(&state, WJB_KEY, &item);
    bool is_null;
    const Datum datum = SPI_getbinval(tuple, reader.columns, column, &is_null);
    if (is_null) {
      item.type = jbvNull;
    } else {
      item.val.string.val = OutputFunctionCall(&reader.outputs[column - 1], datum);
      item.val.string.len = static_cast<int>(strlen(item.val.string.val));
    }
    pushJsonbValue(&state, WJB_VALUE, &item);
  }
  Jsonb *labels = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
  if (VARSIZE(labels) > kMaxLabelBytes) {
    ereport(ERROR,
            (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
             errmsg("a label set of the query has %d bytes", static_cast<int>(VARSIZE(labels))),
             errdetail("At most %d are allowed.", kMaxLabelBytes),
             errhint("Return fewer or shorter labels.")));
  }
  return labels;
}

/// A copy in `memory`.
AlertRow ReadRow(const Reader &reader, HeapTuple tuple, MemoryContext memory) {
  AlertRow row{};
  const Jsonb *labels = ReadLabels(reader, tuple);
  row.labels = static_cast<Jsonb *>(MemoryContextAlloc(memory, VARSIZE(labels)));
  memcpy(row.labels, labels, VARSIZE(labels));
  bool is_null;
  const Datum condition = SPI_getbinval(tuple, reader.columns, kConditionColumn, &is_null);
  row.signal = is_null ? Signal::kNoData : DatumGetBool(condition) ? Signal::kTrue : Signal::kFalse;
  const Datum value = SPI_getbinval(tuple, reader.columns, reader.value_column, &is_null);
  if (is_null) {
    row.signal = Signal::kNoData;
    return row;
  }
  // By way of text: the shortest digits of a float, NaN and infinities too.
  char *text = OutputFunctionCall(&reader.outputs[reader.value_column - 1], value);
  MemoryContext caller = MemoryContextSwitchTo(memory);
  row.value = DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                                  Int32GetDatum(-1));
  MemoryContextSwitchTo(caller);
  row.has_value = true;
  return row;
}

void SortRows(AlertRows *result) {
  std::sort(result->rows, result->rows + result->count, [](const AlertRow &a, const AlertRow &b) {
    return CompareLabels(a.labels, b.labels) < 0;
  });
  for (int i = 1; i < result->count; i++) {
    Jsonb *labels = result->rows[i].labels;
    if (CompareLabels(result->rows[i - 1].labels, labels) != 0) continue;
    ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
                    errmsg("the query returns more than one row with the labels %s",
                           JsonbToCString(nullptr, &labels->root, VARSIZE(labels))),
                    errhint("Group by all label columns, or return one that tells the rows "
                            "apart.")));
  }
}

void FetchRows(Run *run, Portal portal, const Reader &reader) {
  AlertRows *result = run->result;
  result->rows =
      static_cast<AlertRow *>(MemoryContextAlloc(run->memory, sizeof(AlertRow) * kMaxInstances));
  MemoryContext row_memory =
      AllocSetContextCreate(CurrentMemoryContext, "tsext alert row", ALLOCSET_DEFAULT_SIZES);
  for (;;) {
    SPI_cursor_fetch(portal, true, kFetchRows);
    if (SPI_processed == 0) break;
    const uint64 count = SPI_processed;
    SPITupleTable *tuples = SPI_tuptable;
    if (result->count + count > kMaxInstances) {
      ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                      errmsg("the query returns more than %d rows", kMaxInstances),
                      errhint("An alert has one instance for each row: group by fewer columns, or "
                              "return only rows worth watching.")));
    }
    MemoryContext caller = MemoryContextSwitchTo(row_memory);
    for (uint64 i = 0; i < count; i++) {
      result->rows[result->count++] = ReadRow(reader, tuples->vals[i], run->memory);
      MemoryContextReset(row_memory);
    }
    MemoryContextSwitchTo(caller);
    SPI_freetuptable(tuples);
  }
}

// ---- the run ----

/// What the session has set must change neither the meaning of the query nor the text of labels.
void SetSession(const Alert &alert) {
  SetLocally("standard_conforming_strings", "on");
  SetLocally("row_security", "on");
  SetLocally("datestyle", "ISO, YMD");
  SetLocally("intervalstyle", "postgres");
  SetLocally("extra_float_digits", "1");
  SetLocally("bytea_output", "hex");
  SetLocally("timezone", alert.timezone);
  // Temporary objects come last where the path names them, else first.
  SetLocally("search_path",
             alert.search_path[0] == '\0' ? "pg_temp" : psprintf("%s, pg_temp", alert.search_path));
}

/// In a subtransaction that is rolled back, which ends all that is set here.
void RunBody(void *state) {
  auto *run = static_cast<Run *>(state);
  run->step = Step::kQuery;
  SetSession(*run->alert);
  XactReadOnly = true;
  SetUserIdAndSecContext(run->alert->owner,
                         SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  SPI_connect();
  const char *sql = Statement(run);
  SPIPlanPtr plan = SPI_prepare(sql, 0, nullptr);
  if (plan == nullptr) elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
  CheckPlan(run, plan);
  Portal portal = SPI_cursor_open(nullptr, plan, nullptr, nullptr, false);
  Reader reader{};
  reader.columns = portal->tupDesc;
  reader.value_column = CheckColumns(run, reader.columns);
  run->result->has_labels = reader.columns->natts > kConditionColumn + 1;
  if (run->extent == Extent::kRun) {
    reader.outputs = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo) * reader.columns->natts));
    for (int i = 0; i < reader.columns->natts; i++) {
      Oid output;
      bool is_varlena;
      getTypeOutputInfo(TupleDescAttr(reader.columns, i)->atttypid, &output, &is_varlena);
      fmgr_info(output, &reader.outputs[i]);
    }
    FetchRows(run, portal, reader);
    SortRows(run->result);
  }
  SPI_cursor_close(portal);
  SPI_finish();
}

ErrorData *Execute(Run *run, const Alert &alert, Extent extent, AlertRows *result) {
  *result = {};
  run->alert = &alert;
  run->extent = extent;
  run->result = result;
  run->memory = CurrentMemoryContext;
  return TryAndRollBack(RunBody, run);
}

/// A message as a sentence's beginning.
const char *Capitalized(const char *message) {
  char *text = pstrdup(message);
  text[0] = static_cast<char>(pg_toupper(static_cast<unsigned char>(text[0])));
  return text;
}

/// " (at character 12)" of the query or the condition, "" when unknown. Tells which of them it is.
const char *Position(const Run &run, const ErrorData &error, const char **what) {
  if (run.step != Step::kPlan) {
    *what = run.step == Step::kQuery ? "query" : "condition";
    return error.cursorpos > 0 ? psprintf(" (at character %d)", error.cursorpos) : "";
  }
  const int in_condition = error.internalpos - run.condition_start;
  const int in_query = error.internalpos - run.query_start;
  if (in_condition >= 1 && in_condition <= run.condition_length + 1) {
    *what = "condition";
    return psprintf(" (at character %d)", in_condition);
  }
  *what = error.internalpos == 0 ? "query" : "query or condition";
  if (in_query >= 1 && in_query <= run.query_length + 1) {
    *what = "query";
    return psprintf(" (at character %d)", in_query);
  }
  return "";
}

}  // namespace

int CompareLabels(const Jsonb *a, const Jsonb *b) {
  if (VARSIZE(a) != VARSIZE(b)) return VARSIZE(a) < VARSIZE(b) ? -1 : 1;
  return memcmp(a, b, VARSIZE(a));
}

void CheckAlertQuery(const Alert &alert) {
  AlertRows rows;
  Run run{};
  ErrorData *error = Execute(&run, alert, Extent::kCheck, &rows);
  if (error == nullptr) return;
  if (error->sqlerrcode == ERRCODE_QUERY_CANCELED) ReThrowError(error);
  const char *what;
  const char *position = Position(run, *error, &what);
  ereport(ERROR,
          (errcode(error->sqlerrcode), errmsg("invalid %s of alert \"%s\"", what, alert.name),
           errdetail_internal("%s%s.%s%s", Capitalized(error->message), position,
                              error->detail != nullptr ? " " : "",
                              error->detail != nullptr ? error->detail : ""),
           error->hint != nullptr ? errhint("%s", error->hint)
           : error->sqlerrcode == ERRCODE_SYNTAX_ERROR ||
                   error->sqlerrcode == ERRCODE_FEATURE_NOT_SUPPORTED
               ? errhint("The query is one SELECT that returns a column \"value\" and labels; the "
                         "condition is a boolean expression over its columns.")
               : 0));
}

ErrorData *RunAlertQuery(const Alert &alert, AlertRows *rows) {
  Run run{};
  ErrorData *error = Execute(&run, alert, Extent::kRun, rows);
  // A position in our own statement tells the user's client nothing.
  if (error != nullptr) error->cursorpos = 0;
  return error;
}

}  // namespace tsext::pg
