// create_hypertable(), by_range(), set_chunk_time_interval(): the names and arguments that users of
// TimescaleDB know, over tables of our access method and their options.

#include "pg/base/boundary.hpp"
#include "pg/catalog/label.hpp"
#include "pg/catalog/set_options.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

struct HypertableRequest {
  Oid relation_id;
  char *time_column;
  char *chunk_interval;  // as in the label; nullptr = auto
  char *segment_by;      // nullptr = open
  bool if_not_exists;
  bool migrate_data;
};

/// Here integers stand for microseconds when the time column is of a time type.
char *IntervalForTime(char *text, Relation relation, const char *time_column) {
  if (text == nullptr || strspn(text, "0123456789") != strlen(text)) return text;
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), time_column);
  if (attribute <= 0) return text;  // refused by the check of options
  const Oid type = getBaseType(TupleDescAttr(RelationGetDescr(relation), attribute - 1)->atttypid);
  if (IsIntegerTimeType(type)) return text;
  int64_t width;
  text = psprintf("%s microseconds", text);
  // Days and hours read better in the label, and a date needs days.
  return ParseWidth(text, TIMESTAMPTZOID, &width) ? WidthText(width, TIMESTAMPTZOID) : text;
}

bool IsEmpty(Relation relation) {
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  TupleTableSlot *slot = table_slot_create(relation, nullptr);
  TableScanDesc scan = table_beginscan(relation, snapshot, 0, nullptr);
  const bool found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  UnregisterSnapshot(snapshot);
  return !found;
}

void RequirePlainTable(Relation relation) {
  if (relation->rd_rel->relkind == RELKIND_RELATION) return;
  const bool is_partitioned = relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
  ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                  errmsg("\"%s\" cannot become a hypertable", RelationGetRelationName(relation)),
                  errdetail_relkind_not_supported(relation->rd_rel->relkind),
                  is_partitioned ? errhint("Make its partitions tsext tables.") : 0));
}

void ApplyRequest(Relation relation, const HypertableRequest *request) {
  OptionChanges changes;
  changes.time_column = Change::kSet;
  changes.time_column_name = request->time_column;
  changes.chunk_interval = Change::kSet;
  changes.chunk_interval_text =
      IntervalForTime(request->chunk_interval, relation, request->time_column);
  if (request->segment_by != nullptr) {
    changes.segment_by = Change::kSet;
    changes.segment_by_names = list_make1(request->segment_by);
  }
  ChangeOptions(relation, &changes);
}

void SetAccessMethod(Oid relation_id) {
  const char *schema = get_namespace_name(get_rel_namespace(relation_id));
  const char *command = psprintf("ALTER TABLE %s SET ACCESS METHOD tsext",
                                 quote_qualified_identifier(schema, get_rel_name(relation_id)));
  SPI_connect();
  if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
    elog(ERROR, "unexpected result of \"%s\"", command);
  SPI_finish();
}

/// Returns whether the table was made a hypertable; false: it was one.
bool CreateHypertable(const HypertableRequest *request) {
  Relation relation = OpenOwnedTable(request->relation_id, AccessExclusiveLock);
  const bool is_tsext = IsTsextRelation(relation);
  if (is_tsext && FormatLabel(ReadLabel(request->relation_id)) != nullptr) {
    ereport(request->if_not_exists ? NOTICE : ERROR,
            (errcode(ERRCODE_DUPLICATE_OBJECT),
             errmsg("table \"%s\" is already a hypertable%s", RelationGetRelationName(relation),
                    request->if_not_exists ? ", skipping" : ""),
             request->if_not_exists ? 0 : errhint("Change its options with tsext.set_options().")));
    table_close(relation, NoLock);
    return false;
  }
  if (!is_tsext) RequirePlainTable(relation);
  if (!is_tsext && !request->migrate_data && !IsEmpty(relation))
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("table \"%s\" is not empty", RelationGetRelationName(relation)),
                    errhint("Rewrite its rows into the hypertable with migrate_data => true.")));
  // Before the rewrite, which then cuts its segments accordingly.
  ApplyRequest(relation, request);
  table_close(relation, NoLock);
  if (!is_tsext) SetAccessMethod(request->relation_id);
  return true;
}

Datum HypertableRow(FunctionCallInfo fcinfo, Oid relation_id, bool created) {
  TupleDesc columns;
  if (get_call_result_type(fcinfo, nullptr, &columns) != TYPEFUNC_COMPOSITE)
    elog(ERROR, "return type must be a row type");
  NameData schema;
  NameData table;
  namestrcpy(&schema, get_namespace_name(get_rel_namespace(relation_id)));
  namestrcpy(&table, get_rel_name(relation_id));
  Datum values[] = {ObjectIdGetDatum(relation_id), NameGetDatum(&schema), NameGetDatum(&table),
                    BoolGetDatum(created)};
  bool nulls[lengthof(values)] = {};
  return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
}

void RequireArgument(FunctionCallInfo fcinfo, int index, const char *name) {
  if (PG_ARGISNULL(index))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is null", name)));
}

bool FlagArgument(FunctionCallInfo fcinfo, int index) {
  return !PG_ARGISNULL(index) && PG_GETARG_BOOL(index);
}

char *NameArgument(FunctionCallInfo fcinfo, int index) {
  return PG_ARGISNULL(index) ? nullptr : pstrdup(NameStr(*PG_GETARG_NAME(index)));
}

char *IntervalArgument(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) return nullptr;
  return ChunkIntervalText(PG_GETARG_DATUM(index), get_fn_expr_argtype(fcinfo->flinfo, index));
}

/// A text member of an object; nullptr when it is not there.
char *MemberText(Jsonb *object, const char *key) {
  JsonbValue value;
  if (getKeyJsonValueFromContainer(&object->root, key, static_cast<int>(strlen(key)), &value) ==
          nullptr ||
      value.type != jbvString)
    return nullptr;
  return pnstrdup(value.val.string.val, value.val.string.len);
}

void PushText(JsonbParseState **state, const char *key, char *text) {
  JsonbValue value;
  value.type = jbvString;
  value.val.string.val = const_cast<char *>(key);
  value.val.string.len = static_cast<int>(strlen(key));
  pushJsonbValue(state, WJB_KEY, &value);
  value.val.string.val = text;
  value.val.string.len = static_cast<int>(strlen(text));
  pushJsonbValue(state, WJB_VALUE, &value);
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_create_hypertable) {
  RequireArgument(fcinfo, 0, "relation");
  RequireArgument(fcinfo, 1, "time_column_name");
  HypertableRequest request{};
  request.relation_id = PG_GETARG_OID(0);
  request.time_column = NameArgument(fcinfo, 1);
  request.chunk_interval = IntervalArgument(fcinfo, 2);
  request.if_not_exists = FlagArgument(fcinfo, 3);
  request.migrate_data = FlagArgument(fcinfo, 4);
  request.segment_by = NameArgument(fcinfo, 6);
  const bool created = CreateHypertable(&request);
  PG_RETURN_DATUM(HypertableRow(fcinfo, request.relation_id, created));
}

TSEXT_FUNCTION(tsext_create_hypertable_dimension) {
  RequireArgument(fcinfo, 0, "relation");
  RequireArgument(fcinfo, 1, "dimension");
  Jsonb *dimension = PG_GETARG_JSONB_P(1);
  HypertableRequest request{};
  request.relation_id = PG_GETARG_OID(0);
  if (JB_ROOT_IS_OBJECT(dimension)) request.time_column = MemberText(dimension, "column");
  if (request.time_column == nullptr)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("dimension is malformed"),
                    errhint("Use by_range('time', INTERVAL '1 day').")));
  char *interval = MemberText(dimension, "interval");
  if (interval != nullptr)
    request.chunk_interval = ChunkIntervalText(CStringGetDatum(interval), UNKNOWNOID);
  request.if_not_exists = FlagArgument(fcinfo, 3);
  request.migrate_data = FlagArgument(fcinfo, 4);
  const bool created = CreateHypertable(&request);
  PG_RETURN_DATUM(HypertableRow(fcinfo, request.relation_id, created));
}

TSEXT_FUNCTION(tsext_by_range) {
  RequireArgument(fcinfo, 0, "column_name");
  char *interval = IntervalArgument(fcinfo, 1);
  JsonbParseState *state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  PushText(&state, "column", NameArgument(fcinfo, 0));
  if (interval != nullptr) PushText(&state, "interval", interval);
  PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

TSEXT_FUNCTION(tsext_set_chunk_time_interval) {
  RequireArgument(fcinfo, 0, "hypertable");
  RequireArgument(fcinfo, 1, "chunk_time_interval");
  char *interval = IntervalArgument(fcinfo, 1);
  Relation relation = OpenOwnedTable(PG_GETARG_OID(0), ShareUpdateExclusiveLock);
  RequireTsext(relation);
  const TableOptions *options = GetTableOptions(relation);
  OptionChanges changes;
  changes.chunk_interval = Change::kSet;
  changes.chunk_interval_text = interval;
  if (options->time_attribute != InvalidAttrNumber)
    changes.chunk_interval_text = IntervalForTime(
        interval, relation,
        NameStr(TupleDescAttr(RelationGetDescr(relation), options->time_attribute - 1)->attname));
  ChangeOptions(relation, &changes);
  table_close(relation, NoLock);
  PG_RETURN_VOID();
}
