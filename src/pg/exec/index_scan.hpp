#pragma once

// TsextIndexScan: a scan of an index, whose rows are the hot ones, followed by the cold rows that
// satisfy the same clauses. TsextTupleScan: the rows of a TsextScan as heap tuples.

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// A path around `index`, a plain index scan of `rel`, with its parameters and without its order.
Path *MakeIndexScanPath(PlannerInfo *root, RelOptInfo *rel, IndexPath *index);

/// The path of a TsextTupleScan, a TsextScan that gives heap tuples, for UPDATE, DELETE, MERGE and
/// row locks; nullptr when the query asks for more of a row's version than its tuple id.
Path *MakeTupleScanPath(PlannerInfo *root, RelOptInfo *rel);

/// Called once from _PG_init.
void InitIndexScan();

}  // namespace tsext::pg
