#pragma once

// TsextAggregate: GROUP BY, aggregates and DISTINCT over a TsextScan, batch by batch. Rows are
// grouped by runs of equal keys, so that a group is a slice of vectors and an aggregate one loop
// over it.
//
//   aggregate_plan.cpp      which queries, paths and costs
//   aggregate.cpp           the node: groups, memory, passes, EXPLAIN
//   aggregate_key.cpp       grouping keys: a vector becomes runs of equal keys
//   aggregate_function.cpp  what an aggregate of the catalog is to us
//   transition.cpp          aggregates' states and their advance over runs

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/extensible.h"
}

namespace tsext::pg {

/// Chains the planner's hook and registers the node. Called once from _PG_init.
void InitAggregate();

/// custom_private of the plan: three Integers, these flags, the number of keys, and how many groups
/// will be asked for at most (0: not known; of ordered ones only). custom_scan_tlist: the keys,
/// then the Aggrefs. The only child is a TsextScan.
enum AggregatePlanFlags : int {
  kAggregatePartial = 1,      ///< gives transition values for a final Agg above
  kAggregateNewestFirst = 2,  ///< the only key is a bucket of the time column, groups come in
  kAggregateOldestFirst = 4,  ///< falling or rising order of it, each as soon as it is complete
};

extern const CustomScanMethods kAggregateScanMethods;

}  // namespace tsext::pg
