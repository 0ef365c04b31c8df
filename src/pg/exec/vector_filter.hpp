#pragma once

// WHERE clauses that are answered by vectors instead of row by row.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

struct VectorFilters;

/// Splits `quals` (implicit AND, base relation `rel`) into those that vectors answer completely and
/// those left to ExecQual, both in their old order. Clauses of lower security levels are never
/// overtaken by ones that are not leakproof. reasons: for each left clause why it was left, as a
/// String node, for EXPLAIN.
void SplitQuals(PlannerInfo *root, Index rel, List *quals, List **vectors, List **left,
                List **reasons);

/// Compiles clauses found by SplitQuals, in their final form (after setrefs), for the relation with
/// range table index `rel`. Constants may be any expression without columns; they are computed in
/// `parent`'s expression context when the scan starts. In the current memory context.
VectorFilters *MakeVectorFilters(List *clauses, Index rel, Relation relation, PlanState *parent);

}  // namespace tsext::pg
