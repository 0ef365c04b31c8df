// What keeps labels valid and true: the security label provider, which checks labels made by hand
// or restored from a dump, and the object access hook, which follows renamed and dropped columns
// and tables that leave the access method.

#include "pg/base/boundary.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/label.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/catalog/with_options.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "commands/seclabel.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

object_access_hook_type next_object_access_hook = nullptr;

[[noreturn]] void RefuseTimeColumn(const char *action, const char *table) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("cannot %s the time column of table \"%s\" while it has compressed chunks",
                         action, table),
                  errhint("Make its chunks hot again with decompress_chunk().")));
}

/// Called by SECURITY LABEL after the check of ownership, under ShareUpdateExclusiveLock. Columns
/// are not looked up: a label that names no column of the table falls back to the defaults.
void CheckLabel(const ObjectAddress *object, const char *text) {
  if (object->classId != RelationRelationId || object->objectSubId != 0 ||
      !IsTsextTable(object->objectId))
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("labels of provider \"%s\" belong to tsext tables", kLabelProvider)));
  LockLabel(object->objectId, LabelLock::kWait);
  char *problem = nullptr;
  const Label *label = ParseLabel(text != nullptr ? text : "", &problem);
  if (label == nullptr)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("label of table \"%s\" is malformed: %s", get_rel_name(object->objectId),
                           problem),
                    errhint("Set options with tsext.set_options().")));
  Relation relation = table_open(object->objectId, NoLock);
  TableOptions after;
  ResolveLabel(label, RelationGetDescr(relation), &after);
  if (GetTableOptions(relation)->time_attribute != after.time_attribute) {
    RefuseOtherTime(object->objectId, after.time_attribute);
    if (HasSegments(relation->rd_rel->reltoastrelid, nullptr))
      RefuseTimeColumn("change", RelationGetRelationName(relation));
  }
  table_close(relation, NoLock);
  CacheInvalidateRelcacheByRelid(object->objectId);
}

/// The newest row of a catalog for this key, also when the current command has just written it.
HeapTuple NewestRow(Oid catalog_id, Oid index_id, ScanKeyData *keys, int key_count) {
  Relation catalog = table_open(catalog_id, AccessShareLock);
  SysScanDesc scan = systable_beginscan(catalog, index_id, true, SnapshotSelf, key_count, keys);
  HeapTuple row = systable_getnext(scan);
  if (HeapTupleIsValid(row)) row = heap_copytuple(row);
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return row;
}

Form_pg_class NewestClass(Oid relation_id) {
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(relation_id));
  HeapTuple row = NewestRow(RelationRelationId, ClassOidIndexId, &key, 1);
  return HeapTupleIsValid(row) ? reinterpret_cast<Form_pg_class>(GETSTRUCT(row)) : nullptr;
}

/// nullptr: there is no such column.
Form_pg_attribute NewestColumn(Oid relation_id, AttrNumber attribute) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(relation_id));
  ScanKeyInit(&keys[1], Anum_pg_attribute_attnum, BTEqualStrategyNumber, F_INT2EQ,
              Int16GetDatum(attribute));
  HeapTuple row = NewestRow(AttributeRelationId, AttributeRelidNumIndexId, keys, 2);
  return HeapTupleIsValid(row) ? reinterpret_cast<Form_pg_attribute>(GETSTRUCT(row)) : nullptr;
}

/// Replaces a column's name in the list (new_name = nullptr: takes it out). True when it was there.
bool ReplaceName(List **names, const char *old_name, const char *new_name) {
  List *result = nullptr;
  bool found = false;
  ListCell *cell;
  foreach (cell, *names) {
    auto *name = static_cast<char *>(lfirst(cell));
    const bool matches = strcmp(name, old_name) == 0;
    found = found || matches;
    if (!matches)
      result = lappend(result, name);
    else if (new_name != nullptr)
      result = lappend(result, pstrdup(new_name));
  }
  *names = result;
  return found;
}

/// Follows a column to its new name, or forgets it (new_name = nullptr). True when the label named
/// it.
bool ReplaceColumn(Label *label, const char *old_name, const char *new_name) {
  bool found = false;
  if (label->time_column != nullptr && strcmp(label->time_column, old_name) == 0) {
    label->time_column = new_name != nullptr ? pstrdup(new_name) : nullptr;
    if (new_name == nullptr) label->chunk_interval = nullptr;  // it was of the column's unit
    found = true;
  }
  found = ReplaceName(&label->segment_by, old_name, new_name) || found;
  return ReplaceName(&label->order_by, old_name, new_name) || found;
}

/// Names the time column that segments were cut by or that continuous aggregates follow, if it was
/// found by default so far: columns that are added or changed must not take its place. True when
/// the label was changed.
bool PinTimeColumn(Oid relation_id, Label *label) {
  if (label->time_column != nullptr) return false;
  // Still as before this command.
  Relation relation = table_open(relation_id, NoLock);
  const bool pin =
      HasSegments(relation->rd_rel->reltoastrelid, nullptr) || HasAggregates(relation_id);
  if (pin) {
    const AttrNumber time = GetTableOptions(relation)->time_attribute;
    label->time_column =
        time == InvalidAttrNumber
            ? pstrdup("")
            : pstrdup(NameStr(TupleDescAttr(RelationGetDescr(relation), time - 1)->attname));
  }
  table_close(relation, NoLock);
  return pin;
}

/// However it came: ALTER TABLE of a parent is about its children, too.
void CheckNotNull(Oid relation_id, const FormData_pg_attribute &column) {
  if (column.attnotnull || !HasAggregates(relation_id)) return;
  Relation relation = table_open(relation_id, NoLock);
  const bool is_time = GetTableOptions(relation)->time_attribute == column.attnum;
  table_close(relation, NoLock);
  if (is_time) RefuseNoTime(relation_id);
}

/// A column was added or altered. The command holds AccessExclusiveLock or changes nothing that
/// matters here.
void ColumnChanged(Oid relation_id, AttrNumber attribute) {
  if (!IsTsextTable(relation_id)) return;
  const FormData_pg_attribute *newest = NewestColumn(relation_id, attribute);
  if (newest != nullptr) CheckNotNull(relation_id, *newest);
  // The label can be written once a command, and one command is about one column.
  static Oid last_relation_id = InvalidOid;
  static TransactionId last_transaction = InvalidTransactionId;
  static CommandId last_command = InvalidCommandId;
  const CommandId command = GetCurrentCommandId(false);
  if (last_relation_id == relation_id && last_transaction == GetTopTransactionId() &&
      last_command == command)
    return;
  // Another transaction is writing to the table, so this command is none that changes names or
  // types.
  if (!LockLabel(relation_id, LabelLock::kTry)) return;
  Label *label = ReadLabel(relation_id);
  bool changed = PinTimeColumn(relation_id, label);
  // The syscache has the name from before this command.
  const char *old_name = get_attname(relation_id, attribute, true);
  const char *new_name = newest != nullptr ? NameStr(newest->attname) : nullptr;
  if (old_name != nullptr && new_name != nullptr && strcmp(old_name, new_name) != 0)
    changed = ReplaceColumn(label, old_name, new_name) || changed;
  if (!changed) return;
  WriteLabel(relation_id, label);
  last_relation_id = relation_id;
  last_transaction = GetTopTransactionId();
  last_command = command;
}

void ColumnDropped(Oid relation_id, AttrNumber attribute) {
  if (!IsTsextTable(relation_id)) return;
  Relation relation = table_open(relation_id, NoLock);
  if (GetTableOptions(relation)->time_attribute == attribute &&
      HasSegments(relation->rd_rel->reltoastrelid, nullptr))
    RefuseTimeColumn("drop", RelationGetRelationName(relation));
  table_close(relation, NoLock);
  const char *name = get_attname(relation_id, attribute, true);
  Label *label = ReadLabel(relation_id);
  if (name != nullptr && ReplaceColumn(label, name, nullptr)) WriteLabel(relation_id, label);
}

/// A label on a table that is no longer ours would make its dump need tsext.
void RelationAltered(Oid relation_id) {
  if (!IsTsextTable(relation_id)) return;
  const Form_pg_class newest = NewestClass(relation_id);
  if (newest == nullptr || newest->relam == TsextAccessMethod()) return;
  const Label empty;
  WriteLabel(relation_id, &empty);
}

void RelationCreated(Oid relation_id) {
  if (!HasPendingOptions()) return;
  const Form_pg_class created = NewestClass(relation_id);
  if (created != nullptr) ApplyPendingOptions(created);
}

void ObjectAccessed(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id) {
  if (class_id != RelationRelationId) return;
  if (access == OAT_POST_ALTER && sub_id > 0) ColumnChanged(object_id, sub_id);
  if (access == OAT_POST_CREATE && sub_id > 0) ColumnChanged(object_id, sub_id);
  if (access == OAT_POST_ALTER && sub_id == 0) RelationAltered(object_id);
  if (access == OAT_DROP && sub_id > 0) ColumnDropped(object_id, sub_id);
  if (access == OAT_POST_CREATE && sub_id == 0) RelationCreated(object_id);
}

void ObjectAccessHook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
                      void *argument) {
  if (next_object_access_hook != nullptr)
    next_object_access_hook(access, class_id, object_id, sub_id, argument);
  Enter([&] { ObjectAccessed(access, class_id, object_id, sub_id); });
}

}  // namespace

void InitOptions() {
  register_label_provider(kLabelProvider, [](const ObjectAddress *object, const char *text) {
    Enter([&] { CheckLabel(object, text); });
  });
  next_object_access_hook = object_access_hook;
  object_access_hook = ObjectAccessHook;
  InitWithOptions();
}

}  // namespace tsext::pg
