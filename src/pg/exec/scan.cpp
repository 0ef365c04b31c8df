#include "pg/exec/scan.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/cost.hpp"
#include "pg/exec/join_scan.hpp"
#include "pg/exec/scan_state.hpp"
#include "pg/exec/vector_filter.hpp"

extern "C" {
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "nodes/extensible.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "utils/rel.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

/// Whether rows of this query may be fetched again by their tuple id while another transaction
/// changes them: then the scan must give heap tuples.
bool LocksRows(const PlannerInfo *root) {
  for (; root != nullptr; root = root->parent_root) {
    if (root->parse->commandType == CMD_UPDATE || root->parse->commandType == CMD_DELETE ||
        root->parse->commandType == CMD_MERGE || root->parse->rowMarks != NIL) {
      return true;
    }
  }
  return false;
}

/// Attribute numbers, offset by FirstLowInvalidHeapAttributeNumber, that `expressions` use of the
/// relation.
Bitmapset *UsedAttributes(Index rel, List *expressions) {
  Bitmapset *used = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(expressions), rel, &used);
  return used;
}

/// A virtual slot has a ctid and a tableoid, no other system columns.
bool UsesSystemColumns(const Bitmapset *used) {
  for (int member = -1; (member = bms_next_member(used, member)) >= 0;) {
    const int attribute = member + FirstLowInvalidHeapAttributeNumber;
    if (attribute < 0 && attribute != SelfItemPointerAttributeNumber &&
        attribute != TableOidAttributeNumber)
      return true;
  }
  return false;
}

List *ExpressionsOf(const RelOptInfo *rel) {
  List *expressions = list_copy(rel->reltarget->exprs);
  ListCell *cell;
  foreach (cell, rel->baserestrictinfo)
    expressions = lappend(expressions, lfirst_node(RestrictInfo, cell)->clause);
  return expressions;
}

Plan *PlanScan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target, List *clauses,
               List *children);

const CustomPathMethods kPathMethods = {"TsextScan", PlanScan, nullptr};

/// What a scan costs in one process. parameters: what a nested loop gives it, or nullptr.
struct ScanRun {
  Cost startup, run;
  double segments_met;
};

ScanRun CostOfScan(PlannerInfo *root, RelOptInfo *rel, const ParamPathInfo *parameters) {
  List *clauses = rel->baserestrictinfo;
  if (parameters != nullptr) clauses = list_concat_copy(clauses, parameters->ppi_clauses);
  List *filters;
  List *row_filters;
  SplitClauses(root, rel, clauses, &filters, &row_filters);
  const ScanWork work =
      EstimateScanWork(root, rel, clauses, filters, CountColumns(rel, row_filters));
  const ScanCost cost = EstimateScanCost(root, rel, work);
  return {cost.startup + (enable_seqscan ? 0 : disable_cost),
          cost.cold + cost.hot + CostOfRows(root, rel, cost.rows, row_filters), cost.segments_met};
}

/// A scan shared by `workers` and the leader.
Path *MakeScanPath(RelOptInfo *rel, const ScanRun &cost, ParamPathInfo *parameters, int workers) {
  CustomPath *path = makeNode(CustomPath);
  path->path.pathtype = T_CustomScan;
  path->path.parent = rel;
  path->path.pathtarget = rel->reltarget;
  path->path.param_info = parameters;
  path->path.parallel_aware = workers > 0;
  path->path.parallel_safe = rel->consider_parallel;
  path->path.parallel_workers = workers;
  const double divisor = workers > 0 ? ParallelDivisor(workers) : 1;
  const double rows = parameters != nullptr ? parameters->ppi_rows : rel->rows;
  path->path.rows = clamp_row_est(rows / divisor);
  path->path.startup_cost = cost.startup;
  path->path.total_cost = cost.startup + cost.run / divisor;
  // Not backwards: where a cursor wants that, the planner keeps the rows.
  path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
  path->methods = &kPathMethods;
  return &path->path;
}

Node *CreateScanState(CustomScan *) {
  auto *node = static_cast<ScanState *>(palloc0(sizeof(ScanState)));
  NodeSetTag(node, T_CustomScanState);
  node->custom.methods = &kScanExecMethods;
  return reinterpret_cast<Node *>(node);
}

const CustomScanMethods kScanMethods = {"TsextScan", CreateScanState};

/// custom_exprs = the clauses that vectors answer; plan.qual = the others; custom_private = why
/// they were left. The columns are found out when the scan starts: the planner may still replace
/// the target list.
Plan *PlanScan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target, List *clauses,
               List *) {
  CustomScan *plan = makeNode(CustomScan);
  List *reasons = NIL;
  Enter([&] {
    SplitQuals(root, rel->relid, clauses, &plan->custom_exprs, &plan->scan.plan.qual, &reasons);
  });
  plan->scan.plan.targetlist = target;
  plan->scan.scanrelid = rel->relid;
  plan->flags = path->flags;
  // A path by time knows its order; the target list has the time column.
  List *order = path->custom_private;
  plan->custom_private =
      order == NIL
          ? MakeScanPrivate(reasons, BatchOrder::kAny, 0, 0)
          : MakeScanPrivate(reasons, static_cast<BatchOrder>(linitial_int(order)),
                            static_cast<AttrNumber>(lsecond_int(order)), lthird_int(order));
  plan->methods = &kScanMethods;
  return &plan->scan.plan;
}

// ---- Order ----

/// Greatest LIMIT that is served without a Sort.
constexpr double kMaxOrderedLimit = 10'000;

/// Whether the query wants its rows by the time column alone.
bool WantsTimeOrder(const PlannerInfo *root, const RelOptInfo *rel, AttrNumber attribute,
                    Oid operator_family, BatchOrder *order) {
  if (list_length(root->query_pathkeys) != 1) return false;
  const auto *key = linitial_node(PathKey, root->query_pathkeys);
  if (key->pk_opfamily != operator_family || key->pk_eclass->ec_has_volatile) return false;
  *order = key->pk_strategy == BTLessStrategyNumber ? BatchOrder::kOldest : BatchOrder::kNewest;
  ListCell *cell;
  foreach (cell, key->pk_eclass->ec_members) {
    const auto *member = lfirst_node(EquivalenceMember, cell);
    if (!IsA(member->em_expr, Var) || member->em_is_child) continue;
    const auto *var = reinterpret_cast<const Var *>(member->em_expr);
    if (var->varno == static_cast<int>(rel->relid) && var->varattno == attribute) return true;
  }
  return false;
}

/// A path by time for the only table of a query with a LIMIT. NULLs have no place in the order of a
/// scan, so the column must not have any.
void AddOrderedPath(PlannerInfo *root, RelOptInfo *rel, Oid relation_id, const ScanRun &cost) {
  if (root->limit_tuples <= 0 || root->limit_tuples > kMaxOrderedLimit) return;
  if (rel->reloptkind != RELOPT_BASEREL || bms_membership(root->all_baserels) != BMS_SINGLETON)
    return;
  Relation relation = table_open(relation_id, NoLock);
  const TableOptions *options = Enter([&] { return GetTableOptions(relation); });
  const AttrNumber attribute = options->time_attribute;
  const bool is_possible = attribute != InvalidAttrNumber &&
                           TupleDescAttr(RelationGetDescr(relation), attribute - 1)->attnotnull;
  table_close(relation, NoLock);
  if (!is_possible) return;
  BatchOrder order;
  const Oid family = lookup_type_cache(options->time_type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
  if (!WantsTimeOrder(root, rel, attribute, family, &order)) return;

  Path *path = MakeScanPath(rel, cost, nullptr, 0);
  path->pathkeys = root->query_pathkeys;
  path->rows = clamp_row_est(Min(rel->rows, root->limit_tuples));
  // Nearly all of the work is done before the first row: the vectors of one chunk, or as many as
  // have the rows, and the hot rows.
  const TableSize size = GetTableSize(root, rel);
  const double share = Max(1 / Max(size.chunks, 1.0), path->rows / Max(rel->rows, 1.0));
  path->total_cost = cost.startup + cost.run * Min(share, 1.0) * 0.5;
  path->startup_cost = path->total_cost;
  reinterpret_cast<CustomPath *>(path)->custom_private =
      list_make3_int(static_cast<int>(order), attribute, static_cast<int>(root->limit_tuples));
  add_path(rel, path);
}

}  // namespace

void AddScanPaths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry) {
  if (LocksRows(root) || rel->lateral_relids != nullptr) return;
  if (UsesSystemColumns(UsedAttributes(rel->relid, ExpressionsOf(rel)))) return;

  const ScanRun cost = CostOfScan(root, rel, nullptr);
  add_path(rel, MakeScanPath(rel, cost, nullptr, 0));
  AddOrderedPath(root, rel, entry->relid, cost);
  const int workers = ScanWorkers(rel, cost.run, cost.segments_met);
  if (workers > 0) add_partial_path(rel, MakeScanPath(rel, cost, nullptr, workers));
  ListCell *cell;
  foreach (cell, FindPruningJoins(root, rel)) {
    auto *parameters = static_cast<ParamPathInfo *>(lfirst(cell));
    add_path(rel, MakeScanPath(rel, CostOfScan(root, rel, parameters), parameters, 0));
  }
}

bool IsScanPlan(const Plan *plan) {
  return IsA(plan, CustomScan) &&
         reinterpret_cast<const CustomScan *>(plan)->methods == &kScanMethods;
}

bool IsScanState(const PlanState *state) {
  return IsA(state, CustomScanState) &&
         reinterpret_cast<const CustomScanState *>(state)->methods == &kScanExecMethods;
}

void InitScan() {
  RegisterCustomScanMethods(&kScanMethods);
}

}  // namespace tsext::pg
