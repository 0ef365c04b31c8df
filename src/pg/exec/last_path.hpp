#pragma once

// Which queries TsextLast answers, and what it costs there.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/extensible.h"
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// Adds a TsextLast path to the ways of doing a query's DISTINCT, when it is one.
///
/// input_rel:    what comes before DISTINCT.
/// distinct_rel: the paths so far.
void AddLastPath(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *distinct_rel,
                 const CustomPathMethods *methods);

/// Adds a way of grouping to a query whose aggregates are all of the newest, or all of the oldest
/// rows of series: last() or first() by the time column, its max() or min(). PostgreSQL aggregates
/// the one row of each that TsextLast gives.
///
/// input_rel:   what comes before GROUP BY.
/// grouped_rel: the paths so far.
void AddLastGroupPath(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *grouped_rel,
                      const GroupPathExtraData *extra, const CustomPathMethods *methods);

/// What a path, and later the plan, keeps in its custom_private: integer lists. The plan's
/// custom_exprs are the conditions among its quals that vectors can answer.
///
/// keys:     attribute numbers of the columns that make a series.
/// settings: time attribute, LastOrder, LastNulls.
/// of the plan only:
/// on_keys:  one a qual: 1 when it is tested once a series.
enum LastPrivate : int { kLastKeys, kLastSettings, kLastOnKeys };

/// Attribute numbers that `expressions` use of relation `rel`, system columns left out, a whole row
/// as all of its columns. uses_tid: whether ctid is among them; may be nullptr.
Bitmapset *ReadAttributes(Index rel, List *expressions, TupleDesc descriptor, bool *uses_tid);

}  // namespace tsext::pg
