#pragma once

// The time range that the WHERE clauses of a scan leave.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "nodes/execnodes.h"
}

namespace tsext::pg {

/// Bounds on the time column among `clauses` of relation `rel`: `column operator value`, the value
/// constant during the scan. The operators' strategies as an integer list, the values as an
/// expression list.
void FindTimeBounds(List *clauses, Index rel, const TableOptions *options, List **strategies,
                    List **values);

struct TimeRange {
  int64_t from, to;  ///< inclusive, perhaps wider than the clauses say
  bool nothing;      ///< a bound is NULL or the range is empty: no row can pass
};
/// The range as the bounds are now. values: the expressions' states.
TimeRange ComputeTimeRange(const List *strategies, const List *values, ExprContext *context,
                           Oid time_type);

}  // namespace tsext::pg
