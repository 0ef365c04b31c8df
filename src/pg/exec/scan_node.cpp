// TsextScan at work: rows from batches, batches for a parent, parallel scans.

#include <algorithm>
#include <bit>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/exec/scan.hpp"
#include "pg/exec/scan_state.hpp"

extern "C" {
#include "access/parallel.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "nodes/extensible.h"
#include "optimizer/optimizer.h"
}

namespace tsext::pg {

namespace {

uint64_t *NumbersOf(BatchCounters *counters) {
  return reinterpret_cast<uint64_t *>(counters);
}

/// Adds to the shared counters what was done since the last time: workers do not come back to tell.
void PublishCounters(ScanState *node) {
  if (node->shared == nullptr || node->scan == nullptr) return;
  BatchCounters now = BatchScanCounters(node->scan);
  for (int i = 0; i < kScanCounters; i++) {
    const uint64_t delta = NumbersOf(&now)[i] - NumbersOf(&node->published)[i];
    if (delta != 0)
      pg_atomic_fetch_add_u64(&node->shared->counters[i], static_cast<int64_t>(delta));
  }
  node->published = now;
}

/// The columns that the target list and the clauses left, in their final form, use.
void FindColumns(ScanState *node, const CustomScan *plan, TupleDesc descriptor) {
  Bitmapset *used = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(plan->scan.plan.targetlist), plan->scan.scanrelid, &used);
  pull_varattnos(reinterpret_cast<Node *>(plan->scan.plan.qual), plan->scan.scanrelid, &used);
  const bool whole_row = bms_is_member(-FirstLowInvalidHeapAttributeNumber, used);
  for (int attribute = 1; attribute <= descriptor->natts; attribute++) {
    if (TupleDescAttr(descriptor, attribute - 1)->attisdropped) continue;
    if (whole_row || bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber, used))
      node->attributes = bms_add_member(node->attributes, attribute);
  }
}

void BeginScan(CustomScanState *state, EState *, int) {
  Enter([&] {
    ScanState *node = StateOf(state);
    const auto *plan = reinterpret_cast<const CustomScan *>(state->ss.ps.plan);
    Relation relation = state->ss.ss_currentRelation;
    FindColumns(node, plan, RelationGetDescr(relation));
    node->vector_clauses = plan->custom_exprs;
    node->order = RowOrder(plan);
    if (node->order != BatchOrder::kAny) {
      node->time_attribute = OrderAttribute(plan);
      node->attributes = bms_add_member(node->attributes, node->time_attribute);
      BeginOrderedRows(node, OrderLimit(plan));
    }
    node->filters =
        MakeVectorFilters(node->vector_clauses, plan->scan.scanrelid, relation, &state->ss.ps);
  });
}

BatchScan *Batches(ScanState *node) {
  if (node->scan == nullptr) {
    EState *estate = node->custom.ss.ps.state;
    node->scan =
        BatchScanBegin(node->custom.ss.ss_currentRelation, estate->es_snapshot, node->attributes,
                       node->filters, node->order, node->parallel, estate->es_query_cxt);
    if (node->custom.ss.ps.qual == nullptr) BatchScanUseFooters(node->scan, node->footers);
  }
  return node->scan;
}

}  // namespace

bool NextScanBatch(ScanState *node) {
  const bool found = BatchScanNext(Batches(node), &node->batch);
  if (node->shared != nullptr && node->custom.ss.ps.instrument != nullptr) PublishCounters(node);
  return found;
}

namespace {

TupleTableSlot *NextTuple(ScanState *node) {
  TupleTableSlot *slot = node->custom.ss.ss_ScanTupleSlot;
  while (node->bits == 0) {
    if (node->word + 1 < Selection::kWords) {
      node->bits = node->batch.selection.words[++node->word];
      continue;
    }
    if (!NextScanBatch(node)) return ExecClearTuple(slot);
    node->word = 0;
    node->bits = node->batch.selection.words[0];
  }
  const uint32_t row = node->word * 64 + static_cast<uint32_t>(std::countr_zero(node->bits));
  node->bits &= node->bits - 1;
  BatchRow(node->scan, row, slot);
  return slot;
}

TupleTableSlot *AccessScan(ScanState *node) {
  return Enter([&] { return NextTuple(node); });
}

/// A row that EvalPlanQual puts in the place of the scan's has passed no vector filter. It may come
/// in a slot that is not virtual, as expressions of this node expect it.
bool RecheckScan(ScanState *node, TupleTableSlot *slot) {
  slot_getallattrs(slot);
  if (node->vector_clauses == NIL) return true;
  PlanState *state = &node->custom.ss.ps;
  if (node->recheck == nullptr) {
    MemoryContext old = MemoryContextSwitchTo(state->state->es_query_cxt);
    node->recheck = ExecInitQual(node->vector_clauses, state);
    MemoryContextSwitchTo(old);
  }
  state->ps_ExprContext->ecxt_scantuple = slot;
  return ExecQual(node->recheck, state->ps_ExprContext);
}

/// The clauses left were tested when the rows were chosen.
TupleTableSlot *ExecuteOrdered(CustomScanState *state) {
  CHECK_FOR_INTERRUPTS();
  ExprContext *context = state->ss.ps.ps_ExprContext;
  ResetExprContext(context);
  TupleTableSlot *slot = Enter([&] {
    Batches(StateOf(state));
    return NextOrderedRow(StateOf(state));
  });
  ProjectionInfo *projection = state->ss.ps.ps_ProjInfo;
  if (TupIsNull(slot))
    return projection != nullptr ? ExecClearTuple(projection->pi_state.resultslot) : slot;
  if (projection == nullptr) return slot;
  context->ecxt_scantuple = slot;
  return ExecProject(projection);
}

TupleTableSlot *ExecuteScan(CustomScanState *state) {
  if (StateOf(state)->ordered != nullptr && state->ss.ps.state->es_epq_active == nullptr)
    return ExecuteOrdered(state);
  return ExecScan(&state->ss, reinterpret_cast<ExecScanAccessMtd>(AccessScan),
                  reinterpret_cast<ExecScanRecheckMtd>(RecheckScan));
}

/// Starts over with no row of the last batch left.
void ForgetBatch(ScanState *node) {
  node->word = Selection::kWords;
  node->bits = 0;
}

void EndScan(CustomScanState *state) {
  Enter([&] {
    ScanState *node = StateOf(state);
    if (node->scan != nullptr) BatchScanEnd(node->scan);
    node->scan = nullptr;
  });
}

void RescanScan(CustomScanState *state) {
  Enter([&] {
    ScanState *node = StateOf(state);
    if (node->scan != nullptr) BatchScanRescan(node->scan);
    ForgetBatch(node);
    if (node->ordered != nullptr) RescanOrderedRows(node);
    ExecScanReScan(&state->ss);
  });
}

// ---- Parallel ----

Size TableScanOffset() {
  return MAXALIGN(sizeof(SharedScan));
}

Size EstimateSharedMemory(CustomScanState *state, ParallelContext *) {
  return TableScanOffset() +
         table_parallelscan_estimate(state->ss.ss_currentRelation, state->ss.ps.state->es_snapshot);
}

void AttachScan(ScanState *node, void *shared) {
  node->shared = static_cast<SharedScan *>(shared);
  node->parallel =
      reinterpret_cast<ParallelTableScanDesc>(static_cast<char *>(shared) + TableScanOffset());
}

void InitializeSharedMemory(CustomScanState *state, ParallelContext *, void *shared) {
  Enter([&] {
    ScanState *node = StateOf(state);
    AttachScan(node, shared);
    for (pg_atomic_uint64 &counter : node->shared->counters) pg_atomic_init_u64(&counter, 0);
    table_parallelscan_initialize(state->ss.ss_currentRelation, node->parallel,
                                  state->ss.ps.state->es_snapshot);
  });
}

void ReinitializeSharedMemory(CustomScanState *state, ParallelContext *, void *) {
  Enter([&] {
    table_parallelscan_reinitialize(state->ss.ss_currentRelation, StateOf(state)->parallel);
  });
}

void InitializeWorker(CustomScanState *state, shm_toc *, void *shared) {
  Enter([&] { AttachScan(StateOf(state), shared); });
}

/// Before the shared memory goes away.
void ShutdownScan(CustomScanState *state) {
  Enter([&] {
    ScanState *node = StateOf(state);
    if (node->shared == nullptr) return;
    PublishCounters(node);
    for (int i = 0; i < kScanCounters; i++)
      NumbersOf(&node->total)[i] = pg_atomic_read_u64(&node->shared->counters[i]);
    node->shared = nullptr;
  });
}

}  // namespace

const CustomExecMethods kScanExecMethods = {
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
    ShutdownScan,
    ExplainScan,
};

// ---- For a parent that takes batches ----

void ScanUseAttributes(CustomScanState *scan, const Bitmapset *attributes) {
  ScanState *node = StateOf(scan);
  Assert(node->scan == nullptr);
  MemoryContext old = MemoryContextSwitchTo(scan->ss.ps.state->es_query_cxt);
  node->attributes = bms_union(node->attributes, attributes);
  MemoryContextSwitchTo(old);
}

void ScanUseOrder(CustomScanState *scan, BatchOrder order) {
  Assert(StateOf(scan)->scan == nullptr);
  StateOf(scan)->order = order;
}

void ScanUseFooters(CustomScanState *scan, const BatchFooterReader &reader) {
  ScanState *node = StateOf(scan);
  node->footers = reader;
  if (node->scan != nullptr && scan->ss.ps.qual == nullptr) BatchScanUseFooters(node->scan, reader);
}

BatchScan *ScanBatches(CustomScanState *scan) {
  return Batches(StateOf(scan));
}

bool ScanBatchNext(CustomScanState *scan, Batch *batch) {
  ScanState *node = StateOf(scan);
  ExprState *qual = scan->ss.ps.qual;
  ExprContext *context = scan->ss.ps.ps_ExprContext;
  TupleTableSlot *slot = scan->ss.ss_ScanTupleSlot;
  while (NextScanBatch(node)) {
    *batch = node->batch;
    if (qual == nullptr) return true;
    node->batch.selection.ForEach([&](uint32_t row) {
      ResetExprContext(context);
      BatchRow(node->scan, row, slot);
      context->ecxt_scantuple = slot;
      if (ExecQual(qual, context)) return;
      batch->selection.Deselect(row);
      batch->is_whole = false;
      InstrCountFiltered1(scan, 1);
    });
    if (!batch->selection.IsEmpty()) return true;
  }
  return false;
}

}  // namespace tsext::pg
