#include "pg/exec/scan.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/exec/scan_state.hpp"
#include "pg/exec/vector_filter.hpp"

extern "C" {
#include "access/sysattr.h"
#include "nodes/extensible.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
}

namespace tsext::pg {

namespace {

// Of the cost of a sequential scan, the part that is no decoding of columns.
constexpr double kRowCostShare = 0.3;

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

bool UsesWholeRow(const Bitmapset *used) {
  return bms_is_member(-FirstLowInvalidHeapAttributeNumber, used);
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

CustomPath *MakeScanPath(const Path *sequential, double decoded_share) {
  CustomPath *path = makeNode(CustomPath);
  path->path = *sequential;
  path->path.type = T_CustomPath;
  path->path.pathtype = T_CustomScan;
  path->path.total_cost =
      sequential->startup_cost + (sequential->total_cost - sequential->startup_cost) *
                                     (kRowCostShare + (1 - kRowCostShare) * decoded_share * 0.99);
  // Not backwards: where a cursor wants that, the planner keeps the rows.
  path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
  path->methods = &kPathMethods;
  return path;
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
  if (LocksRows(root)) return;
  Bitmapset *used = UsedAttributes(rel->relid, ExpressionsOf(rel));
  if (UsesSystemColumns(used)) return;
  const int natts = std::max(1, static_cast<int>(rel->max_attr));
  const double share =
      UsesWholeRow(used) ? 1.0 : static_cast<double>(bms_num_members(used)) / natts;

  const auto sequential = [](List *paths) -> const Path * {
    ListCell *cell;
    foreach (cell, paths) {
      const auto *path = static_cast<const Path *>(lfirst(cell));
      if (path->pathtype == T_SeqScan) return path;
    }
    return nullptr;
  };
  const Path *serial = sequential(rel->pathlist);
  const Path *parallel = sequential(rel->partial_pathlist);
  // add_path() frees the paths it drops: make both before adding one.
  CustomPath *serial_scan =
      serial != nullptr ? MakeScanPath(serial, std::min(share, 1.0)) : nullptr;
  CustomPath *parallel_scan =
      parallel != nullptr ? MakeScanPath(parallel, std::min(share, 1.0)) : nullptr;
  if (serial_scan != nullptr) add_path(rel, &serial_scan->path);
  if (parallel_scan != nullptr) add_partial_path(rel, &parallel_scan->path);
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
