#include "pg/exec/planner.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/exec/scan.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_class_d.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"
}

namespace tsext::pg {

namespace {

get_relation_info_hook_type previous_get_relation_info = nullptr;
set_rel_pathlist_hook_type previous_set_rel_pathlist = nullptr;

/// Whether all rows of the table are hot now. Tables that are not permanent are never compressed,
/// and one with a valid unique index neither: compaction passes it by, and the index is refused
/// while there are cold rows. For others it may change at any time. The first compaction makes
/// plans invalid, and RefuseColdRows() stops one that escapes.
bool IsHot(Relation relation, const RelOptInfo *rel) {
  if (!RelationIsPermanent(relation)) return true;
  ListCell *cell;
  foreach (cell, rel->indexlist)
    if (lfirst_node(IndexOptInfo, cell)->unique) return true;
  return !HasSegments(relation->rd_rel->reltoastrelid, nullptr);
}

/// Indexes and the heap's tuple ids are of the hot rows only, so a path over them would lose the
/// cold ones.
void ForgetHotPaths(Oid relation_id, RelOptInfo *rel) {
  Relation relation = table_open(relation_id, NoLock);
  if (IsTsextRelation(relation) && !IsHot(relation, rel)) {
    rel->indexlist = NIL;
    rel->amflags &= ~static_cast<uint32>(AMFLAG_HAS_TID_RANGE);
  }
  table_close(relation, NoLock);
}

void GetRelationInfo(PlannerInfo *root, Oid relation_id, bool is_parent, RelOptInfo *rel) {
  if (previous_get_relation_info != nullptr)
    previous_get_relation_info(root, relation_id, is_parent, rel);
  if (!is_parent && (rel->indexlist != NIL || rel->amflags != 0))
    Enter([&] { ForgetHotPaths(relation_id, rel); });
}

/// A table that is all hot is a heap to the planner too.
void AddPaths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry) {
  if (!enable_scan || entry->rtekind != RTE_RELATION || entry->inh || entry->tablesample != nullptr)
    return;
  if (entry->relkind != RELKIND_RELATION && entry->relkind != RELKIND_MATVIEW) return;
  Relation relation = table_open(entry->relid, NoLock);
  const bool has_cold_rows = IsTsextRelation(relation) && !IsHot(relation, rel);
  table_close(relation, NoLock);
  if (has_cold_rows) AddScanPaths(root, rel, entry);
}

void SetRelPathlist(PlannerInfo *root, RelOptInfo *rel, Index index, RangeTblEntry *entry) {
  if (previous_set_rel_pathlist != nullptr) previous_set_rel_pathlist(root, rel, index, entry);
  Enter([&] { AddPaths(root, rel, entry); });
}

}  // namespace

void InitPlanner() {
  previous_set_rel_pathlist = set_rel_pathlist_hook;
  set_rel_pathlist_hook = SetRelPathlist;
  InitScan();
  previous_get_relation_info = get_relation_info_hook;
  get_relation_info_hook = GetRelationInfo;
}

}  // namespace tsext::pg
