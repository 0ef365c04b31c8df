#include "pg/catalog/options.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/label.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "storage/sinval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

AttrNumber FindAttribute(TupleDesc columns, const char *name) {
  for (int i = 0; i < columns->natts; ++i) {
    Form_pg_attribute attribute = TupleDescAttr(columns, i);
    if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0) return i + 1;
  }
  return InvalidAttrNumber;
}

bool IsDefaultTimeColumn(Form_pg_attribute attribute) {
  if (attribute->attisdropped) return false;
  const char *name = NameStr(attribute->attname);
  switch (getBaseType(attribute->atttypid)) {
    case TIMESTAMPTZOID:
    case TIMESTAMPOID:
    case DATEOID:
      return true;
    case INT8OID:
      return attribute->attnotnull && (strcmp(name, "time") == 0 || strcmp(name, "ts") == 0);
    default:
      return false;
  }
}

/// The first timestamptz, timestamp or date column, else a NOT NULL bigint named time or ts.
AttrNumber DefaultTimeColumn(TupleDesc columns) {
  AttrNumber integer = InvalidAttrNumber;
  for (int i = 0; i < columns->natts; ++i) {
    Form_pg_attribute attribute = TupleDescAttr(columns, i);
    if (!IsDefaultTimeColumn(attribute)) continue;
    if (getBaseType(attribute->atttypid) != INT8OID) return i + 1;
    if (integer == InvalidAttrNumber) integer = i + 1;
  }
  return integer;
}

void ResolveTime(TupleDesc columns, const Label *label, TableOptions *options) {
  options->time_is_default = label->time_column == nullptr;
  if (label->time_column == nullptr) {
    options->time_attribute = DefaultTimeColumn(columns);
  } else if (label->time_column[0] != '\0') {
    options->time_attribute = FindAttribute(columns, label->time_column);
    // A hand-made label may name anything; it must not make the table unreadable.
    if (options->time_attribute == InvalidAttrNumber ||
        !IsTimeType(getBaseType(TupleDescAttr(columns, options->time_attribute - 1)->atttypid))) {
      options->time_is_default = true;
      options->time_attribute = DefaultTimeColumn(columns);
    }
  }
  if (options->time_attribute != InvalidAttrNumber)
    options->time_type = getBaseType(TupleDescAttr(columns, options->time_attribute - 1)->atttypid);
  options->interval_is_auto =
      label->chunk_interval == nullptr || options->time_type == InvalidOid ||
      !ParseWidth(label->chunk_interval, options->time_type, &options->chunk_interval);
  if (options->interval_is_auto) options->chunk_interval = DayOfType(options->time_type);
}

/// Attribute numbers of the names that exist, without repetition and without `except`.
int ResolveNames(TupleDesc columns, const List *names, AttrNumber except, AttrNumber *attributes) {
  int count = 0;
  ListCell *cell;
  foreach (cell, names) {
    const AttrNumber attribute = FindAttribute(columns, static_cast<const char *>(lfirst(cell)));
    bool skip = attribute == InvalidAttrNumber || attribute == except;
    for (int i = 0; i < count; ++i) skip = skip || attributes[i] == attribute;
    if (!skip && count < kMaxSortColumns) attributes[count++] = attribute;
  }
  return count;
}

/// The relation whose label counts. A rewrite (ALTER TABLE, CLUSTER, REFRESH) fills a relation of
/// its own, which takes the place of the old one at the end: its options are the old one's.
Oid LabelOwner(Relation relation) {
  const char *name = RelationGetRelationName(relation);
  constexpr char kPrefix[] = "pg_temp_";
  constexpr size_t kLength = sizeof kPrefix - 1;
  if (relation->rd_createSubid != InvalidSubTransactionId && strncmp(name, kPrefix, kLength) == 0) {
    char *end;
    const unsigned long old = strtoul(name + kLength, &end, 10);
    if (end != name + kLength && *end == '\0' &&
        SearchSysCacheExists1(RELOID, ObjectIdGetDatum(static_cast<Oid>(old))))
      return static_cast<Oid>(old);
  }
  return RelationGetRelid(relation);
}

}  // namespace

void ResolveLabel(const Label *label, TupleDesc columns, TableOptions *options) {
  *options = TableOptions{};
  ResolveTime(columns, label, options);
  options->segment_by_is_given = label->segment_by_origin != SegmentByOrigin::kOpen;
  options->segment_by_is_automatic = label->segment_by_origin == SegmentByOrigin::kAutomatic;
  options->segment_by_count =
      ResolveNames(columns, label->segment_by, options->time_attribute, options->segment_by);
  options->order_by_count =
      ResolveNames(columns, label->order_by, InvalidAttrNumber, options->order_by);
  options->decoded_off = label->decoded == Decoded::kOff;
}

TableOptions *GetTableOptions(Relation relation) {
  auto *options = static_cast<TableOptions *>(palloc(sizeof(TableOptions)));
  // The relation's private cache: freed by the server when the relation changes, and heap's code
  // does not use it. Writers of labels send the invalidation.
  if (relation->rd_amcache == nullptr) {
    const uint64 messages = SharedInvalidMessageCounter;
    ResolveLabel(ReadLabel(LabelOwner(relation)), RelationGetDescr(relation), options);
    // An invalidation that came while we read may have been about what we read.
    if (messages == SharedInvalidMessageCounter && relation->rd_amcache == nullptr) {
      void *copy = MemoryContextAlloc(CacheMemoryContext, sizeof(TableOptions));
      memcpy(copy, options, sizeof(TableOptions));
      relation->rd_amcache = copy;
    }
  } else {
    memcpy(options, relation->rd_amcache, sizeof(TableOptions));
  }
  return options;
}

void RememberSegmentBy(Relation relation, int count, const AttrNumber *attributes) {
  const Oid relation_id = LabelOwner(relation);
  if (!LockLabel(relation_id, LabelLock::kTry)) return;
  Label *label = ReadLabel(relation_id);
  if (label->segment_by_origin != SegmentByOrigin::kOpen) return;
  TupleDesc columns = RelationGetDescr(relation);
  label->segment_by_origin = SegmentByOrigin::kAutomatic;
  for (int i = 0; i < count; ++i)
    label->segment_by = lappend(
        label->segment_by, pstrdup(NameStr(TupleDescAttr(columns, attributes[i] - 1)->attname)));
  // Segments are about to be written: a column added later must not become the time column.
  if (label->time_column == nullptr) {
    const AttrNumber time = DefaultTimeColumn(columns);
    label->time_column = time == InvalidAttrNumber
                             ? pstrdup("")
                             : pstrdup(NameStr(TupleDescAttr(columns, time - 1)->attname));
  }
  WriteLabel(relation_id, label);
  CommandCounterIncrement();
  // When the label is another relation's, only that one's cache was invalidated.
  if (relation->rd_amcache != nullptr) {
    pfree(relation->rd_amcache);
    relation->rd_amcache = nullptr;
  }
}

Oid TsextAccessMethod() {
  return get_table_am_oid("tsext", true);
}

namespace {

bool UsesAccessMethod(Form_pg_class relation) {
  if (relation->relkind != RELKIND_RELATION && relation->relkind != RELKIND_MATVIEW) return false;
  return relation->relam != HEAP_TABLE_AM_OID && OidIsValid(relation->relam) &&
         relation->relam == TsextAccessMethod();
}

}  // namespace

bool IsTsextRelation(Relation relation) {
  return UsesAccessMethod(relation->rd_rel);
}

bool IsTsextTable(Oid relation_id) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation_id));
  if (!HeapTupleIsValid(tuple)) return false;
  const bool found = UsesAccessMethod(reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple)));
  ReleaseSysCache(tuple);
  return found;
}

}  // namespace tsext::pg
