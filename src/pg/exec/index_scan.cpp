// The node has one child, the IndexScan of the hot rows, and takes the rows that it stands on
// rather than those it gives out. The clauses are tested here, on hot and cold rows alike, once.

#include "pg/exec/index_scan.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/exec/cost.hpp"
#include "pg/exec/scan_state.hpp"
#include "pg/exec/vector_filter.hpp"
#include "pg/table/cold_tuple.hpp"
#include "pg/table/delegation.hpp"

extern "C" {
#include "access/genam.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "nodes/extensible.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
}

namespace tsext::pg {
namespace {

// ---- Planning ----

/// Least cost of looking into an index, however few rows of the table are hot.
constexpr double kIndexDescent = 0.25;  // of random_page_cost
/// What a scan of an index costs while the hot rows are few enough to stay in memory, where
/// compaction keeps them: they are the ones written last.
constexpr double kCachedShare = 0.25;  // of what it is with pages read from disk

Plan *PlanIndexScan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target,
                    List *clauses, List *children);

const CustomPathMethods kPathMethods = {"TsextIndexScan", PlanIndexScan, nullptr};
const CustomPathMethods kTuplePathMethods = {"TsextTupleScan", PlanIndexScan, nullptr};

/// Whether the query asks for a system column that a row made from a batch does not have.
bool UsesRowVersions(const RelOptInfo *rel) {
  Bitmapset *used = nullptr;
  ListCell *cell;
  foreach (cell, rel->baserestrictinfo)
    pull_varattnos(reinterpret_cast<Node *>(lfirst_node(RestrictInfo, cell)->clause), rel->relid,
                   &used);
  for (int attribute = rel->min_attr; attribute < 0; attribute++) {
    if (attribute == SelfItemPointerAttributeNumber || attribute == TableOidAttributeNumber)
      continue;
    if (rel->attr_needed[attribute - rel->min_attr] != nullptr ||
        bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber, used))
      return true;
  }
  return false;
}

const CustomScanMethods *ScanMethods();
const CustomScanMethods *TupleScanMethods();

/// The index scan as a child that neither tests nor gives out anything itself.
Plan *MakeHotScan(List *children) {
  auto *child = static_cast<Plan *>(linitial(children));
  // A test of constant clauses stands above the node already.
  if (IsA(child, Result)) child = outerPlan(child);
  Assert(IsA(child, IndexScan));
  child->targetlist = NIL;
  child->qual = NIL;
  return child;
}

/// Like a TsextScan's, with the IndexScan in custom_plans: custom_exprs = the clauses that vectors
/// answer; plan.qual = the others; custom_private = MakeScanPrivate().
Plan *PlanIndexScan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target,
                    List *clauses, List *children) {
  CustomScan *plan = makeNode(CustomScan);
  List *reasons = NIL;
  Enter([&] {
    SplitQuals(root, rel->relid, clauses, &plan->custom_exprs, &plan->scan.plan.qual, &reasons);
  });
  plan->scan.plan.targetlist = target;
  plan->scan.scanrelid = rel->relid;
  plan->flags = path->flags;
  plan->custom_plans = children == NIL ? NIL : list_make1(MakeHotScan(children));
  plan->custom_private = MakeScanPrivate(reasons, BatchOrder::kAny, 0, 0);
  plan->methods = children == NIL ? TupleScanMethods() : ScanMethods();
  return &plan->scan.plan;
}

// ---- Execution ----

/// The node at work. Plain data in the query's memory context.
struct IndexScanNode {
  ScanState cold;            // the scan of the cold rows, and the node's own state
  IndexScanState *hot;       // nullptr: `cold` gives the hot rows, too
  TupleTableSlot *own_slot;  // the scan slot: virtual, or one of heap tuples
  TupleTableSlot
      *cold_slot;  // virtual: own_slot, or where cold rows are put before they are formed
  bool needs_tuples;
  bool in_cold;
  AttrNumber last_attribute;
};

CustomScanState *BaseOf(IndexScanNode *node) {
  return &node->cold.custom;
}

/// The columns that the target list and the clauses, in their final form, use. Sets needs_tuples
/// when rows must come as heap tuples: somebody may fetch them again by their tuple id while
/// another transaction changes them, or asks for their system columns.
void FindColumns(IndexScanNode *node, const CustomScan *plan, TupleDesc descriptor) {
  Bitmapset *used = nullptr;
  const Index rel = plan->scan.scanrelid;
  pull_varattnos(reinterpret_cast<Node *>(plan->scan.plan.targetlist), rel, &used);
  pull_varattnos(reinterpret_cast<Node *>(plan->scan.plan.qual), rel, &used);
  const PlannedStmt *statement = BaseOf(node)->ss.ps.state->es_plannedstmt;
  node->needs_tuples =
      plan->custom_plans == NIL || statement->resultRelations != NIL || statement->rowMarks != NIL;
  for (int member = -1; (member = bms_next_member(used, member)) >= 0;) {
    const int attribute = member + FirstLowInvalidHeapAttributeNumber;
    if (attribute < 0 && attribute != SelfItemPointerAttributeNumber &&
        attribute != TableOidAttributeNumber)
      node->needs_tuples = true;
  }
  pull_varattnos(reinterpret_cast<Node *>(plan->custom_exprs), rel, &used);
  // A tuple is asked for all its columns, too, by whoever takes it as a whole.
  const bool all = node->needs_tuples || bms_is_member(-FirstLowInvalidHeapAttributeNumber, used);
  for (int attribute = 1; attribute <= descriptor->natts; attribute++) {
    if (TupleDescAttr(descriptor, attribute - 1)->attisdropped) continue;
    if (!all && !bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber, used)) continue;
    node->cold.attributes = bms_add_member(node->cold.attributes, attribute);
    node->last_attribute = static_cast<AttrNumber>(attribute);
  }
}

/// Expressions were compiled for a virtual scan slot: does it again for heap tuples.
void CompileForTuples(IndexScanNode *node, const CustomScan *plan) {
  auto *scan = &BaseOf(node)->ss;
  node->cold_slot = scan->ss_ScanTupleSlot;
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
    FindColumns(node, plan, RelationGetDescr(relation));
    if (plan->custom_plans != NIL) {
      PlanState *child =
          ExecInitNode(static_cast<Plan *>(linitial(plan->custom_plans)), estate, flags);
      state->custom_ps = list_make1(child);
      node->hot = castNode(IndexScanState, child);
    }
    node->cold_slot = state->ss.ss_ScanTupleSlot;
    if (node->needs_tuples) CompileForTuples(node, plan);
    node->own_slot = state->ss.ss_ScanTupleSlot;
    node->cold.vector_clauses = plan->custom_exprs;
    node->cold.filters =
        MakeVectorFilters(plan->custom_exprs, plan->scan.scanrelid, relation, &state->ss.ps);
    node->cold.recheck = ExecInitQual(plan->custom_exprs, &state->ss.ps);
  });
}

/// Lends the columns of a hot row to the scan slot, which is virtual.
TupleTableSlot *LendHotRow(IndexScanNode *node, TupleTableSlot *hot) {
  TupleTableSlot *slot = node->own_slot;
  const auto count = static_cast<size_t>(node->last_attribute);
  slot_getsomeattrs(hot, node->last_attribute);
  ExecClearTuple(slot);
  memcpy(slot->tts_values, hot->tts_values, sizeof(Datum) * count);
  memcpy(slot->tts_isnull, hot->tts_isnull, sizeof(bool) * count);
  memset(slot->tts_isnull + count, true,
         static_cast<size_t>(slot->tts_tupleDescriptor->natts) - count);
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

/// Whether a row that no vector filter has seen satisfies the clauses they answer.
bool RecheckIndexScan(IndexScanNode *node, TupleTableSlot *slot) {
  ExprContext *context = BaseOf(node)->ss.ps.ps_ExprContext;
  context->ecxt_scantuple = slot;
  return ExecQualAndReset(node->cold.recheck, context);
}

/// The next row of the index; nullptr at the end.
TupleTableSlot *NextHotRow(IndexScanNode *node) {
  auto *scan = &BaseOf(node)->ss;
  if (node->hot->iss_ScanDesc == nullptr) OpenIndex(node);
  for (;;) {
    ExecProcNode(&node->hot->ss.ps);
    TupleTableSlot *slot = node->hot->ss.ss_ScanTupleSlot;
    if (TupIsNull(slot)) return nullptr;
    // The row the node stands on, for WHERE CURRENT OF, is its scan slot.
    if (node->needs_tuples)
      scan->ss_ScanTupleSlot = slot;
    else
      slot = LendHotRow(node, slot);
    if (RecheckIndexScan(node, slot)) return slot;
    InstrCountFiltered1(scan, 1);
  }
}

void OpenCold(IndexScanNode *node) {
  EState *estate = BaseOf(node)->ss.ps.state;
  ScanState *cold = &node->cold;
  node->in_cold = true;
  BaseOf(node)->ss.ss_ScanTupleSlot = node->own_slot;
  if (cold->scan != nullptr) return;
  cold->scan =
      BatchScanBegin(BaseOf(node)->ss.ss_currentRelation, estate->es_snapshot, cold->attributes,
                     cold->filters, BatchOrder::kAny, nullptr, estate->es_query_cxt);
  if (node->hot != nullptr) BatchScanUseColdOnly(cold->scan);
}

/// The number in its batch of the next cold row; false at the end.
bool NextColdRow(ScanState *cold, uint32_t *row) {
  while (cold->bits == 0) {
    if (++cold->word < Selection::kWords) {
      cold->bits = cold->batch.selection.words[cold->word];
      continue;
    }
    if (!BatchScanNext(cold->scan, &cold->batch)) {
      cold->word = Selection::kWords;
      return false;
    }
    cold->word = 0;
    cold->bits = cold->batch.selection.words[0];
  }
  *row = cold->word * 64 + static_cast<uint32_t>(std::countr_zero(cold->bits));
  cold->bits &= cold->bits - 1;
  return true;
}

/// Starts the cold rows over, with no row of the last batch left.
void ForgetBatch(ScanState *cold) {
  cold->word = Selection::kWords;
  cold->bits = 0;
}

TupleTableSlot *NextTuple(IndexScanNode *node) {
  if (!node->in_cold) {
    if (node->hot != nullptr) {
      if (TupleTableSlot *hot = NextHotRow(node)) return hot;
    }
    OpenCold(node);
  }
  TupleTableSlot *slot = node->own_slot;
  uint32_t row;
  if (!NextColdRow(&node->cold, &row)) return ExecClearTuple(slot);
  BatchRow(node->cold.scan, row, node->cold_slot);
  if (slot != node->cold_slot)
    StoreColdTuple(slot->tts_tupleDescriptor, node->cold_slot->tts_values,
                   node->cold_slot->tts_isnull, &node->cold_slot->tts_tid,
                   node->cold_slot->tts_tableOid, slot);
  return slot;
}

TupleTableSlot *AccessIndexScan(IndexScanNode *node) {
  return Enter([&] { return NextTuple(node); });
}

TupleTableSlot *ExecuteIndexScan(CustomScanState *state) {
  return ExecScan(&state->ss, reinterpret_cast<ExecScanAccessMtd>(AccessIndexScan),
                  reinterpret_cast<ExecScanRecheckMtd>(RecheckIndexScan));
}

void EndIndexScan(CustomScanState *state) {
  Enter([&] {
    auto *node = reinterpret_cast<IndexScanNode *>(state);
    if (node->cold.scan != nullptr) BatchScanEnd(node->cold.scan);
    node->cold.scan = nullptr;
    state->ss.ss_ScanTupleSlot = node->own_slot;
    if (node->hot != nullptr) ExecEndNode(&node->hot->ss.ps);
  });
}

void RescanIndexScan(CustomScanState *state) {
  Enter([&] {
    auto *node = reinterpret_cast<IndexScanNode *>(state);
    if (node->cold.scan != nullptr) BatchScanRescan(node->cold.scan);
    ForgetBatch(&node->cold);
    node->in_cold = false;
    ExecScanReScan(&state->ss);
    state->ss.ss_ScanTupleSlot = node->own_slot;
    if (node->hot == nullptr) return;
    PlanState *child = &node->hot->ss.ps;
    if (state->ss.ps.chgParam != nullptr) UpdateChangedParamSet(child, state->ss.ps.chgParam);
    if (child->chgParam == nullptr) ExecReScan(child);
  });
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
    ExplainScan,
};

Node *CreateIndexScanState(CustomScan *) {
  auto *node = static_cast<IndexScanNode *>(palloc0(sizeof(IndexScanNode)));
  NodeSetTag(node, T_CustomScanState);
  node->cold.custom.methods = &kExecMethods;
  ForgetBatch(&node->cold);
  return reinterpret_cast<Node *>(node);
}

const CustomScanMethods *ScanMethods() {
  static const CustomScanMethods methods = {"TsextIndexScan", CreateIndexScanState};
  return &methods;
}

const CustomScanMethods *TupleScanMethods() {
  static const CustomScanMethods methods = {"TsextTupleScan", CreateIndexScanState};
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
  const bool is_cached = size.hot_pages < NBuffers / 4.0;
  const Cost run =
      (index->path.total_cost - index->path.startup_cost) * (is_cached ? kCachedShare : 1);
  const Cost least = std::min(run, kIndexDescent * random_page_cost);
  path->path.total_cost = index->path.startup_cost + std::max(run * hot_share, least);

  List *clauses = rel->baserestrictinfo;
  if (index->path.param_info != nullptr)
    clauses = list_concat_copy(clauses, index->path.param_info->ppi_clauses);
  List *filters;
  List *row_filters;
  SplitClauses(root, rel, clauses, &filters, &row_filters);
  const ScanWork work =
      EstimateScanWork(root, rel, clauses, filters, CountColumns(rel, row_filters));
  const ScanCost scan = EstimateScanCost(root, rel, work);
  path->path.total_cost += scan.startup + scan.cold + CostOfRows(root, rel, scan.rows, row_filters);
  return &path->path;
}

Path *MakeTupleScanPath(PlannerInfo *root, RelOptInfo *rel) {
  if (rel->lateral_relids != nullptr || UsesRowVersions(rel)) return nullptr;
  List *filters;
  List *row_filters;
  SplitClauses(root, rel, rel->baserestrictinfo, &filters, &row_filters);
  const ScanWork work = EstimateScanWork(root, rel, rel->baserestrictinfo, filters, rel->max_attr);
  const ScanCost cost = EstimateScanCost(root, rel, work);
  CustomPath *path = makeNode(CustomPath);
  path->path.pathtype = T_CustomScan;
  path->path.parent = rel;
  path->path.pathtarget = rel->reltarget;
  path->path.rows = rel->rows;
  path->path.startup_cost = cost.startup + (enable_seqscan ? 0 : disable_cost);
  path->path.total_cost = path->path.startup_cost + cost.cold + cost.hot +
                          CostOfRows(root, rel, cost.rows, row_filters);
  path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
  path->methods = &kTuplePathMethods;
  return &path->path;
}

void InitIndexScan() {
  RegisterCustomScanMethods(TupleScanMethods());
  RegisterCustomScanMethods(ScanMethods());
}

}  // namespace tsext::pg
