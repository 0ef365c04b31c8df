#include "pg/exec/planner.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_class_d.h"
#include "optimizer/plancat.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"
}

namespace tsext::pg {

namespace {

get_relation_info_hook_type previous_get_relation_info = nullptr;

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

}  // namespace

void InitPlanner() {
  previous_get_relation_info = get_relation_info_hook;
  get_relation_info_hook = GetRelationInfo;
}

}  // namespace tsext::pg
