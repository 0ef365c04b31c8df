// Changes of row security below continuous aggregates: their views are made anew in the same
// statement, or it is refused. Policies are followed by the object access hook, however they come
// and go: by DROP OWNED, by CASCADE.

#include "pg/base/boundary.hpp"
#include "pg/cagg/alter.hpp"
#include "pg/cagg/define.hpp"
#include "pg/cagg/row_security.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

object_access_hook_type next_object_access_hook = nullptr;

// Tables whose row security has changed in this transaction, until the end of the statement: in
// memory of the transaction. A rolled back savepoint leaves some of which nothing has changed.
List *changed_tables = nullptr;

void NoteTable(Oid table) {
  const MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
  changed_tables = list_append_unique_oid(changed_tables, table);
  MemoryContextSwitchTo(caller);
}

/// An attribute of the row of a catalog with this OID, which may not be visible to others yet;
/// InvalidOid: there is none.
Oid OidAttribute(Oid catalog_id, Oid index, AttrNumber oid_attribute, Oid oid,
                 AttrNumber attribute) {
  Relation catalog = table_open(catalog_id, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, oid_attribute, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
  SysScanDesc scan = systable_beginscan(catalog, index, true, SnapshotSelf, 1, &key);
  HeapTuple tuple = systable_getnext(scan);
  bool is_null = true;
  Datum value = 0;
  if (HeapTupleIsValid(tuple))
    value = heap_getattr(tuple, attribute, RelationGetDescr(catalog), &is_null);
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return is_null ? InvalidOid : DatumGetObjectId(value);
}

void NotePolicy(Oid policy) {
  const Oid table = OidAttribute(PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, policy,
                                 Anum_pg_policy_polrelid);
  if (OidIsValid(table)) NoteTable(table);
}

void ObjectAccessHook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
                      void *argument) {
  if (next_object_access_hook != nullptr)
    next_object_access_hook(access, class_id, object_id, sub_id, argument);
  if (class_id == PolicyRelationId &&
      (access == OAT_DROP || access == OAT_POST_CREATE || access == OAT_POST_ALTER))
    Enter([&] { NotePolicy(object_id); });
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
    changed_tables = nullptr;
}

// ------------------------------------------------------------------------------------ readers

/// Views whose queries name the table.
List *ViewsOf(Oid table) {
  List *views = nullptr;
  Relation catalog = table_open(DependRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(RelationRelationId));
  ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(table));
  SysScanDesc scan = systable_beginscan(catalog, DependReferenceIndexId, true, nullptr, 2, keys);
  HeapTuple tuple;
  while ((tuple = systable_getnext(scan)) != nullptr) {
    const auto *form = reinterpret_cast<Form_pg_depend>(GETSTRUCT(tuple));
    if (form->classid != RewriteRelationId) continue;
    views = list_append_unique_oid(
        views, OidAttribute(RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, form->objid,
                            Anum_pg_rewrite_ev_class));
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return views;
}

/// Makes the view anew, whoever owns it: what people wrote was analysed when they wrote it.
void RemakeView(Oid view) {
  LockRelationOid(view, AccessExclusiveLock);
  const ContinuousAggregate *aggregate = AggregateOfView(view);
  if (aggregate == nullptr) return;
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
                         security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  (void)MakeAggregateView(*aggregate, nullptr);
  SetUserIdAndSecContext(user, security);
}

/// Appends those of a base that read one of the views, directly or through others.
List *AddAggregatesOfBase(Oid base, const List *readers, List *found) {
  int count;
  ContinuousAggregate *aggregates = AggregatesOfBase(base, nullptr, &count);
  List *views = nullptr;
  for (int i = 0; i < count; ++i) {
    ContinuousAggregate *aggregate = &aggregates[i];
    if (!list_member_oid(readers, aggregate->direct) &&
        !list_member_oid(readers, aggregate->view) && !list_member_oid(views, aggregate->source))
      continue;
    views = lappend_oid(views, aggregate->view);
    found = lappend(found, aggregate);
  }
  return found;
}

/// The aggregates that read the table, on any level, lower ones first.
List *AggregatesOver(Oid table) {
  const List *readers = ViewsOf(table);
  List *bases = nullptr;
  List *found = nullptr;
  ListCell *cell;
  foreach (cell, readers) {
    const ContinuousAggregate *aggregate = AggregateOfDirect(lfirst_oid(cell));
    if (aggregate != nullptr) bases = list_append_unique_oid(bases, aggregate->base);
  }
  foreach (cell, bases) found = AddAggregatesOfBase(lfirst_oid(cell), readers, found);
  return found;
}

void RemakeViewsOver(Oid table) {
  ListCell *cell;
  foreach (cell, AggregatesOver(table))
    RemakeView(static_cast<const ContinuousAggregate *>(lfirst(cell))->view);
}

// ------------------------------------------------------------------------------------ locks

constexpr int kLockRounds = 100;

/// Locks all of them, and waits for one at a time while it holds none. Readers lock the view before
/// the table, writers and refreshes the other way round: waiting in any order would be a deadlock
/// with some. When one is always in use the statement takes its locks as it comes.
void LockTogether(const List *relations) {
  const int count = list_length(relations);
  int first = 0;
  for (int round = 0; round < kLockRounds; ++round) {
    LockRelationOid(list_nth_oid(relations, first), AccessExclusiveLock);
    int held = 0;
    while (held < count &&
           (held == first ||
            ConditionalLockRelationOid(list_nth_oid(relations, held), AccessExclusiveLock)))
      ++held;
    if (held == count) return;
    for (int i = 0; i < held; ++i)
      if (i != first) UnlockRelationOid(list_nth_oid(relations, i), AccessExclusiveLock);
    UnlockRelationOid(list_nth_oid(relations, first), AccessExclusiveLock);
    first = held;
    CHECK_FOR_INTERRUPTS();
  }
}

enum class Parts { kView, kAll };

/// Locks the table and what is above, for somebody who may change its row security.
void LockOver(const RangeVar *name, Parts parts) {
  const Oid table = RangeVarGetRelid(name, NoLock, true);
  if (!OidIsValid(table) || get_rel_relkind(table) != RELKIND_RELATION) return;
  if (!TsextOwnsRelation(table, GetUserId())) return;
  const List *aggregates = AggregatesOver(table);
  if (aggregates == nullptr) return;
  List *relations = list_make1_oid(table);
  ListCell *cell;
  foreach (cell, aggregates) {
    const auto *aggregate = static_cast<const ContinuousAggregate *>(lfirst(cell));
    relations = lappend_oid(relations, aggregate->view);
    if (parts == Parts::kView) continue;
    relations = lappend_oid(relations, aggregate->direct);
    relations = lappend_oid(relations, aggregate->materialization);
  }
  LockTogether(relations);
}

/// The table of a statement about one policy; nullptr: it is about none.
const RangeVar *TableOfPolicy(Node *statement) {
  switch (nodeTag(statement)) {
    case T_CreatePolicyStmt:
      return reinterpret_cast<CreatePolicyStmt *>(statement)->table;
    case T_AlterPolicyStmt:
      return reinterpret_cast<AlterPolicyStmt *>(statement)->table;
    case T_RenameStmt: {
      const auto *rename = reinterpret_cast<RenameStmt *>(statement);
      return rename->renameType == OBJECT_POLICY ? rename->relation : nullptr;
    }
    case T_DropStmt: {
      const auto *drop = reinterpret_cast<DropStmt *>(statement);
      if (drop->removeType != OBJECT_POLICY) return nullptr;
      // Its name comes last.
      const List *names = castNode(List, linitial(drop->objects));
      return makeRangeVarFromNameList(list_truncate(list_copy(names), list_length(names) - 1));
    }
    default:
      return nullptr;
  }
}

bool IsRowSecurity(AlterTableType type) {
  return type == AT_EnableRowSecurity || type == AT_DisableRowSecurity ||
         type == AT_ForceRowSecurity || type == AT_NoForceRowSecurity;
}

}  // namespace

void PrepareRowSecurity(Node *statement) {
  if (const RangeVar *name = TableOfPolicy(statement); name != nullptr)
    LockOver(name, Parts::kView);
  if (!IsA(statement, AlterTableStmt)) return;
  const auto *alter = reinterpret_cast<AlterTableStmt *>(statement);
  ListCell *cell;
  foreach (cell, alter->cmds) {
    if (!IsRowSecurity(lfirst_node(AlterTableCmd, cell)->subtype)) continue;
    LockOver(alter->relation, Parts::kAll);
    const Oid table = RangeVarGetRelid(alter->relation, NoLock, true);
    if (!OidIsValid(table) || get_rel_relkind(table) != RELKIND_RELATION) return;
    // The lock that these changes take anyway: the name means the same when it is done.
    if (!TsextOwnsRelation(table, GetUserId())) return;
    LockRelationOid(table, AccessExclusiveLock);
    NoteTable(table);
    return;
  }
}

void FinishRowSecurity() {
  while (changed_tables != nullptr) {
    List *tables = changed_tables;
    changed_tables = nullptr;
    CommandCounterIncrement();
    ListCell *cell;
    foreach (cell, tables)
      if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(cell))))
        RemakeViewsOver(lfirst_oid(cell));
    list_free(tables);
  }
}

void InitRowSecurity() {
  next_object_access_hook = object_access_hook;
  object_access_hook = ObjectAccessHook;
  RegisterXactCallback(AtTransactionEnd, nullptr);
  InitRowSecurityPlans();
}

}  // namespace tsext::pg
