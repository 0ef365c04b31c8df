#include "pg/exec/scan.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/scan.hpp"

extern "C" {
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"
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
  path->flags = CUSTOMPATH_SUPPORT_BACKWARD_SCAN | CUSTOMPATH_SUPPORT_PROJECTION;
  path->methods = &kPathMethods;
  return path;
}

/// A bound on the time column: `column operator value`, the value constant during the scan.
struct TimeBound {
  int strategy;
  Expr *value;
};

bool MatchTimeBound(Expr *clause, Index rel, AttrNumber time_attribute, Oid time_type,
                    Oid operator_family, TimeBound *bound) {
  if (!IsA(clause, OpExpr) || list_length(reinterpret_cast<OpExpr *>(clause)->args) != 2)
    return false;
  auto *operation = reinterpret_cast<OpExpr *>(clause);
  Node *left = static_cast<Node *>(linitial(operation->args));
  Node *right = static_cast<Node *>(lsecond(operation->args));
  const auto is_time = [&](Node *node) {
    return IsA(node, Var) && reinterpret_cast<Var *>(node)->varno == static_cast<int>(rel) &&
           reinterpret_cast<Var *>(node)->varattno == time_attribute &&
           reinterpret_cast<Var *>(node)->varlevelsup == 0;
  };
  Oid opno = operation->opno;
  if (is_time(right)) {
    std::swap(left, right);
    opno = get_commutator(opno);
  }
  if (!is_time(left) || !OidIsValid(opno) || getBaseType(exprType(right)) != time_type)
    return false;
  if (contain_volatile_functions(right) || bms_is_member(rel, pull_varnos(nullptr, right)))
    return false;
  bound->strategy = get_op_opfamily_strategy(opno, operator_family);
  bound->value = reinterpret_cast<Expr *>(right);
  return bound->strategy != 0;
}

/// Time bounds among the clauses: the strategies as an integer list, the values as an expression
/// list.
void FindTimeBounds(List *clauses, Index rel, const TableOptions *options, List **strategies,
                    List **values) {
  if (options->time_attribute == InvalidAttrNumber) return;
  const Oid operator_class = GetDefaultOpClass(options->time_type, BTREE_AM_OID);
  if (!OidIsValid(operator_class)) return;
  const Oid operator_family = get_opclass_family(operator_class);
  ListCell *cell;
  foreach (cell, clauses) {
    TimeBound bound;
    if (!MatchTimeBound(static_cast<Expr *>(lfirst(cell)), rel, options->time_attribute,
                        options->time_type, operator_family, &bound)) {
      continue;
    }
    *strategies = lappend_int(*strategies, bound.strategy);
    *values = lappend(*values, bound.value);
  }
}

Node *CreateScanState(CustomScan *plan);

const CustomScanMethods kScanMethods = {"TsextScan", CreateScanState};

/// custom_private = strategies of the time bounds; custom_exprs = their values. The columns are
/// found out when the scan starts: the planner may still replace the target list.
Plan *PlanScan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target, List *clauses,
               List *) {
  CustomScan *plan = makeNode(CustomScan);
  List *quals = extract_actual_clauses(clauses, false);
  List *strategies = NIL;
  List *values = NIL;
  Relation relation = table_open(planner_rt_fetch(rel->relid, root)->relid, NoLock);
  Enter(
      [&] { FindTimeBounds(quals, rel->relid, GetTableOptions(relation), &strategies, &values); });
  table_close(relation, NoLock);

  plan->scan.plan.targetlist = target;
  plan->scan.plan.qual = quals;
  plan->scan.scanrelid = rel->relid;
  plan->flags = path->flags;
  plan->custom_exprs = values;
  plan->custom_private = strategies;
  plan->methods = &kScanMethods;
  return &plan->scan.plan;
}

/// The node at work. Plain data in the query's memory context.
struct ScanState {
  CustomScanState custom;
  TableScanDesc scan;        // nullptr until the first row
  TupleTableSlot *hot_slot;  // a buffer heap slot; its columns are lent to the scan slot
  Bitmapset *attributes;
  int last_attribute;  // of hot rows to deform
  List *strategies;
  List *values;  // ExprState
  Oid time_type;
  int64_t from, to;
  bool nothing;  // a bound is NULL or the range is empty: no row can pass
};

/// Computes [from, to] from the bounds as they are now (parameters of a rescan may have changed).
void ComputeTimeRange(ScanState *node) {
  node->from = kTimeMinimum;
  node->to = kTimeMaximum;
  node->nothing = false;
  ExprContext *context = node->custom.ss.ps.ps_ExprContext;
  ListCell *strategy;
  ListCell *value;
  forboth(strategy, node->strategies, value, node->values) {
    bool is_null;
    const Datum datum =
        ExecEvalExprSwitchContext(static_cast<ExprState *>(lfirst(value)), context, &is_null);
    if (is_null) {
      node->nothing = true;
      return;
    }
    const int64_t time = TimeOfDatum(datum, node->time_type);
    // Strict bounds are taken as inclusive: the qual is tested on every row anyway.
    switch (lfirst_int(strategy)) {
      case BTLessStrategyNumber:
      case BTLessEqualStrategyNumber:
        node->to = std::min(node->to, time);
        break;
      case BTGreaterStrategyNumber:
      case BTGreaterEqualStrategyNumber:
        node->from = std::max(node->from, time);
        break;
      case BTEqualStrategyNumber:
        node->to = std::min(node->to, time);
        node->from = std::max(node->from, time);
        break;
      default:
        break;
    }
  }
  node->nothing = node->from > node->to;
}

/// The columns that the target list and the quals, in their final form, use.
void FindColumns(ScanState *node, const CustomScan *plan, TupleDesc descriptor) {
  Bitmapset *used =
      UsedAttributes(plan->scan.scanrelid,
                     list_concat(list_copy(plan->scan.plan.targetlist), plan->scan.plan.qual));
  const bool whole_row = UsesWholeRow(used);
  for (int attribute = 1; attribute <= descriptor->natts; attribute++) {
    if (TupleDescAttr(descriptor, attribute - 1)->attisdropped) continue;
    if (!whole_row && !bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber, used))
      continue;
    node->attributes = bms_add_member(node->attributes, attribute);
    node->last_attribute = attribute;
  }
}

void BeginScan(CustomScanState *state, EState *, int flags) {
  Enter([&] {
    auto *node = reinterpret_cast<ScanState *>(state);
    auto *plan = reinterpret_cast<CustomScan *>(state->ss.ps.plan);
    Relation relation = state->ss.ss_currentRelation;
    FindColumns(node, plan, RelationGetDescr(relation));
    // An empty set is not NULL ("all"): count(*) decodes nothing.
    if (node->attributes == nullptr) node->attributes = bms_make_singleton(0);
    node->strategies = plan->custom_private;
    node->values = ExecInitExprList(plan->custom_exprs, &state->ss.ps);
    node->time_type = GetTableOptions(relation)->time_type;
    if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0) {
      node->hot_slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsBufferHeapTuple);
    }
  });
}

/// Lends the columns of a hot row to the scan slot, which is virtual because expressions are
/// compiled for that.
TupleTableSlot *LendHotRow(ScanState *node, TupleTableSlot *slot) {
  TupleTableSlot *hot = node->hot_slot;
  slot_getsomeattrs(hot, node->last_attribute);
  ExecClearTuple(slot);
  const int natts = slot->tts_tupleDescriptor->natts;
  memcpy(slot->tts_values, hot->tts_values, sizeof(Datum) * node->last_attribute);
  memcpy(slot->tts_isnull, hot->tts_isnull, sizeof(bool) * node->last_attribute);
  memset(slot->tts_isnull + node->last_attribute, true,
         static_cast<size_t>(natts - node->last_attribute));
  slot->tts_tid = hot->tts_tid;
  slot->tts_tableOid = hot->tts_tableOid;
  return ExecStoreVirtualTuple(slot);
}

TupleTableSlot *NextTuple(ScanState *node) {
  TupleTableSlot *slot = node->custom.ss.ss_ScanTupleSlot;
  EState *estate = node->custom.ss.ps.state;
  if (node->scan == nullptr) {
    node->scan =
        table_beginscan(node->custom.ss.ss_currentRelation, estate->es_snapshot, 0, nullptr);
    node->custom.ss.ss_currentScanDesc = node->scan;
    ComputeTimeRange(node);
    RestrictScan(node->scan, node->attributes, node->from, node->to);
  }
  if (node->nothing) return ExecClearTuple(slot);
  TupleTableSlot *row = NextRow(node->scan, estate->es_direction, node->hot_slot, slot);
  if (row == nullptr) return ExecClearTuple(slot);
  return row == slot ? slot : LendHotRow(node, slot);
}

TupleTableSlot *AccessScan(ScanState *node) {
  return Enter([&] { return NextTuple(node); });
}

bool RecheckScan(ScanState *, TupleTableSlot *) {
  return true;
}

TupleTableSlot *ExecuteScan(CustomScanState *state) {
  return ExecScan(&state->ss, reinterpret_cast<ExecScanAccessMtd>(AccessScan),
                  reinterpret_cast<ExecScanRecheckMtd>(RecheckScan));
}

void EndScan(CustomScanState *state) {
  auto *node = reinterpret_cast<ScanState *>(state);
  if (node->scan != nullptr) table_endscan(node->scan);
  if (node->hot_slot != nullptr) ExecDropSingleTupleTableSlot(node->hot_slot);
}

void RescanScan(CustomScanState *state) {
  Enter([&] {
    auto *node = reinterpret_cast<ScanState *>(state);
    if (node->scan != nullptr) {
      table_rescan(node->scan, nullptr);
      ComputeTimeRange(node);
      RestrictScan(node->scan, node->attributes, node->from, node->to);
    }
    ExecScanReScan(&state->ss);
  });
}

Size EstimateSharedMemory(CustomScanState *state, ParallelContext *) {
  return table_parallelscan_estimate(state->ss.ss_currentRelation, state->ss.ps.state->es_snapshot);
}

void AttachScan(ScanState *node, ParallelTableScanDesc shared) {
  node->scan = table_beginscan_parallel(node->custom.ss.ss_currentRelation, shared);
  node->custom.ss.ss_currentScanDesc = node->scan;
  ComputeTimeRange(node);
  RestrictScan(node->scan, node->attributes, node->from, node->to);
}

void InitializeSharedMemory(CustomScanState *state, ParallelContext *, void *shared) {
  Enter([&] {
    table_parallelscan_initialize(state->ss.ss_currentRelation,
                                  static_cast<ParallelTableScanDesc>(shared),
                                  state->ss.ps.state->es_snapshot);
    AttachScan(reinterpret_cast<ScanState *>(state), static_cast<ParallelTableScanDesc>(shared));
  });
}

void ReinitializeSharedMemory(CustomScanState *state, ParallelContext *, void *shared) {
  Enter([&] {
    table_parallelscan_reinitialize(state->ss.ss_currentRelation,
                                    static_cast<ParallelTableScanDesc>(shared));
  });
}

void InitializeWorker(CustomScanState *state, shm_toc *, void *shared) {
  Enter([&] {
    AttachScan(reinterpret_cast<ScanState *>(state), static_cast<ParallelTableScanDesc>(shared));
  });
}

void ExplainScan(CustomScanState *state, List *, ExplainState *explain) {
  auto *node = reinterpret_cast<ScanState *>(state);
  List *names = NIL;
  TupleDesc descriptor = RelationGetDescr(state->ss.ss_currentRelation);
  for (int attribute = 0; (attribute = bms_next_member(node->attributes, attribute)) > 0;) {
    names = lappend(names, NameStr(TupleDescAttr(descriptor, attribute - 1)->attname));
  }
  if (names != NIL) ExplainPropertyList("Columns", names, explain);
  if (explain->analyze && node->scan != nullptr && node->strategies != NIL) {
    if (node->from != kTimeMinimum)
      ExplainPropertyText("Time From", Enter([&] { return TimeText(node->from, node->time_type); }),
                          explain);
    if (node->to != kTimeMaximum)
      ExplainPropertyText("Time To", Enter([&] { return TimeText(node->to, node->time_type); }),
                          explain);
  }
}

const CustomExecMethods kExecMethods = {
    "TsextScan",  // CustomName
    BeginScan,
    ExecuteScan,
    EndScan,
    RescanScan,
    nullptr,  // MarkPosCustomScan
    nullptr,  // RestrPosCustomScan
    EstimateSharedMemory,
    InitializeSharedMemory,
    ReinitializeSharedMemory,
    InitializeWorker,
    nullptr,  // ShutdownCustomScan
    ExplainScan,
};

Node *CreateScanState(CustomScan *) {
  auto *node = static_cast<ScanState *>(palloc0(sizeof(ScanState)));
  NodeSetTag(node, T_CustomScanState);
  node->custom.methods = &kExecMethods;
  return reinterpret_cast<Node *>(node);
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

void InitScan() {
  RegisterCustomScanMethods(&kScanMethods);
}

}  // namespace tsext::pg
