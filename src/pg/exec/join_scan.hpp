#pragma once

// Scans on the inner side of a nested loop, whose join conditions prune.

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// The parameters (ParamPathInfo) under which a scan of `rel` gets a condition on the time column
/// or the first segment-by column from relations it is joined to.
List *FindPruningJoins(PlannerInfo *root, RelOptInfo *rel);

}  // namespace tsext::pg
