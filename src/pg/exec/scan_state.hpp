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
  BatchScan *scan;  // nullptr until the first batch
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

/// custom_private of the plan: why clauses were left to the executor.
inline List *LeftReasons(const CustomScan *plan) {
  return plan->custom_private;
}

extern const CustomExecMethods kScanExecMethods;
void ExplainScan(CustomScanState *state, List *ancestors, ExplainState *explain);

}  // namespace tsext::pg
