#pragma once

// Buckets of a continuous aggregate: where the bucket of a time starts and ends. By arithmetic
// where all are of one width, else by calling time_bucket() as the definition does.
//
// Times are int64 in units of the base's time column. kTimeMinimum and kTimeMaximum stand for
// everything before and after what buckets can express, -infinity and infinity among it.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/remove_times.hpp"

namespace tsext::pg {

/// Start of the bucket that holds `time`. kTimeMinimum when no type could hold that start;
/// kTimeMaximum stays. Needs an active snapshot when buckets are not fixed.
int64_t BucketStart(const ContinuousAggregate &aggregate, int64_t time);

/// The start of the bucket after the one that starts at `start`; kTimeMaximum when there is none.
int64_t BucketEnd(const ContinuousAggregate &aggregate, int64_t start);

/// The whole buckets that may hold rows with times in [first, last] (inclusive).
TimeRange BucketsAround(const ContinuousAggregate &aggregate, int64_t first, int64_t last);

/// The whole buckets inside [from, until); from >= until when there is none.
TimeRange BucketsInside(const ContinuousAggregate &aggregate, int64_t from, int64_t until);

/// A time as a value of `type`, the nearest one when it lies outside: the open ends become
/// infinities, or the least and greatest integer.
Datum BoundDatum(int64_t time, Oid type);

}  // namespace tsext::pg
