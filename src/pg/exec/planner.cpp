#include "pg/exec/planner.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"

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

/// Whether no row of the table can ever be cold while it is as it is; any change of that makes
/// plans invalid. Tables that are not permanent are never compressed, and one with a valid unique
/// index neither: compaction passes it by, and the index is refused while there are cold rows.
bool IsAlwaysHot(Relation relation, const RelOptInfo *rel) {
  if (relation->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT) return true;
  ListCell *cell;
  foreach (cell, rel->indexlist)
    if (lfirst_node(IndexOptInfo, cell)->unique) return true;
  return false;
}

/// Indexes hold the hot rows only, so a path over one would lose the cold ones.
void ForgetIndexes(Oid relation_id, RelOptInfo *rel) {
  Relation relation = table_open(relation_id, NoLock);
  if (IsTsextRelation(relation) && !IsAlwaysHot(relation, rel)) rel->indexlist = NIL;
  table_close(relation, NoLock);
}

void GetRelationInfo(PlannerInfo *root, Oid relation_id, bool is_parent, RelOptInfo *rel) {
  if (previous_get_relation_info != nullptr)
    previous_get_relation_info(root, relation_id, is_parent, rel);
  if (!is_parent && rel->indexlist != NIL) Enter([&] { ForgetIndexes(relation_id, rel); });
}

}  // namespace

void InitPlanner() {
  previous_get_relation_info = get_relation_info_hook;
  get_relation_info_hook = GetRelationInfo;
}

}  // namespace tsext::pg
