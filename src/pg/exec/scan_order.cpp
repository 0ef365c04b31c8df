// TsextScan in the order of time: ORDER BY time [DESC] LIMIT n without a Sort.
//
// Vectors are visited newest (or oldest) first, and the best n rows kept in a heap, worst on top.
// A row that is not better than the worst is never made; when no row still to come can be better,
// the scan stops. Should more than n rows be asked for (the limit is only what the planner takes it
// to be), the scan is run again for the rows behind the last one given out, more of them each time.

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/exec/scan_state.hpp"

extern "C" {
#include "executor/executor.h"
}

namespace tsext::pg {

namespace {

constexpr int kPassGrowth = 4;

/// The place of a row: by key, the greatest first, then in the order of the visit.
struct Place {
  int64_t key;  // the time, mirrored for kOldest
  uint64_t ordinal;
};

bool IsBefore(const Place &a, const Place &b) {
  return a.key != b.key ? a.key > b.key : a.ordinal < b.ordinal;
}

struct OrderedRow {
  Place place;
  ItemPointerData tid;
  MinimalTuple tuple;
};

bool ComesFirst(const OrderedRow &a, const OrderedRow &b) {
  return IsBefore(a.place, b.place);
}

}  // namespace

struct OrderedRows {
  MemoryContext context;  // the tuples
  OrderedRow *rows;       // while a pass runs a heap, the last of the order on top; then sorted
  int capacity, count, next;
  bool has_pass;  // the rows of a pass are there
  bool is_last;   // all other rows are given out
  bool is_first;  // no pass has been made
  Place given;    // the last row given out
};

namespace {

/// Whether rows of a key may still be among the first.
bool IsWanted(const OrderedRows *ordered, const Place &place) {
  if (!ordered->is_first && !IsBefore(ordered->given, place)) return false;
  return ordered->count < ordered->capacity || IsBefore(place, ordered->rows[0].place);
}

void AddRow(OrderedRows *ordered, const Place &place, TupleTableSlot *slot) {
  if (ordered->count == ordered->capacity) {
    std::pop_heap(ordered->rows, ordered->rows + ordered->count, ComesFirst);
    pfree(ordered->rows[--ordered->count].tuple);
  }
  MemoryContext old = MemoryContextSwitchTo(ordered->context);
  ordered->rows[ordered->count++] = {place, slot->tts_tid, ExecCopySlotMinimalTuple(slot)};
  MemoryContextSwitchTo(old);
  std::push_heap(ordered->rows, ordered->rows + ordered->count, ComesFirst);
}

/// Takes the rows of a batch that are wanted, best first: the rest then costs a comparison a row.
/// ordinal: of the batch's first row.
void TakeBatch(ScanState *node, OrderedRows *ordered, uint64_t ordinal) {
  const Batch &batch = node->batch;
  const bool is_newest = node->order == BatchOrder::kNewest;
  const Vector &times = *BatchColumn(node->scan, node->time_attribute);
  ExprState *qual = node->custom.ss.ps.qual;
  ExprContext *context = node->custom.ss.ps.ps_ExprContext;
  TupleTableSlot *slot = node->custom.ss.ss_ScanTupleSlot;
  for (uint32_t i = 0; i < batch.rows; i++) {
    const uint32_t row = is_newest ? batch.rows - 1 - i : i;
    if (!batch.selection.IsSelected(row)) continue;
    const int64_t time = times.integers[row];
    const Place place = {is_newest ? time : ~time, ordinal + row};
    if (!IsWanted(ordered, place)) continue;
    ResetExprContext(context);
    BatchRow(node->scan, row, slot);
    if (qual != nullptr) {
      context->ecxt_scantuple = slot;
      if (!ExecQual(qual, context)) {
        InstrCountFiltered1(&node->custom, 1);
        continue;
      }
    }
    AddRow(ordered, place, slot);
  }
}

/// Collects the next rows of the order.
void RunPass(ScanState *node, OrderedRows *ordered) {
  MemoryContextReset(ordered->context);
  ordered->rows = static_cast<OrderedRow *>(MemoryContextAllocHuge(
      ordered->context, sizeof(OrderedRow) * static_cast<size_t>(ordered->capacity)));
  ordered->count = ordered->next = 0;
  const bool is_newest = node->order == BatchOrder::kNewest;
  uint64_t ordinal = 0;
  for (;;) {
    if (ordered->count == ordered->capacity) {
      // Rows to come stand behind those of the same time.
      const int64_t left = BatchScanTimeLeft(node->scan);
      if ((is_newest ? left : ~left) <= ordered->rows[0].place.key) break;
    }
    if (!NextScanBatch(node)) break;
    TakeBatch(node, ordered, ordinal);
    ordinal += node->batch.rows;
  }
  std::sort_heap(ordered->rows, ordered->rows + ordered->count, ComesFirst);
  ordered->has_pass = true;
  ordered->is_last = ordered->count < ordered->capacity;
}

}  // namespace

void BeginOrderedRows(ScanState *node, int limit) {
  MemoryContext query = node->custom.ss.ps.state->es_query_cxt;
  node->ordered = static_cast<OrderedRows *>(MemoryContextAllocZero(query, sizeof(OrderedRows)));
  node->ordered->context =
      AllocSetContextCreate(query, "tsext ordered rows", ALLOCSET_DEFAULT_SIZES);
  node->ordered->capacity = limit;
  node->ordered->is_first = true;
}

TupleTableSlot *NextOrderedRow(ScanState *node) {
  OrderedRows *ordered = node->ordered;
  TupleTableSlot *slot = node->custom.ss.ss_ScanTupleSlot;
  if (!ordered->has_pass) RunPass(node, ordered);
  if (ordered->next == ordered->count) {
    if (ordered->is_last) return ExecClearTuple(slot);
    ordered->given = ordered->rows[ordered->count - 1].place;
    ordered->is_first = false;
    ordered->capacity = std::min(ordered->capacity * kPassGrowth, kMaxOrderedRows);
    BatchScanRescan(node->scan);
    RunPass(node, ordered);
    if (ordered->count == 0) return ExecClearTuple(slot);
  }
  const OrderedRow &row = ordered->rows[ordered->next++];
  ExecForceStoreMinimalTuple(row.tuple, slot, false);
  slot->tts_tid = row.tid;
  slot->tts_tableOid = RelationGetRelid(node->custom.ss.ss_currentRelation);
  return slot;
}

void RescanOrderedRows(ScanState *node) {
  node->ordered->has_pass = false;
  node->ordered->is_first = true;
}

}  // namespace tsext::pg
