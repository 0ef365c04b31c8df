// Dropping continuous aggregates.
//
// The view depends on its table of buckets and on the view of the query, as any view does on what
// it reads; the other way round nothing depends, since dumps cannot bear circles. So whatever drops
// parts drops the view (or is refused): DROP VIEW, DROP TABLE of the source with CASCADE, DROP
// SCHEMA, DROP OWNED. The object access hook notes views that go, and after the statement what is
// left of their aggregates is dropped.

#include "pg/base/boundary.hpp"
#include "pg/cagg/alter.hpp"
#include "pg/cagg/compute.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

object_access_hook_type next_object_access_hook = nullptr;

// Views whose drop has begun in this transaction: in memory of the transaction. A rolled back
// savepoint leaves some that still stand.
List *dropped_views = nullptr;

void ViewDropped(Oid view) {
  if (get_rel_relkind(view) != RELKIND_VIEW) return;
  const MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
  dropped_views = lappend_oid(dropped_views, view);
  MemoryContextSwitchTo(caller);
}

void ObjectAccessHook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
                      void *argument) {
  if (next_object_access_hook != nullptr)
    next_object_access_hook(access, class_id, object_id, sub_id, argument);
  if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0)
    Enter([&] { ViewDropped(object_id); });
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
    dropped_views = nullptr;
}

bool Exists(Oid relation) {
  return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation));
}

void AddPart(Oid relation, ObjectAddresses *parts) {
  if (!Exists(relation)) return;
  LockRelationOid(relation, AccessExclusiveLock);
  const ObjectAddress address = {RelationRelationId, relation, 0};
  if (Exists(relation)) add_exact_object_address(&address, parts);
}

void DropRest(const ContinuousAggregate &aggregate, DropBehavior behavior) {
  DeleteAggregate(aggregate);
  ObjectAddresses *parts = new_object_addresses();
  AddPart(aggregate.materialization, parts);
  AddPart(aggregate.direct, parts);
  performMultipleDeletions(parts, behavior, PERFORM_DELETION_INTERNAL);
  free_object_addresses(parts);
}

Oid RelationOfName(Node *object) {
  const RangeVar *name = makeRangeVarFromNameList(castNode(List, object));
  return RangeVarGetRelid(name, NoLock, true);
}

/// The aggregate that a relation is a part of.
ContinuousAggregate *AggregateOfPart(Oid relation) {
  if (!OidIsValid(relation)) return nullptr;
  if (get_rel_relkind(relation) == RELKIND_RELATION) return AggregateOfMaterialization(relation);
  if (get_rel_relkind(relation) != RELKIND_VIEW) return nullptr;
  ContinuousAggregate *aggregate = AggregateOfView(relation);
  return aggregate != nullptr ? aggregate : AggregateOfDirect(relation);
}

/// As DROP has names.
List *NameOfRelation(Oid relation) {
  return list_make2(makeString(get_namespace_name(get_rel_namespace(relation))),
                    makeString(get_rel_name(relation)));
}

bool Names(const DropStmt *drop, Oid relation) {
  ListCell *cell;
  foreach (cell, drop->objects)
    if (RelationOfName(static_cast<Node *>(lfirst(cell))) == relation) return true;
  return false;
}

void RefuseParts(const DropStmt *drop, Oid relation, const ContinuousAggregate &aggregate) {
  if (relation == aggregate.view || Names(drop, aggregate.view)) return;
  ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
                  errmsg("cannot drop \"%s\": it is a part of continuous aggregate \"%s\"",
                         get_rel_name(relation), get_rel_name(aggregate.view)),
                  errhint("DROP MATERIALIZED VIEW %s;", NameOf(aggregate.view))));
}

}  // namespace

bool DropsAggregates(const DropStmt *drop) {
  if (drop->removeType != OBJECT_MATVIEW && drop->removeType != OBJECT_VIEW &&
      drop->removeType != OBJECT_TABLE)
    return false;
  bool found = false;
  ListCell *cell;
  foreach (cell, drop->objects) {
    const Oid relation = RelationOfName(static_cast<Node *>(lfirst(cell)));
    const ContinuousAggregate *aggregate = AggregateOfPart(relation);
    if (aggregate == nullptr) continue;
    RefuseParts(drop, relation, *aggregate);
    // DROP TABLE of a view is for PostgreSQL to refuse.
    found = found || (relation == aggregate->view && drop->removeType != OBJECT_TABLE);
  }
  return found;
}

DropStmt *SplitDrop(DropStmt *drop) {
  List *views = nullptr;
  List *others = nullptr;
  ListCell *cell;
  foreach (cell, drop->objects) {
    auto *object = static_cast<Node *>(lfirst(cell));
    const ContinuousAggregate *aggregate = AggregateOfPart(RelationOfName(object));
    if (aggregate == nullptr) {
      others = lappend(others, object);
      continue;
    }
    views = lappend(views, object);
    if (!Names(drop, aggregate->direct)) views = lappend(views, NameOfRelation(aggregate->direct));
  }
  DropStmt *rest = nullptr;
  if (drop->removeType == OBJECT_VIEW) {
    views = list_concat(views, others);
  } else if (others != nullptr) {
    rest = static_cast<DropStmt *>(copyObjectImpl(drop));
    rest->objects = others;
  }
  drop->removeType = OBJECT_VIEW;
  drop->objects = views;
  return rest;
}

bool HasDrops() {
  return dropped_views != nullptr;
}

void FinishDrops(DropBehavior behavior) {
  while (dropped_views != nullptr) {
    List *views = dropped_views;
    dropped_views = nullptr;  // more may come while the rest is dropped
    CommandCounterIncrement();
    ListCell *cell;
    foreach (cell, views) {
      if (Exists(lfirst_oid(cell))) continue;
      const ContinuousAggregate *aggregate = AggregateOfView(lfirst_oid(cell));
      if (aggregate != nullptr) DropRest(*aggregate, behavior);
    }
    list_free(views);
  }
}

void InitAggregateDrops() {
  next_object_access_hook = object_access_hook;
  object_access_hook = ObjectAccessHook;
  RegisterXactCallback(AtTransactionEnd, nullptr);
}

}  // namespace tsext::pg
