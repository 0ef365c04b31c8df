#include "pg/exec/scan.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/exec/cost.hpp"
#include "pg/exec/join_scan.hpp"
#include "pg/exec/scan_state.hpp"
#include "pg/exec/vector_filter.hpp"

extern "C" {
#include "access/sysattr.h"
#include "nodes/extensible.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
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
  plan->custom_private = reasons;
  plan->methods = &kScanMethods;
  return &plan->scan.plan;
}

}  // namespace

void AddScanPaths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry) {
  if (LocksRows(root) || rel->lateral_relids != nullptr) return;
  if (UsesSystemColumns(UsedAttributes(rel->relid, ExpressionsOf(rel)))) return;

  const ScanRun cost = CostOfScan(root, rel, nullptr);
  add_path(rel, MakeScanPath(rel, cost, nullptr, 0));
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
