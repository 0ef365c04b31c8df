#pragma once

// TsextScan: a scan of a tsext table that decodes only the columns a query uses and passes by the
// segments outside the query's time range. Row by row; hot rows come from heap, cold ones from
// segments.

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// Adds TsextScan paths beside the sequential scans of `rel`, in the serial and the parallel list.
void AddScanPaths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry);

/// Called once from _PG_init.
void InitScan();

}  // namespace tsext::pg
