#pragma once

// TsextScan: a scan of a tsext table in batches. It decodes only the columns a query uses, passes
// by segments and vectors without a row that can pass, answers the clauses it can in vectors and
// leaves the others to the executor, row by row, on what is left.

#include "pg/base/postgres.hpp"
#include "pg/exec/batch_scan.hpp"

extern "C" {
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// Adds TsextScan paths beside the sequential scans of `rel`, in the serial and the parallel list.
void AddScanPaths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry);

/// Whether a plan or its state is a TsextScan.
bool IsScanPlan(const Plan *plan);
bool IsScanState(const PlanState *state);

// For nodes that have a TsextScan as their child and take its batches instead of its rows. They
// choose before the first batch, begin and end the child as any other (ExecInitNode, ExecReScan,
// ExecEndNode), and never call ExecProcNode of it.

/// Columns the parent will ask for besides those of the child's target list and filters.
void ScanUseAttributes(CustomScanState *scan, const Bitmapset *attributes);
/// The order of the batches; kAny when the scan is parallel.
void ScanUseOrder(CustomScanState *scan, BatchOrder order);
/// Offers whole segments and vectors, unless some clause is left to be tested row by row: then
/// nothing is ever offered.
void ScanUseFooters(CustomScanState *scan, const BatchFooterReader &reader);
/// The child's batches, for BatchColumn and the like; begun at the first call.
BatchScan *ScanBatches(CustomScanState *scan);
/// The next batch with the rows that pass every clause of the child; false at the end.
bool ScanBatchNext(CustomScanState *scan, Batch *batch);

/// Called once from _PG_init.
void InitScan();

}  // namespace tsext::pg
