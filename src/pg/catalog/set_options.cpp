#include "pg/catalog/set_options.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

[[noreturn]] void NotPositive() {
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("chunk interval must be greater than zero")));
}

char *IntegerWidthText(int64_t width) {
  if (width <= 0) NotPositive();
  return psprintf(INT64_FORMAT, width);
}

char *IntervalWidthText(const Interval *interval) {
  int64_t days;
  int64_t width;
  if (pg_mul_s64_overflow(interval->month, DAYS_PER_MONTH, &days) ||
      pg_add_s64_overflow(days, interval->day, &days) ||
      pg_mul_s64_overflow(days, USECS_PER_DAY, &width) ||
      pg_add_s64_overflow(width, interval->time, &width))
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("chunk interval is too long")));
  if (width <= 0) NotPositive();
  return WidthText(width, TIMESTAMPTZOID);
}

char *LiteralWidthText(const char *text) {
  if (pg_strcasecmp(text, "auto") == 0) return nullptr;
  const char *digits = text + (text[0] == '-' ? 1 : 0);
  if (*digits != '\0' && strspn(digits, "0123456789") == strlen(digits))
    return IntegerWidthText(DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text))));
  Datum interval = DirectFunctionCall3(interval_in, CStringGetDatum(text),
                                       ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
  return IntervalWidthText(DatumGetIntervalP(interval));
}

/// Attribute number of a column the user named; errors when there is none.
AttrNumber RequireColumn(Relation relation, const char *name) {
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), name);
  if (attribute <= 0)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("column \"%s\" of table \"%s\" does not exist", name,
                           RelationGetRelationName(relation))));
  return attribute;
}

void CheckTimeColumn(Relation relation, const char *name) {
  const AttrNumber attribute = RequireColumn(relation, name);
  Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), attribute - 1);
  if (!IsTimeType(getBaseType(column->atttypid)))
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("column \"%s\" of type %s cannot be the time column", name,
                    format_type_be(column->atttypid)),
             errdetail("A time column is of type timestamp with time zone, timestamp without time "
                       "zone, date, bigint, integer or smallint.")));
}

void CheckChunkInterval(Relation relation, const char *text, const TableOptions *options) {
  int64_t width;
  if (options->time_attribute == InvalidAttrNumber)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("table \"%s\" has no time column and so no chunk interval",
                           RelationGetRelationName(relation)),
                    errhint("Name a time column with the option time_column.")));
  if (ParseWidth(text, options->time_type, &width)) return;
  const bool is_integer = IsIntegerTimeType(options->time_type);
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("chunk interval \"%s\" does not suit a time column of type %s", text,
                         format_type_be(options->time_type)),
                  is_integer ? errhint("Give an integer in the unit of the time column, or 'auto'.")
                  : options->time_type == DATEOID
                      ? errhint("Give whole days, such as '7 days', or 'auto'.")
                      : errhint("Give an interval, such as '1 day', or 'auto'.")));
}

void CheckSortColumns(Relation relation, const List *names, const char *option, Bitmapset **used) {
  if (list_length(names) > kMaxSortColumns)
    ereport(ERROR,
            (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
             errmsg("option \"%s\" cannot name more than %d columns", option, kMaxSortColumns)));
  ListCell *cell;
  foreach (cell, names) {
    const char *name = static_cast<const char *>(lfirst(cell));
    const AttrNumber attribute = RequireColumn(relation, name);
    if (bms_is_member(attribute, *used))
      ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
                      errmsg("column \"%s\" is named twice in the sort key", name)));
    *used = bms_add_member(*used, attribute);
  }
}

/// Writes the time column in force into the label. A table that has none so far is left open until
/// it has segments.
void PinTimeColumn(Relation relation, const TableOptions *options, bool has_segments,
                   Label *label) {
  if (label->time_column != nullptr) return;
  if (options->time_attribute != InvalidAttrNumber)
    label->time_column = pstrdup(
        NameStr(TupleDescAttr(RelationGetDescr(relation), options->time_attribute - 1)->attname));
  else if (has_segments)
    label->time_column = pstrdup("");
}

List *NamesOfArray(ArrayType *array) {
  Datum *values;
  bool *nulls;
  int count;
  deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &values, &nulls, &count);
  List *names = nullptr;
  for (int i = 0; i < count; ++i) {
    if (nulls[i])
      ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("column name is null")));
    names = lappend(names, pstrdup(NameStr(*DatumGetName(values[i]))));
  }
  return names;
}

}  // namespace

char *ChunkIntervalText(Datum value, Oid type) {
  switch (getBaseType(type)) {
    case INTERVALOID:
      return IntervalWidthText(DatumGetIntervalP(value));
    case INT8OID:
      return IntegerWidthText(DatumGetInt64(value));
    case INT4OID:
      return IntegerWidthText(DatumGetInt32(value));
    case INT2OID:
      return IntegerWidthText(DatumGetInt16(value));
    case UNKNOWNOID:
      return LiteralWidthText(DatumGetCString(value));
    case TEXTOID:
    case VARCHAROID:
      return LiteralWidthText(TextDatumGetCString(value));
    default:
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("chunk interval cannot be of type %s", format_type_be(type)),
                      errhint("Give an interval, an integer or 'auto'.")));
  }
}

void ApplyChanges(const OptionChanges *changes, Label *label) {
  if (changes->time_column != Change::kKeep)
    label->time_column = changes->time_column == Change::kSet ? changes->time_column_name : nullptr;
  if (changes->chunk_interval != Change::kKeep)
    label->chunk_interval =
        changes->chunk_interval == Change::kSet ? changes->chunk_interval_text : nullptr;
  if (changes->segment_by != Change::kKeep) {
    const bool given = changes->segment_by == Change::kSet;
    label->segment_by_origin = given ? SegmentByOrigin::kGiven : SegmentByOrigin::kOpen;
    label->segment_by = given ? changes->segment_by_names : nullptr;
  }
  if (changes->order_by != Change::kKeep)
    label->order_by = changes->order_by == Change::kSet ? changes->order_by_names : nullptr;
  if (changes->decoded == Change::kReset) label->decoded = Decoded::kUnset;
  if (changes->decoded == Change::kSet)
    label->decoded = changes->decoded_on ? Decoded::kOn : Decoded::kOff;
}

void CheckOptions(Relation relation, const Label *label) {
  if (label->time_column != nullptr && label->time_column[0] != '\0')
    CheckTimeColumn(relation, label->time_column);
  TableOptions options;
  ResolveLabel(label, RelationGetDescr(relation), &options);
  if (label->chunk_interval != nullptr)
    CheckChunkInterval(relation, label->chunk_interval, &options);
  Bitmapset *used = nullptr;
  // Chosen columns may have been dropped since; those the user names must be there.
  if (label->segment_by_origin == SegmentByOrigin::kGiven)
    CheckSortColumns(relation, label->segment_by, "segment_by", &used);
  if (bms_is_member(options.time_attribute, used))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("the time column cannot be a segment-by column")));
  CheckSortColumns(relation, label->order_by, "order_by", &used);
}

void ChangeOptions(Relation relation, const OptionChanges *changes) {
  RefuseReadOnly("a change of table options");
  const Oid relation_id = RelationGetRelid(relation);
  LockLabel(relation_id, LabelLock::kWait);
  Label *label = ReadLabel(relation_id);
  TableOptions before;
  ResolveLabel(label, RelationGetDescr(relation), &before);
  ApplyChanges(changes, label);
  CheckOptions(relation, label);
  TableOptions after;
  ResolveLabel(label, RelationGetDescr(relation), &after);
  if (after.time_attribute != before.time_attribute)
    RefuseOtherTime(relation_id, after.time_attribute);
  const bool has_segments = HasSegments(relation->rd_rel->reltoastrelid, nullptr);
  if (has_segments && after.time_attribute != before.time_attribute)
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("cannot change the time column of table \"%s\" while it has compressed chunks",
                    RelationGetRelationName(relation)),
             errhint("Make its chunks hot again with decompress_chunk().")));
  PinTimeColumn(relation, &after, has_segments, label);
  WriteLabel(relation_id, label);
  CommandCounterIncrement();
}

Relation OpenOwnedTable(Oid relation_id, LOCKMODE lock) {
  // Before the lock: nobody may block a table that is not theirs.
  const char *name = get_rel_name(relation_id);
  if (name == nullptr)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("relation with OID %u does not exist", relation_id)));
  if (!TsextOwnsRelation(relation_id, GetUserId()))
    aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relation_id)), name);
  if (lock > RowExclusiveLock) RefuseReadOnly("a change of table options");
  return table_open(relation_id, lock);
}

void RequireTsext(Relation relation) {
  if (IsTsextRelation(relation)) return;
  const bool is_partitioned = relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
  ereport(ERROR,
          (errcode(ERRCODE_WRONG_OBJECT_TYPE),
           errmsg("\"%s\" is not a tsext table", RelationGetRelationName(relation)),
           is_partitioned ? errhint("Give options to its partitions, each a tsext table.")
                          : errhint("Make it one with ALTER TABLE ... SET ACCESS METHOD tsext or "
                                    "create_hypertable().")));
}

}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_set_options) {
  if (PG_ARGISNULL(0))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("relation is null")));
  OptionChanges changes;
  if (!PG_ARGISNULL(1)) {
    changes.time_column = Change::kSet;
    changes.time_column_name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
  }
  if (!PG_ARGISNULL(2)) {
    changes.chunk_interval = Change::kSet;
    changes.chunk_interval_text =
        ChunkIntervalText(PG_GETARG_DATUM(2), get_fn_expr_argtype(fcinfo->flinfo, 2));
  }
  if (!PG_ARGISNULL(3)) {
    changes.segment_by = Change::kSet;
    changes.segment_by_names = NamesOfArray(PG_GETARG_ARRAYTYPE_P(3));
  }
  if (!PG_ARGISNULL(4)) {
    changes.order_by = Change::kSet;
    changes.order_by_names = NamesOfArray(PG_GETARG_ARRAYTYPE_P(4));
  }
  if (!PG_ARGISNULL(5)) {
    changes.decoded = Change::kSet;
    changes.decoded_on = PG_GETARG_BOOL(5);
  }
  Relation relation = OpenOwnedTable(PG_GETARG_OID(0), ShareUpdateExclusiveLock);
  RequireTsext(relation);
  ChangeOptions(relation, &changes);
  table_close(relation, NoLock);
  PG_RETURN_VOID();
}
