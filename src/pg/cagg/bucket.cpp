#include "pg/cagg/bucket.hpp"

#include <algorithm>
#include <cstring>

#include "tsext/time_bucket.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/oid_table.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "executor/spi.h"
}

namespace tsext::pg {
namespace {

/// SELECT bucket_call, kept for the session.
struct BucketPlan {
  Oid materialization;  // the key
  SPIPlanPtr plan;
  char *call;
};

HTAB *bucket_plans = nullptr;

int64_t Add(int64_t time, int64_t distance) {
  int64_t sum;
  if (time == kTimeMinimum || time == kTimeMaximum) return time;
  if (__builtin_add_overflow(time, distance, &sum))
    return distance < 0 ? kTimeMinimum : kTimeMaximum;
  return sum;
}

/// The plan of an aggregate's bucket_call; inside an SPI connection.
SPIPlanPtr FindPlan(const ContinuousAggregate &aggregate) {
  if (bucket_plans == nullptr) bucket_plans = NewOidTable<BucketPlan>("tsext bucket plans");
  bool found;
  auto *entry = static_cast<BucketPlan *>(
      hash_search(bucket_plans, &aggregate.materialization, HASH_ENTER, &found));
  if (!found) entry->plan = nullptr;
  if (entry->plan != nullptr && strcmp(entry->call, aggregate.bucket_call) == 0) return entry->plan;
  if (entry->plan != nullptr) {
    // An oid that was used before, or the name of the extension's schema changed.
    SPIPlanPtr old = entry->plan;
    entry->plan = nullptr;
    pfree(entry->call);
    SPI_freeplan(old);
  }
  Oid type = aggregate.time_type;
  SPIPlanPtr plan = SPI_prepare(psprintf("SELECT %s", aggregate.bucket_call), 1, &type);
  if (plan == nullptr) elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
  char *call = MemoryContextStrdup(TopMemoryContext, aggregate.bucket_call);
  SPI_keepplan(plan);
  entry->call = call;
  entry->plan = plan;
  return plan;
}

int64_t CallBucket(const ContinuousAggregate &aggregate, int64_t time) {
  SPI_connect();
  Datum argument = DatumOfTime(time, aggregate.time_type);
  const int result = SPI_execute_plan(FindPlan(aggregate), &argument, nullptr, true, 1);
  if (result != SPI_OK_SELECT || SPI_processed != 1)
    elog(ERROR, "could not compute a bucket: %s", SPI_result_code_string(result));
  bool is_null;
  const Datum start = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
  if (is_null) elog(ERROR, "a bucket has no start: %s", aggregate.bucket_call);
  SPI_finish();
  return TimeOfDatum(start, aggregate.time_type);
}

}  // namespace

int64_t BucketStart(const ContinuousAggregate &aggregate, int64_t time) {
  if (time == kTimeMaximum) return time;
  int64_t least;
  int64_t greatest;
  TimeTypeRange(aggregate.time_type, &least, &greatest);
  if (time > greatest) return kTimeMaximum;
  if (aggregate.is_fixed) {
    const int64_t phase = BucketPhase(aggregate.cell_width, aggregate.cell_origin, 0);
    const auto start = FixedBucket(time, aggregate.cell_width, phase);
    return start.has_value() && *start >= least ? *start : kTimeMinimum;
  }
  // time_bucket() raises an error for the first bucket of all, which begins before its type does.
  int64_t safe;
  if (__builtin_add_overflow(least, aggregate.reach, &safe) || time < safe) return kTimeMinimum;
  return CallBucket(aggregate, time);
}

int64_t BucketEnd(const ContinuousAggregate &aggregate, int64_t start) {
  if (start == kTimeMaximum) return start;
  int64_t least;
  int64_t greatest;
  TimeTypeRange(aggregate.time_type, &least, &greatest);
  // The bucket of all that is too early ends where one certainly can be expressed.
  if (start == kTimeMinimum || start < least) start = Add(Add(least + 1, aggregate.reach), -1);
  return BucketStart(aggregate, Add(start, aggregate.reach));
}

TimeRange BucketsAround(const ContinuousAggregate &aggregate, int64_t first, int64_t last) {
  return {BucketStart(aggregate, Add(first, -aggregate.margin)),
          BucketEnd(aggregate, BucketStart(aggregate, Add(last, aggregate.margin)))};
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
