#include "pg/exec/planner.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/exec/aggregate.hpp"
#include "pg/exec/index_scan.hpp"
#include "pg/exec/last.hpp"
#include "pg/exec/monotone_bounds.hpp"
#include "pg/exec/scan.hpp"
#include "pg/exec/statistics.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class_d.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "utils/rel.h"
}

namespace tsext::pg {

namespace {

get_relation_info_hook_type previous_get_relation_info = nullptr;
set_rel_pathlist_hook_type previous_set_rel_pathlist = nullptr;

/// Whether rows of the table can be cold, now or when the plan runs. It does not depend on whether
/// any are: a plan outlives compactions. Tables that are not permanent are never compressed, and
/// one with a valid unique index neither: compaction passes it by, and the index is refused while
/// there are cold rows. Making such an index, or dropping it, makes plans invalid.
bool MayHaveColdRows(Relation relation, const RelOptInfo *rel) {
  if (!IsTsextRelation(relation) || !RelationIsPermanent(relation)) return false;
  ListCell *cell;
  foreach (cell, rel->indexlist)
    if (lfirst_node(IndexOptInfo, cell)->unique) return false;
  return true;
}

/// Leaves of an index what TsextIndexScan can wrap. Bitmaps and tuple id ranges are heap's: they
/// would have to be joined by the cold rows in the middle of heap's nodes; index-only scans would
/// have to read what segments do not have in the index.
void LimitIndex(IndexOptInfo *index, bool has_cold_rows) {
  index->amhasgetbitmap = false;
  index->amcanparallel = false;
  for (int i = 0; i < index->ncolumns; i++) index->canreturn[i] = false;
  // Estimates take the first and last entry of a btree for the column's least and greatest value,
  // unless the index does not really exist. Nothing else in the server asks that of a btree.
  if (index->relam == BTREE_AM_OID && has_cold_rows) index->hypothetical = true;
}

/// Indexes and the heap's tuple ids are of the hot rows only.
///
/// Without nodes of ours a table is a heap as long as nothing is cold, and has no index from then
/// on. A plan of before fails with 40001 when it meets cold rows (RefuseColdRows).
void LimitHotPaths(Oid relation_id, RelOptInfo *rel) {
  Relation relation = table_open(relation_id, NoLock);
  if (!MayHaveColdRows(relation, rel)) {
    // A heap for good.
  } else if (!enable_scan) {
    if (HasSegments(relation->rd_rel->reltoastrelid, nullptr)) {
      rel->indexlist = NIL;
      rel->amflags &= ~static_cast<uint32>(AMFLAG_HAS_TID_RANGE);
    }
  } else {
    const bool has_cold_rows = CachedStoreTotal(relation->rd_rel->reltoastrelid).rows > 0;
    List *indexes = NIL;
    ListCell *cell;
    foreach (cell, rel->indexlist) {
      auto *index = lfirst_node(IndexOptInfo, cell);
      LimitIndex(index, has_cold_rows);
      // The others serve for statistics of their expressions.
      if (index->amhasgettuple || index->indexprs != NIL) indexes = lappend(indexes, index);
    }
    rel->indexlist = indexes;
    rel->amflags &= ~static_cast<uint32>(AMFLAG_HAS_TID_RANGE);
  }
  table_close(relation, NoLock);
}

void GetRelationInfo(PlannerInfo *root, Oid relation_id, bool is_parent, RelOptInfo *rel) {
  if (previous_get_relation_info != nullptr)
    previous_get_relation_info(root, relation_id, is_parent, rel);
  if (!is_parent && (rel->indexlist != NIL || rel->amflags != 0))
    Enter([&] { LimitHotPaths(relation_id, rel); });
}

/// Makes the paths of a table that may have cold rows anew: what add_path() has thrown away was
/// compared with paths that cannot be.
void ReplacePaths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry) {
  List *indexes = NIL;
  List *others = NIL;  // by tuple id, or another extension's
  ListCell *cell;
  foreach (cell, rel->pathlist) {
    auto *path = static_cast<Path *>(lfirst(cell));
    if (IsA(path, IndexPath)) {
      // An order, by distance or of a whole index, would not hold for the cold rows.
      const auto *index = castNode(IndexPath, path);
      const bool finds_rows = index->indexclauses != NIL || index->indexinfo->indpred != NIL;
      if (path->pathtype == T_IndexScan && finds_rows && index->indexorderbys == NIL)
        indexes = lappend(indexes, path);
    } else if (path->pathtype != T_SeqScan) {
      others = lappend(others, path);
    }
  }
  rel->pathlist = NIL;
  add_path(rel, create_seqscan_path(root, rel, rel->lateral_relids, 0));
  AddScanPaths(root, rel, entry);
  if (list_length(rel->pathlist) == 1 &&
      static_cast<Path *>(linitial(rel->pathlist))->pathtype == T_SeqScan) {
    // The rows of this statement must be tuples.
    if (Path *path = MakeTupleScanPath(root, rel); path != nullptr) add_path(rel, path);
  }
  foreach (cell, indexes) add_path(rel, MakeIndexScanPath(root, rel, lfirst_node(IndexPath, cell)));
  foreach (cell, others) add_path(rel, static_cast<Path *>(lfirst(cell)));
}

/// A table that stays hot is a heap to the planner too.
void AddPaths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry) {
  if (!enable_scan || entry->rtekind != RTE_RELATION || entry->inh || entry->tablesample != nullptr)
    return;
  if (entry->relkind != RELKIND_RELATION && entry->relkind != RELKIND_MATVIEW) return;
  if (IS_DUMMY_REL(rel)) return;
  Relation relation = table_open(entry->relid, NoLock);
  const bool may_have_cold_rows = MayHaveColdRows(relation, rel);
  if (may_have_cold_rows) EstimateMonotoneClauses(root, rel, relation);
  table_close(relation, NoLock);
  if (may_have_cold_rows) ReplacePaths(root, rel, entry);
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
  InitLast();
  InitAggregate();
  InitIndexScan();
  InitStatistics();
  previous_get_relation_info = get_relation_info_hook;
  get_relation_info_hook = GetRelationInfo;
}

}  // namespace tsext::pg
