#pragma once

// TsextIndexScan: a scan of an index, whose rows are the hot ones, followed by the cold rows that
// satisfy the same clauses.

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// A path around `index`, a plain index scan of `rel`, with its parameters and without its order.
Path *MakeIndexScanPath(PlannerInfo *root, RelOptInfo *rel, IndexPath *index);

/// Called once from _PG_init.
void InitIndexScan();

}  // namespace tsext::pg
