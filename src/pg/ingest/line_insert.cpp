// Rows of a batch into their tables.
//
// A tsext table that may be written in bulk and whose columns take the values as they are gets them
// through a BulkWriter: many rows become segments, few go to the hot heap. Everything else (heap
// and partitioned tables, views, row triggers, row security, defaults, casts, domains) goes through
// an ordinary INSERT … SELECT over arrays: it means what a user's INSERT means.
//
// All tables are tried in one subtransaction first. When that fails, each table gets its own, and a
// table that fails is halved, between requests as far as possible, until the bad lines are alone.

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/options.hpp"
#include "pg/ingest/router_state.hpp"
#include "pg/table/bulk_writer.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

constexpr int64_t kUnixEpochUs = (int64_t{POSTGRES_EPOCH_JDATE} - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

/// Rows to be written together: units [from, to) of a table.
struct Part {
  Router *router;
  LineTable *table;
  const uint32_t *units;
  uint32_t count;
};

bool IsOfClass(int sqlstate, const char (&name)[3]) {
  return ERRCODE_TO_CATEGORY(sqlstate) == MAKE_SQLSTATE(name[0], name[1], '0', '0', '0');
}

/// Resources, shutdown and cancel, the system, conflicts of transactions and their states: the
/// batch has to come again.
bool IsNobodysFault(int sqlstate) {
  if (IsTableFault(sqlstate)) return false;
  return IsOfClass(sqlstate, "53") || IsOfClass(sqlstate, "57") || IsOfClass(sqlstate, "58") ||
         IsOfClass(sqlstate, "40") || IsOfClass(sqlstate, "25");
}

/// False: an error undid it all, and tables have to be tried one by one.
bool TryAll(void (*body)(void *), Router *router) {
  ErrorData *error = TrySubtransaction(body, router);
  if (error != nullptr && IsNobodysFault(error->sqlerrcode)) ReThrowError(error);
  return error == nullptr;
}

/// Microseconds since 2000-01-01, rounded down, and what is left.
int64_t TimeOfRow(const LineRow &row, int *nanoseconds) {
  int64_t microseconds = row.time_ns / 1000;
  int64_t rest = row.time_ns % 1000;
  if (rest < 0) {
    rest += 1000;
    microseconds--;
  }
  *nanoseconds = static_cast<int>(rest);
  return microseconds - kUnixEpochUs;
}

Oid TypeOfValue(Conversion conversion) {
  switch (conversion) {
    case Conversion::kFloat:
    case Conversion::kIntToFloat:
      return FLOAT8OID;
    case Conversion::kInt:
      return INT8OID;
    case Conversion::kIntToNumeric:
    case Conversion::kUintToNumeric:
      return NUMERICOID;
    case Conversion::kBool:
      return BOOLOID;
    case Conversion::kString:
      break;
  }
  return TEXTOID;
}

// ---------------------------------------------------------------------------------------------
// In bulk

/// Whether all values of the part are of their columns' types.
bool AreValuesPlain(const Part &part) {
  const LineTable *table = part.table;
  if (table->time_type != TIMESTAMPTZOID) return false;
  const auto is_plain = [table](int column, Oid type) {
    return table->columns[column].is_plain && table->columns[column].type == type;
  };
  if (table->nanoseconds >= 0 && !is_plain(table->nanoseconds, INT2OID)) return false;
  const TagColumns *last_tags = nullptr;
  const LineLayout *last_layout = nullptr;
  for (uint32_t i = 0; i < part.count; i++) {
    const LineRow &row = table->rows[part.units[i]];
    if (row.series->tags != last_tags) {
      last_tags = row.series->tags;
      for (int tag = 0; tag < last_tags->count; tag++)
        if (!is_plain(last_tags->columns[tag], TEXTOID)) return false;
    }
    if (row.layout != last_layout) {
      last_layout = row.layout;
      for (int value = 0; value < last_layout->value_count; value++)
        if (!is_plain(last_layout->columns[value], TypeOfValue(last_layout->conversions[value])))
          return false;
    }
  }
  return true;
}

/// Whether columns that no line names get something else than NULL.
bool HasDefaults(Relation relation, AttrNumber time_attribute) {
  const TupleDesc descriptor = RelationGetDescr(relation);
  for (int i = 0; i < descriptor->natts; i++) {
    const Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (attribute->attisdropped || attribute->attgenerated || attribute->attnum == time_attribute)
      continue;
    if (attribute->atthasdef || attribute->attidentity ||
        get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN)
      return true;
  }
  return false;
}

bool MayInsertInBulk(const Part &part, Relation relation) {
  return MayWriteBulk(relation) && relation->rd_rules == nullptr && AreValuesPlain(part) &&
         !HasDefaults(relation, part.table->time_attribute) &&
         !RowExpressionsMayReadOwnRows(relation);
}

/// The target as the executor knows it, with the right to insert into the part's columns checked.
RangeTblEntry *MakeTarget(const Part &part, Relation relation) {
  RangeTblEntry *entry = makeNode(RangeTblEntry);
  entry->rtekind = RTE_RELATION;
  entry->relid = RelationGetRelid(relation);
  entry->relkind = relation->rd_rel->relkind;
  entry->rellockmode = RowExclusiveLock;
  entry->requiredPerms = ACL_INSERT;
  const LineTable *table = part.table;
  const auto add = [entry](AttrNumber attribute) {
    entry->insertedCols =
        bms_add_member(entry->insertedCols, attribute - FirstLowInvalidHeapAttributeNumber);
  };
  add(table->time_attribute);
  if (table->nanoseconds >= 0) add(table->columns[table->nanoseconds].attribute);
  const TagColumns *last_tags = nullptr;
  const LineLayout *last_layout = nullptr;
  for (uint32_t i = 0; i < part.count; i++) {
    const LineRow &row = table->rows[part.units[i]];
    if (row.series->tags != last_tags) {
      last_tags = row.series->tags;
      for (int tag = 0; tag < last_tags->count; tag++)
        add(table->columns[last_tags->columns[tag]].attribute);
    }
    if (row.layout != last_layout) {
      last_layout = row.layout;
      for (int value = 0; value < last_layout->value_count; value++)
        add(table->columns[last_layout->columns[value]].attribute);
    }
  }
  ExecCheckRTPerms(list_make1(entry), true);
  return entry;
}

/// Whether a row may fail a constraint although its time is given.
bool NeedsConstraints(Relation relation, AttrNumber time_attribute) {
  const TupleDesc descriptor = RelationGetDescr(relation);
  if (descriptor->constr == nullptr) return false;
  if (descriptor->constr->num_check > 0) return true;
  for (int i = 0; i < descriptor->natts; i++) {
    const Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (attribute->attnotnull && attribute->attnum != time_attribute) return true;
  }
  return false;
}

void FillSlot(const LineTable *table, const LineRow &row, TupleTableSlot *slot) {
  ExecClearTuple(slot);
  memset(slot->tts_isnull, true, static_cast<size_t>(slot->tts_tupleDescriptor->natts));
  const auto put = [slot](AttrNumber attribute, Datum value) {
    slot->tts_values[attribute - 1] = value;
    slot->tts_isnull[attribute - 1] = false;
  };
  int nanoseconds;
  put(table->time_attribute, TimestampTzGetDatum(TimeOfRow(row, &nanoseconds)));
  if (table->nanoseconds >= 0)
    put(table->columns[table->nanoseconds].attribute,
        Int16GetDatum(static_cast<int16>(nanoseconds)));
  const TagColumns *tags = row.series->tags;
  for (int tag = 0; tag < tags->count; tag++)
    put(table->columns[tags->columns[tag]].attribute, row.series->values[tag]);
  const LineLayout *layout = row.layout;
  for (int value = 0; value < layout->value_count; value++)
    put(table->columns[layout->columns[value]].attribute, row.values[value]);
  ExecStoreVirtualTuple(slot);
}

void InsertInBulk(const Part &part, Relation relation) {
  PushActiveSnapshot(GetTransactionSnapshot());
  EState *estate = CreateExecutorState();
  ExecInitRangeTable(estate, list_make1(MakeTarget(part, relation)));
  auto *target = makeNode(ResultRelInfo);
  ExecInitResultRelation(estate, target, 1);
  CheckValidResultRel(target, CMD_INSERT);
  ExecOpenIndices(target, false);
  AfterTriggerBeginQuery();
  ExecBSInsertTriggers(estate, target);

  BulkWriterOptions options;
  options.cid = GetCurrentCommandId(true);
  options.result_relation = target;
  options.executor_state = estate;
  BulkWriter *writer = BulkWriterCreate(relation, options, CurrentMemoryContext);
  TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
  slot->tts_tableOid = RelationGetRelid(relation);
  const TupleConstr *constraints = RelationGetDescr(relation)->constr;
  const bool has_generated = constraints != nullptr && constraints->has_generated_stored;
  const bool needs_constraints = NeedsConstraints(relation, part.table->time_attribute);
  const bool is_partition = relation->rd_rel->relispartition;
  const bool uses_expressions = has_generated || needs_constraints || is_partition;
  for (uint32_t i = 0; i < part.count; i++) {
    if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
    FillSlot(part.table, part.table->rows[part.units[i]], slot);
    if (uses_expressions) {
      ResetPerTupleExprContext(estate);
      if (has_generated) ExecComputeStoredGenerated(target, estate, slot, CMD_INSERT);
      if (needs_constraints) ExecConstraints(target, slot, estate);
      if (is_partition) ExecPartitionCheck(target, slot, estate, true);
    }
    BulkWriterAppend(writer, slot);
  }
  BulkWriterFinish(writer);
  ExecASInsertTriggers(estate, target, nullptr);
  AfterTriggerEndQuery(estate);

  ExecDropSingleTupleTableSlot(slot);
  BulkWriterDestroy(writer);
  table_finish_bulk_insert(relation, options.insert_options);
  ExecResetTupleTable(estate->es_tupleTable, false);
  ExecCloseResultRelations(estate);
  ExecCloseRangeTableRelations(estate);
  FreeExecutorState(estate);
  PopActiveSnapshot();
  CommandCounterIncrement();
}

// ---------------------------------------------------------------------------------------------
// By INSERT

/// A column of the statement.
struct Parameter {
  const char *column;
  Oid type;
  Datum *values;
};

Datum ArrayOf(const Parameter &parameter, int count) {
  int16 length;
  bool by_value;
  char alignment;
  get_typlenbyvalalign(parameter.type, &length, &by_value, &alignment);
  return PointerGetDatum(
      construct_array(parameter.values, count, parameter.type, length, by_value, alignment));
}

/// Rows of one set of tags and one layout.
void InsertAlike(const Part &part) {
  const LineTable *table = part.table;
  const LineRow &first = table->rows[part.units[0]];
  const TagColumns *tags = first.series->tags;
  const LineLayout *layout = first.layout;
  const bool has_nanoseconds = table->nanoseconds >= 0;
  const int count = 1 + (has_nanoseconds ? 1 : 0) + tags->count + layout->value_count;
  auto *parameters =
      static_cast<Parameter *>(palloc(sizeof(Parameter) * static_cast<size_t>(count)));
  int at = 0;
  parameters[at++] = {"time", table->time_type, nullptr};
  if (has_nanoseconds) parameters[at++] = {"time_ns", INT2OID, nullptr};
  for (int tag = 0; tag < tags->count; tag++)
    parameters[at++] = {table->columns[tags->columns[tag]].name.data(), TEXTOID, nullptr};
  for (int value = 0; value < layout->value_count; value++)
    parameters[at++] = {table->columns[layout->columns[value]].name.data(),
                        TypeOfValue(layout->conversions[value]), nullptr};

  StringInfoData columns, arguments;
  initStringInfo(&columns);
  initStringInfo(&arguments);
  for (int i = 0; i < count; i++) {
    parameters[i].values = static_cast<Datum *>(
        MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * part.count));
    appendStringInfo(&columns, "%s%s", i == 0 ? "" : ", ", quote_identifier(parameters[i].column));
    appendStringInfo(&arguments, "%s$%d", i == 0 ? "" : ", ", i + 1);
  }
  for (uint32_t i = 0; i < part.count; i++) {
    const LineRow &row = table->rows[part.units[i]];
    int nanoseconds;
    at = 0;
    parameters[at++].values[i] = TimestampTzGetDatum(TimeOfRow(row, &nanoseconds));
    if (has_nanoseconds)
      parameters[at++].values[i] = Int16GetDatum(static_cast<int16>(nanoseconds));
    for (int tag = 0; tag < tags->count; tag++)
      parameters[at++].values[i] = row.series->values[tag];
    for (int value = 0; value < layout->value_count; value++)
      parameters[at++].values[i] = row.values[value];
  }

  auto *types = static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<size_t>(count)));
  auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<size_t>(count)));
  for (int i = 0; i < count; i++) {
    types[i] = get_array_type(parameters[i].type);
    values[i] = ArrayOf(parameters[i], static_cast<int>(part.count));
  }
  // unnest() of several arrays is the grammar's: the search path has no say.
  const char *sql = psprintf("INSERT INTO %s (%s) SELECT * FROM unnest(%s)",
                             quote_qualified_identifier(part.router->schema, table->name.data()),
                             columns.data, arguments.data);
  const int result = SPI_execute_with_args(sql, count, types, values, nullptr, false, 0);
  if (result < 0) elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
}

void InsertBySql(const Part &part) {
  const LineRow *rows = part.table->rows;
  SPI_connect();
  auto *units = static_cast<uint32_t *>(
      MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint32_t) * part.count));
  std::copy_n(part.units, part.count, units);
  std::sort(units, units + part.count, [rows](uint32_t a, uint32_t b) {
    const LineLayout *a_layout = rows[a].layout, *b_layout = rows[b].layout;
    if (a_layout != b_layout) return a_layout->number < b_layout->number;
    const TagColumns *a_tags = rows[a].series->tags, *b_tags = rows[b].series->tags;
    return a_tags != b_tags ? a_tags->number < b_tags->number : a < b;
  });
  for (uint32_t from = 0, to; from < part.count; from = to) {
    const LineRow &first = rows[units[from]];
    for (to = from + 1; to < part.count; to++) {
      const LineRow &row = rows[units[to]];
      if (row.layout != first.layout || row.series->tags != first.series->tags) break;
    }
    InsertAlike({part.router, part.table, units + from, to - from});
  }
  SPI_finish();
}

// ---------------------------------------------------------------------------------------------

void InsertPart(const Part &part) {
  if (part.count == 0) return;
  Relation relation = table_open(part.table->relation_id, NoLock);
  const bool in_bulk = MayInsertInBulk(part, relation);
  if (in_bulk) InsertInBulk(part, relation);
  table_close(relation, NoLock);
  if (!in_bulk) InsertBySql(part);
}

void TryPart(void *state) {
  InsertPart(*static_cast<const Part *>(state));
}

Part WholeTable(Router *router, LineTable *table) {
  return {router, table, table->units, table->unit_count};
}

void TryAllTables(void *state) {
  auto *router = static_cast<Router *>(state);
  for (int i = 0; i < router->touched_count; i++)
    InsertPart(WholeTable(router, router->touched[i]));
}

/// Counts units that were stored, at the front of the table's units.
struct Survivors {
  uint32_t *units;
  uint32_t count;
};

void RejectUnits(const Part &part, const Reject &reject) {
  for (uint32_t i = 0; i < part.count; i++)
    RejectRow(part.router, part.table, part.units[i], reject);
}

void InsertOrHalve(const Part &part, Survivors *survivors);

/// Takes a part that failed apart.
void Halve(const Part &part, ErrorData *error, Survivors *survivors) {
  const Reject reject = RejectFor(part.router, error);
  if (part.count == 1) {
    const LineRow row = part.table->rows[part.units[0]];
    if (row.first_member == 0) return RejectUnits(part, reject);
    // Lines that were joined stand for themselves now.
    for (uint32_t member = row.first_member; member != 0;) {
      const uint32_t unit = member - 1;
      member = part.table->rows[unit].next_member;
      InsertOrHalve({part.router, part.table, &unit, 1}, survivors);
    }
    return;
  }
  // Between two requests, if there are several.
  uint32_t middle = part.count / 2;
  const LineRow *rows = part.table->rows;
  for (uint32_t distance = 0; distance < part.count / 2; distance++) {
    const auto is_border = [&](uint32_t i) {
      return i > 0 && i < part.count &&
             rows[part.units[i - 1]].request != rows[part.units[i]].request;
    };
    if (is_border(middle - distance) || is_border(middle + distance)) {
      middle = is_border(middle - distance) ? middle - distance : middle + distance;
      break;
    }
  }
  InsertOrHalve({part.router, part.table, part.units, middle}, survivors);
  InsertOrHalve({part.router, part.table, part.units + middle, part.count - middle}, survivors);
}

void InsertOrHalve(const Part &part, Survivors *survivors) {
  CHECK_FOR_INTERRUPTS();
  Part copy = part;
  ErrorData *error = TrySubtransaction(TryPart, &copy);
  if (error != nullptr) {
    Halve(part, error, survivors);
    return;
  }
  for (uint32_t i = 0; i < part.count; i++) survivors->units[survivors->count++] = part.units[i];
}

bool MayInsertAnything(Oid relation_id) {
  return pg_class_aclcheck(relation_id, GetUserId(), ACL_INSERT) == ACLCHECK_OK ||
         pg_attribute_aclcheck_all(relation_id, GetUserId(), ACL_INSERT, ACLMASK_ANY) ==
             ACLCHECK_OK;
}

/// Inserts the rows of one table; its units are those that were stored, then.
void InsertTable(Router *router, LineTable *table) {
  if (table->unit_count == 0) return;
  Part part = WholeTable(router, table);
  ErrorData *error = TrySubtransaction(TryPart, &part);
  if (error == nullptr) return;
  router->stats.retries++;
  if (IsTableFault(error->sqlerrcode) || (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE &&
                                          !MayInsertAnything(table->relation_id))) {
    RejectUnits(part, RejectFor(router, error));
    table->unit_count = 0;
    return;
  }
  // Splitting joined lines may make more units than there were.
  Survivors survivors{static_cast<uint32_t *>(MemoryContextAllocHuge(
                          router->batch, sizeof(uint32_t) * (size_t{table->row_count} + 1))),
                      0};
  Halve(part, error, &survivors);
  table->units = survivors.units;
  table->unit_count = survivors.count;
}

void LockTable(void *state) {
  const auto *table = static_cast<const LineTable *>(state);
  LockRelationOid(table->relation_id, RowExclusiveLock);
}

void LockAllTables(void *state) {
  const auto *router = static_cast<const Router *>(state);
  for (int i = 0; i < router->touched_count; i++)
    if (router->touched[i]->unit_count > 0) LockTable(router->touched[i]);
}

/// Rows of tables that cannot be locked are rejected.
void LockTables(Router *router) {
  if (TryAll(LockAllTables, router)) return;
  for (int i = 0; i < router->touched_count; i++) {
    LineTable *table = router->touched[i];
    if (table->unit_count == 0) continue;
    ErrorData *error = TrySubtransaction(LockTable, table);
    if (error == nullptr) continue;
    RejectUnits(WholeTable(router, table), RejectFor(router, error));
    table->unit_count = 0;
  }
}

}  // namespace

bool IsTableFault(int sqlstate) {
  return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
         sqlstate == ERRCODE_DATA_CORRUPTED || sqlstate == ERRCODE_INDEX_CORRUPTED;
}

Reject RejectFor(Router *router, ErrorData *error) {
  if (IsNobodysFault(error->sqlerrcode)) ReThrowError(error);
  Reject reject;
  switch (error->sqlerrcode) {
    case ERRCODE_INSUFFICIENT_PRIVILEGE:
      reject.reason = RejectReason::kPermission;
      break;
    case ERRCODE_DATATYPE_MISMATCH:
    case ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE:
    case ERRCODE_STRING_DATA_RIGHT_TRUNCATION:
      reject.reason = RejectReason::kTypeConflict;
      break;
    default:
      reject.reason = RejectReason::kFailed;
  }
  reject.retry = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
                 error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
  reject.message = MemoryContextStrdup(
      router->batch, error->message != nullptr ? error->message : "unknown error");
  return reject;
}

bool InsertRows(Router *router) {
  LockTables(router);
  int tables = 0;
  for (int i = 0; i < router->touched_count; i++) {
    LineTable *table = router->touched[i];
    if (table->unit_count == 0) continue;
    tables++;
    if (table->is_stale && !IsTableAsKnown(router, table)) return false;
  }
  if (tables > 1 && TryAll(TryAllTables, router)) return true;
  for (int i = 0; i < router->touched_count; i++) InsertTable(router, router->touched[i]);
  return true;
}

}  // namespace tsext::pg
