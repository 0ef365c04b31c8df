#pragma once

// What scans of tsext tables cost, in the planner's units. Everything comes from the totals of the
// store, the table's options and the selectivities of clauses: segments are never looked at while
// planning, so it takes the same time at 10 and at 10,000 chunks.

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// A table as its scan meets it.
struct TableSize {
  double cold_rows, cold_bytes, segments, chunks;
  double hot_rows, hot_pages;
};
TableSize GetTableSize(PlannerInfo *root, const RelOptInfo *rel);

/// What a scan does with the rows.
struct ScanWork {
  double time_share;    ///< of the cold rows, those within the bounds on the time column
  double key_share;     ///< of the cold rows, those with the wanted first segment-by value
  double filter_share;  ///< of the rows read, those that pass the vector filters
  int filter_columns;   ///< decoded for every row read
  int output_columns;   ///< decoded for vectors in which a row passes
};

/// Splits clauses (RestrictInfo) as SplitQuals() does, into those that vectors answer and those
/// tested row by row.
void SplitClauses(PlannerInfo *root, const RelOptInfo *rel, List *clauses, List **filters,
                  List **row_filters);
/// Columns that the relation's target and `clauses` (RestrictInfo) use.
int CountColumns(const RelOptInfo *rel, List *clauses);

/// The shares, from the selectivities of clauses.
///
/// clauses: the clauses on the relation alone, as RestrictInfo (baserestrictinfo, with those of the
///          path's parameters).
/// filters: of these, the ones vectors answer.
ScanWork EstimateScanWork(PlannerInfo *root, RelOptInfo *rel, List *clauses, List *filters,
                          int output_columns);

struct ScanCost {
  Cost startup;         ///< until the first batch
  Cost cold, hot;       ///< of batches, all of them, by one process; without the startup
  double cold_rows;     ///< in vectors that are decoded
  double rows;          ///< that pass the vector filters, hot ones included
  double segments_met;  ///< that are opened
};

/// The cost of producing batches. What comes after it is the caller's: TsextScan adds a tuple and
/// its row filters for each of `rows` (CostOfRows), an aggregate its own work.
///
/// The scale: cpu_operator_cost (0.0025) stands for about 12 ns, so 1.0 is about 5 µs, as it is for
/// a warm heap scan. A parallel plan, whose parallel_setup_cost is 1,000, is then chosen for
/// what takes more than about 10 ms alone.
ScanCost EstimateScanCost(PlannerInfo *root, RelOptInfo *rel, const ScanWork &work);

/// The cost beside that of the batches of giving out `rows` rows of a scan one by one and testing
/// `row_filters` (RestrictInfo) on each.
Cost CostOfRows(PlannerInfo *root, RelOptInfo *rel, double rows, List *row_filters);

/// Workers for a scan that costs `serial` in one process: 0 when they would cost more than they
/// bring.
int ScanWorkers(const RelOptInfo *rel, Cost serial, double segments_met);

/// Processes' worth of work that `workers` and their leader do, as costsize.c reckons.
double ParallelDivisor(int workers);

}  // namespace tsext::pg
