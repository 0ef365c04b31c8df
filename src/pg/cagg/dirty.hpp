#pragma once

// Which buckets of a continuous aggregate below its threshold are not right in the materialization:
// the log, rounded out to whole buckets, less the ranges whose source is gone.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/table/remove_times.hpp"

namespace tsext::pg {

/// All that a snapshot sees of an aggregate's state; palloc'd.
struct AggregateState {
  int64_t threshold;
  LogEntry *log;
  int log_count;
  GoneRange *gone;
  int gone_count;
};

/// snapshot: nullptr for the latest.
AggregateState ReadState(const ContinuousAggregate &aggregate, Snapshot snapshot);

/// The dirty buckets inside `window`, ascending, disjoint, not touching one another, aligned to
/// buckets; palloc'd. window: bucket starts, or open.
TimeRange *DirtyRanges(const ContinuousAggregate &aggregate, const AggregateState &state,
                       TimeRange window, int *count);

/// The multirange type of a time type's ranges; smallint has none, int's is taken.
Oid MultirangeType(Oid time_type);
/// What SQL appends to a time so that it compares with these ranges.
const char *RangeCast(Oid time_type);

/// The ranges as a value of a multirange type over a time type.
Datum MakeMultirange(Oid type, const TimeRange *ranges, int count);

/// Sorts ranges and joins those that meet, in place; returns how many are left.
int JoinRanges(TimeRange *ranges, int count);

}  // namespace tsext::pg
