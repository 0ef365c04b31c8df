#pragma once

// Buckets of a continuous aggregate: where they start (pg/catalog/bucket_start.hpp) and end, and
// which ones a range of times concerns.
//
// Times are int64 in units of the base's time column. kTimeMinimum and kTimeMaximum stand for
// everything before and after what buckets can express, -infinity and infinity among it.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/bucket_start.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/remove_times.hpp"

namespace tsext::pg {

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
