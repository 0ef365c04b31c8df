#pragma once

// The state of a TsextScan, for scan.cpp, scan_node.cpp and scan_explain.cpp.

#include <cstdint>

#include "pg/exec/batch_scan.hpp"

extern "C" {
#include "commands/explain.h"
#include "nodes/execnodes.h"
}

namespace tsext::pg {

/// BatchCounters as a row of numbers, for sums.
inline constexpr int kScanCounters = sizeof(BatchCounters) / sizeof(uint64_t);
static_assert(sizeof(BatchCounters) % sizeof(uint64_t) == 0);

/// In DSM, in front of the shared part of the table scan. What all participants have done.
struct SharedScan {
  pg_atomic_uint64 counters[kScanCounters];
};

struct OrderedRows;
/// Rows an ordered scan keeps at once, at most.
inline constexpr int kMaxOrderedRows = 100'000;

/// The node at work. Plain data in the query's memory context.
struct ScanState {
  CustomScanState custom;
  Bitmapset *attributes;   // of rows: used by target list, clauses left, the parent
  List *vector_clauses;    // answered by `filters`
  VectorFilters *filters;  // nullptr: none
  BatchOrder order;
  BatchFooterReader footers;
  ParallelTableScanDesc parallel;
  SharedScan *shared;
  BatchScan *scan;            // nullptr until the first batch
  OrderedRows *ordered;       // nullptr: rows come in any order
  AttrNumber time_attribute;  // of an ordered scan
  // Row by row: the batch and the rows of it still to come.
  Batch batch;
  uint32_t word;
  uint64_t bits;
  ExprState *recheck;       // the vector clauses for a row that is no batch's; made on first use
  BatchCounters published;  // counted into `shared`
  BatchCounters total;      // what `shared` said when it went away
};

inline ScanState *StateOf(CustomScanState *state) {
  return reinterpret_cast<ScanState *>(state);
}

/// custom_private of the plan: why clauses were left to the executor; the order of the rows, as a
/// BatchOrder; the time column and the number of rows expected of an ordered scan.
inline List *MakeScanPrivate(List *reasons, BatchOrder order, AttrNumber time_attribute,
                             int limit) {
  return list_make4(reasons, makeInteger(static_cast<int>(order)), makeInteger(time_attribute),
                    makeInteger(limit));
}
inline List *LeftReasons(const CustomScan *plan) {
  return linitial_node(List, plan->custom_private);
}
inline BatchOrder RowOrder(const CustomScan *plan) {
  return static_cast<BatchOrder>(intVal(lsecond(plan->custom_private)));
}
inline AttrNumber OrderAttribute(const CustomScan *plan) {
  return static_cast<AttrNumber>(intVal(lthird(plan->custom_private)));
}
inline int OrderLimit(const CustomScan *plan) {
  return intVal(lfourth(plan->custom_private));
}

/// The next batch into node->batch; begins the scan.
bool NextScanBatch(ScanState *node);

/// Rows in the order of time. limit: how many are probably wanted.
void BeginOrderedRows(ScanState *node, int limit);
TupleTableSlot *NextOrderedRow(ScanState *node);
void RescanOrderedRows(ScanState *node);

extern const CustomExecMethods kScanExecMethods;
void ExplainScan(CustomScanState *state, List *ancestors, ExplainState *explain);

}  // namespace tsext::pg
