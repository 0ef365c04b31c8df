#include "pg/cagg/bucket.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"

namespace tsext::pg {
namespace {

int64_t Add(int64_t time, int64_t distance) {
  int64_t sum;
  if (time == kTimeMinimum || time == kTimeMaximum) return time;
  if (__builtin_add_overflow(time, distance, &sum))
    return distance < 0 ? kTimeMinimum : kTimeMaximum;
  return sum;
}

}  // namespace

int64_t BucketEnd(const ContinuousAggregate &aggregate, int64_t start) {
  if (start == kTimeMaximum) return start;
  int64_t least;
  int64_t greatest;
  TimeTypeRange(aggregate.time_type, &least, &greatest);
  // The bucket of all that is too early ends where one certainly can be expressed.
  if (start == kTimeMinimum || start < least) start = Add(Add(least + 1, aggregate.reach), -1);
  int64_t time = Add(start, aggregate.reach);
  int64_t end = BucketStart(aggregate, time);
  // A bucket may last longer still where the clock was put back by half a day.
  while (end <= start) end = BucketStart(aggregate, time = Add(time, aggregate.cell_width));
  return end;
}

TimeRange BucketsAround(const ContinuousAggregate &aggregate, int64_t first, int64_t last) {
  return {BucketStart(aggregate, Add(first, -aggregate.margin)),
          BucketEnd(aggregate, BucketStart(aggregate, last))};
}

TimeRange BucketsInside(const ContinuousAggregate &aggregate, int64_t from, int64_t until) {
  const int64_t start = BucketStart(aggregate, from);
  return {start < from ? BucketEnd(aggregate, start) : start, BucketStart(aggregate, until)};
}

Datum BoundDatum(int64_t time, Oid type) {
  if (IsIntegerTimeType(type)) {
    int64_t least;
    int64_t greatest;
    TimeTypeRange(type, &least, &greatest);
    time = std::clamp(time, least, greatest);
  }
  return DatumOfTime(time, type);
}

}  // namespace tsext::pg
