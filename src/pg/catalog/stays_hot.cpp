// Which tables keep all their rows hot, and why.

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/xlog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_publication.h"
#include "commands/trigger.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

/// Keys are checked against hot rows only, so a key's rows must all be hot.
const char *KeyReason(Relation relation) {
  const char *reason = nullptr;
  List *indexes = RelationGetIndexList(relation);
  ListCell *cell;
  foreach (cell, indexes) {
    const Oid index_id = lfirst_oid(cell);
    HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index_id));
    if (!HeapTupleIsValid(tuple)) continue;
    auto *index = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
    if (index->indisexclusion)
      reason = psprintf("it has an exclusion constraint \"%s\"", get_rel_name(index_id));
    else if (index->indisunique)
      reason = psprintf("it has a unique index \"%s\"", get_rel_name(index_id));
    ReleaseSysCache(tuple);
    if (reason != nullptr) break;
  }
  list_free(indexes);
  return reason;
}

bool IsReferencedByForeignKey(Relation relation) {
  const TriggerDesc *triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i)
    if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) == RI_TRIGGER_PK) return true;
  return false;
}

bool IsPublished(Relation relation) {
  if (GetAllTablesPublications() != NIL) return true;
  List *relations = get_partition_ancestors(RelationGetRelid(relation));
  relations = lcons_oid(RelationGetRelid(relation), relations);
  ListCell *cell;
  foreach (cell, relations) {
    if (GetRelationPublications(lfirst_oid(cell)) != NIL) return true;
    if (GetSchemaPublications(get_rel_namespace(lfirst_oid(cell))) != NIL) return true;
  }
  return false;
}

bool DatabaseHasLogicalSlot() {
  bool found = false;
  LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
  for (int i = 0; i < max_replication_slots && !found; ++i) {
    const ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
    found = slot->in_use && slot->data.database == MyDatabaseId;
  }
  LWLockRelease(ReplicationSlotControlLock);
  return found;
}

bool IsSubscribed(Relation relation) {
  CatCList *rows =
      SearchSysCacheList1(SUBSCRIPTIONRELMAP, ObjectIdGetDatum(RelationGetRelid(relation)));
  const bool found = rows->n_members > 0;
  ReleaseSysCacheList(rows);
  return found;
}

/// A segment needs one.
bool HasColumns(TupleDesc descriptor) {
  for (int i = 0; i < descriptor->natts; i++)
    if (!TupleDescAttr(descriptor, i)->attisdropped) return true;
  return false;
}

}  // namespace

const char *StaysHotBecause(Relation relation) {
  if (relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP) return "it is temporary";
  if (relation->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED) return "it is unlogged";
  if (!OidIsValid(relation->rd_rel->reltoastrelid)) return "it has no TOAST table";
  if (!HasColumns(RelationGetDescr(relation))) return "it has no columns";
  const char *reason = KeyReason(relation);
  if (reason != nullptr) return reason;
  if (IsReferencedByForeignKey(relation)) return "it is referenced by a foreign key";
  if (IsSubscribed(relation)) return "it is the target of a subscription";
  if (XLogLogicalInfoActive() && !GetTableOptions(relation)->decoded_off) {
    if (IsPublished(relation)) return "it is published";
    if (DatabaseHasLogicalSlot()) return "the database has a logical replication slot";
  }
  return nullptr;
}

}  // namespace tsext::pg
