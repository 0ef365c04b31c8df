// The node has one child, the IndexScan of the hot rows, and takes the rows that it stands on
// rather than those it gives out. The clauses are tested here, on hot and cold rows alike, once.

#include "pg/exec/index_scan.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/exec/cost.hpp"
#include "pg/table/cold_scan.hpp"
#include "pg/table/delegation.hpp"

extern "C" {
#include "access/genam.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "nodes/extensible.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "storage/predicate.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace tsext::pg {
namespace {

// ---- Planning ----

/// Least cost of looking into an index, however few rows of the table are hot.
constexpr double kIndexDescent = 0.25;  // of random_page_cost

Plan *PlanIndexScan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target,
                    List *clauses, List *children);

const CustomPathMethods kPathMethods = {"TsextIndexScan", PlanIndexScan, nullptr};

/// Whether rows must come as heap tuples: somebody may fetch them again by their tuple id while
/// another transaction changes them, or asks for their system columns.
bool NeedsTuples(const PlannerInfo *root, const RelOptInfo *rel) {
  for (; root != nullptr; root = root->parent_root) {
    const CmdType command = root->parse->commandType;
    if (command == CMD_UPDATE || command == CMD_DELETE || command == CMD_MERGE ||
        root->parse->rowMarks != NIL)
      return true;
  }
  for (int attribute = rel->min_attr; attribute < 0; attribute++) {
    if (attribute != SelfItemPointerAttributeNumber && attribute != TableOidAttributeNumber &&
        rel->attr_needed[attribute - rel->min_attr] != nullptr)
      return true;
  }
  ListCell *cell;
  foreach (cell, rel->baserestrictinfo) {
    Bitmapset *used = nullptr;
    pull_varattnos(reinterpret_cast<Node *>(lfirst_node(RestrictInfo, cell)->clause), rel->relid,
                   &used);
    for (int member = -1; (member = bms_next_member(used, member)) >= 0;) {
      const int attribute = member + FirstLowInvalidHeapAttributeNumber;
      if (attribute < 0 && attribute != SelfItemPointerAttributeNumber &&
          attribute != TableOidAttributeNumber)
        return true;
    }
  }
  return false;
}

/// Columns that the relation's target and clauses use.
int CountColumns(const RelOptInfo *rel, List *clauses) {
  Bitmapset *used = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(rel->reltarget->exprs), rel->relid, &used);
  ListCell *cell;
  foreach (cell, clauses)
    pull_varattnos(reinterpret_cast<Node *>(lfirst_node(RestrictInfo, cell)->clause), rel->relid,
                   &used);
  return bms_is_member(-FirstLowInvalidHeapAttributeNumber, used) ? rel->max_attr
                                                                  : bms_num_members(used);
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
                        options->time_type, operator_family, &bound))
      continue;
    *strategies = lappend_int(*strategies, bound.strategy);
    *values = lappend(*values, bound.value);
  }
}

const CustomScanMethods *ScanMethods();

/// custom_plans = the IndexScan; custom_private = (needs tuples, strategies of the time bounds);
/// custom_exprs = values of the time bounds.
Plan *PlanIndexScan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target,
                    List *clauses, List *children) {
  CustomScan *plan = makeNode(CustomScan);
  List *quals = extract_actual_clauses(clauses, false);
  List *strategies = NIL;
  List *values = NIL;
  Relation relation = table_open(planner_rt_fetch(rel->relid, root)->relid, NoLock);
  Enter(
      [&] { FindTimeBounds(quals, rel->relid, GetTableOptions(relation), &strategies, &values); });
  table_close(relation, NoLock);

  auto *child = static_cast<Plan *>(linitial(children));
  // A test of constant clauses stands above this node already.
  if (IsA(child, Result)) child = outerPlan(child);
  Assert(IsA(child, IndexScan));
  child->targetlist = NIL;
  child->qual = NIL;

  plan->scan.plan.targetlist = target;
  plan->scan.plan.qual = quals;
  plan->scan.scanrelid = rel->relid;
  plan->flags = path->flags;
  plan->custom_plans = list_make1(child);
  plan->custom_exprs = values;
  plan->custom_private = list_make2(makeInteger(NeedsTuples(root, rel) ? 1 : 0), strategies);
  plan->methods = ScanMethods();
  return &plan->scan.plan;
}

// ---- Execution ----

/// The node at work. Plain data in the query's memory context.
struct IndexScanNode {
  CustomScanState custom;
  IndexScanState *hot;
  TupleTableSlot *own_slot;  // the scan slot: virtual, or one of heap tuples
  bool needs_tuples;
  bool in_cold;
  ColdScan *cold;  // nullptr until the hot rows are through
  Bitmapset *attributes;
  int last_attribute;
  List *strategies;
  List *values;  // ExprState
  Oid time_type;
};

/// Computes [from, to] from the bounds as they are now; false when no row can satisfy them.
bool ComputeTimeRange(IndexScanNode *node, int64_t *from, int64_t *to) {
  *from = kTimeMinimum;
  *to = kTimeMaximum;
  ExprContext *context = node->custom.ss.ps.ps_ExprContext;
  ListCell *strategy;
  ListCell *value;
  forboth(strategy, node->strategies, value, node->values) {
    bool is_null;
    const Datum datum =
        ExecEvalExprSwitchContext(static_cast<ExprState *>(lfirst(value)), context, &is_null);
    if (is_null) return false;
    const int64_t time = TimeOfDatum(datum, node->time_type);
    const int which = lfirst_int(strategy);
    // Strict bounds are taken as inclusive: the clause is tested on every row anyway.
    if (which <= BTEqualStrategyNumber) *to = std::min(*to, time);
    if (which >= BTEqualStrategyNumber) *from = std::max(*from, time);
  }
  return *from <= *to;
}

/// The columns that the target list and the clauses, in their final form, use.
void FindColumns(IndexScanNode *node, const CustomScan *plan, TupleDesc descriptor) {
  Bitmapset *used = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(plan->scan.plan.targetlist), plan->scan.scanrelid, &used);
  pull_varattnos(reinterpret_cast<Node *>(plan->scan.plan.qual), plan->scan.scanrelid, &used);
  // A tuple is asked for all its columns, too, by whoever takes it as a whole.
  const bool all = node->needs_tuples || bms_is_member(-FirstLowInvalidHeapAttributeNumber, used);
  for (int attribute = 1; attribute <= descriptor->natts; attribute++) {
    if (TupleDescAttr(descriptor, attribute - 1)->attisdropped) continue;
    if (!all && !bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber, used)) continue;
    node->attributes = bms_add_member(node->attributes, attribute);
    node->last_attribute = attribute;
  }
  // An empty set is not NULL ("all").
  if (node->attributes == nullptr) node->attributes = bms_make_singleton(0);
}

/// Expressions were compiled for a virtual scan slot: does it again for heap tuples.
void CompileForTuples(IndexScanNode *node, const CustomScan *plan) {
  ScanState *scan = &node->custom.ss;
  ExecInitScanTupleSlot(scan->ps.state, scan, RelationGetDescr(scan->ss_currentRelation),
                        table_slot_callbacks(scan->ss_currentRelation));
  scan->ps.subPlan = NIL;
  ExecAssignScanProjectionInfoWithVarno(scan, static_cast<int>(plan->scan.scanrelid));
  scan->ps.qual = ExecInitQual(plan->scan.plan.qual, &scan->ps);
}

void BeginIndexScan(CustomScanState *state, EState *estate, int flags) {
  Enter([&] {
    auto *node = reinterpret_cast<IndexScanNode *>(state);
    auto *plan = reinterpret_cast<CustomScan *>(state->ss.ps.plan);
    Relation relation = state->ss.ss_currentRelation;
    node->needs_tuples = intVal(linitial(plan->custom_private)) != 0;
    node->strategies = static_cast<List *>(lsecond(plan->custom_private));
    FindColumns(node, plan, RelationGetDescr(relation));
    node->time_type = GetTableOptions(relation)->time_type;
    PlanState *child =
        ExecInitNode(static_cast<Plan *>(linitial(plan->custom_plans)), estate, flags);
    state->custom_ps = list_make1(child);
    node->hot = castNode(IndexScanState, child);
    if (node->needs_tuples) CompileForTuples(node, plan);
    node->values = ExecInitExprList(plan->custom_exprs, &state->ss.ps);
    node->own_slot = state->ss.ss_ScanTupleSlot;
  });
}

/// Lends the columns of a hot row to the scan slot, which is virtual.
TupleTableSlot *LendHotRow(IndexScanNode *node, TupleTableSlot *hot) {
  TupleTableSlot *slot = node->own_slot;
  slot_getsomeattrs(hot, node->last_attribute);
  ExecClearTuple(slot);
  memcpy(slot->tts_values, hot->tts_values, sizeof(Datum) * node->last_attribute);
  memcpy(slot->tts_isnull, hot->tts_isnull, sizeof(bool) * node->last_attribute);
  memset(slot->tts_isnull + node->last_attribute, true,
         static_cast<size_t>(slot->tts_tupleDescriptor->natts - node->last_attribute));
  slot->tts_tid = hot->tts_tid;
  slot->tts_tableOid = hot->tts_tableOid;
  return ExecStoreVirtualTuple(slot);
}

/// Opens the index under the mark that tells the access method that its caller knows about the cold
/// rows. Keys that are computed at run time are set by the child's rescan.
void OpenIndex(IndexScanNode *node) {
  IndexScanState *hot = node->hot;
  Relation relation = hot->ss.ss_currentRelation;
  hot->iss_ScanDesc = Delegate(relation, [&] {
    return index_beginscan(relation, hot->iss_RelationDesc, hot->ss.ps.state->es_snapshot,
                           hot->iss_NumScanKeys, hot->iss_NumOrderByKeys);
  });
  if (hot->iss_NumRuntimeKeys == 0 || hot->iss_RuntimeKeysReady)
    index_rescan(hot->iss_ScanDesc, hot->iss_ScanKeys, hot->iss_NumScanKeys, hot->iss_OrderByKeys,
                 hot->iss_NumOrderByKeys);
}

/// The next row of the index; nullptr at the end.
TupleTableSlot *NextHotRow(IndexScanNode *node) {
  if (node->hot->iss_ScanDesc == nullptr) OpenIndex(node);
  ExecProcNode(&node->hot->ss.ps);
  TupleTableSlot *slot = node->hot->ss.ss_ScanTupleSlot;
  if (TupIsNull(slot)) return nullptr;
  if (!node->needs_tuples) return LendHotRow(node, slot);
  node->custom.ss.ss_ScanTupleSlot = slot;  // the row the node stands on, for WHERE CURRENT OF
  return slot;
}

void OpenCold(IndexScanNode *node) {
  int64_t from;
  int64_t to;
  if (!ComputeTimeRange(node, &from, &to)) return;
  EState *estate = node->custom.ss.ps.state;
  Relation relation = node->custom.ss.ss_currentRelation;
  PredicateLockRelation(relation, estate->es_snapshot);
  node->cold = ColdScanBegin(relation, estate->es_snapshot, node->attributes, from, to, nullptr,
                             estate->es_query_cxt);
}

TupleTableSlot *NextTuple(IndexScanNode *node) {
  if (!node->in_cold) {
    if (TupleTableSlot *hot = NextHotRow(node)) return hot;
    node->custom.ss.ss_ScanTupleSlot = node->own_slot;
    node->in_cold = true;
    OpenCold(node);
  }
  if (node->cold == nullptr) return ExecClearTuple(node->own_slot);
  ColdScanNext(node->cold, ForwardScanDirection, node->own_slot);
  return node->own_slot;
}

TupleTableSlot *AccessIndexScan(IndexScanNode *node) {
  return Enter([&] { return NextTuple(node); });
}

bool RecheckIndexScan(IndexScanNode *, TupleTableSlot *) {
  return true;  // every clause is tested by the node
}

TupleTableSlot *ExecuteIndexScan(CustomScanState *state) {
  return ExecScan(&state->ss, reinterpret_cast<ExecScanAccessMtd>(AccessIndexScan),
                  reinterpret_cast<ExecScanRecheckMtd>(RecheckIndexScan));
}

void EndCold(IndexScanNode *node) {
  if (node->cold != nullptr) ColdScanEnd(node->cold);
  node->cold = nullptr;
  node->in_cold = false;
}

void EndIndexScan(CustomScanState *state) {
  Enter([&] {
    auto *node = reinterpret_cast<IndexScanNode *>(state);
    EndCold(node);
    state->ss.ss_ScanTupleSlot = node->own_slot;
    ExecEndNode(&node->hot->ss.ps);
  });
}

void RescanIndexScan(CustomScanState *state) {
  Enter([&] {
    auto *node = reinterpret_cast<IndexScanNode *>(state);
    EndCold(node);
    ExecScanReScan(&state->ss);
    state->ss.ss_ScanTupleSlot = node->own_slot;
    PlanState *child = &node->hot->ss.ps;
    if (state->ss.ps.chgParam != nullptr) UpdateChangedParamSet(child, state->ss.ps.chgParam);
    if (child->chgParam == nullptr) ExecReScan(child);
  });
}

void ExplainIndexScan(CustomScanState *state, List *, ExplainState *explain) {
  auto *node = reinterpret_cast<IndexScanNode *>(state);
  List *names = NIL;
  TupleDesc descriptor = RelationGetDescr(state->ss.ss_currentRelation);
  for (int attribute = 0; (attribute = bms_next_member(node->attributes, attribute)) > 0;)
    names = lappend(names, NameStr(TupleDescAttr(descriptor, attribute - 1)->attname));
  if (names != NIL) ExplainPropertyList("Columns", names, explain);
}

const CustomExecMethods kExecMethods = {
    "TsextIndexScan",  // CustomName
    BeginIndexScan,   ExecuteIndexScan, EndIndexScan, RescanIndexScan,
    nullptr,  // MarkPosCustomScan
    nullptr,  // RestrPosCustomScan
    nullptr,  // EstimateDSMCustomScan: not parallel-aware
    nullptr,  // InitializeDSMCustomScan
    nullptr,  // ReInitializeDSMCustomScan
    nullptr,  // InitializeWorkerCustomScan
    nullptr,  // ShutdownCustomScan
    ExplainIndexScan,
};

Node *CreateIndexScanState(CustomScan *) {
  auto *node = static_cast<IndexScanNode *>(palloc0(sizeof(IndexScanNode)));
  NodeSetTag(node, T_CustomScanState);
  node->custom.methods = &kExecMethods;
  return reinterpret_cast<Node *>(node);
}

const CustomScanMethods *ScanMethods() {
  static const CustomScanMethods methods = {"TsextIndexScan", CreateIndexScanState};
  return &methods;
}

}  // namespace

Path *MakeIndexScanPath(PlannerInfo *root, RelOptInfo *rel, IndexPath *index) {
  CustomPath *path = makeNode(CustomPath);
  path->path = index->path;
  path->path.type = T_CustomPath;
  path->path.pathtype = T_CustomScan;
  path->path.pathkeys = NIL;
  path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
  path->custom_paths = list_make1(index);
  path->methods = &kPathMethods;

  // Costs were made as if the index had all rows of the table.
  const TableSize size = GetTableSize(root, rel);
  const double all = size.hot_rows + size.cold_rows;
  const double hot_share = all > 0 ? size.hot_rows / all : 1;
  const Cost run = index->path.total_cost - index->path.startup_cost;
  const Cost least = std::min(run, kIndexDescent * random_page_cost);
  path->path.total_cost = index->path.startup_cost + std::max(run * hot_share, least);

  List *clauses = rel->baserestrictinfo;
  if (index->path.param_info != nullptr)
    clauses = list_concat_copy(clauses, index->path.param_info->ppi_clauses);
  const ScanWork work = EstimateScanWork(root, rel, clauses, NIL, CountColumns(rel, clauses));
  const ScanCost cold = EstimateScanCost(root, rel, work);
  path->path.total_cost +=
      cold.startup + cold.cold + CostOfRows(root, rel, cold.cold_rows, clauses);
  return &path->path;
}

void InitIndexScan() {
  RegisterCustomScanMethods(ScanMethods());
}

}  // namespace tsext::pg
