#include "tsext/time_bucket.hpp"

#include <optional>

#include "pg/base/boundary.hpp"
#include "pg/function/zone.hpp"

extern "C" {
#include "utils/date.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr int64_t kFixedOriginDay = 2;  // Monday 2000-01-03, counted from 2000-01-01
constexpr int64_t kMonthOriginDay = 0;  // 2000-01-01

/// How a timeline is cut. All in one unit: microseconds for timestamps, days for dates.
struct Buckets {
  int32_t months;  // > 0: calendar months, with origin and month_offset; 0: fixed width, with phase
  int32_t month_offset;
  int64_t origin;
  int64_t width;   // of fixed buckets
  int64_t phase;   // of fixed buckets
  int64_t offset;  // of calendar buckets: added to their starts
  int64_t units_per_day;
};

void CheckWidth(const Interval &width) {
  if (width.month != 0 && (width.day != 0 || width.time != 0))
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("bucket width cannot mix months with days or times"),
                    errhint("Use either months and years, or weeks, days and units of time.")));
  if (width.month < 0)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("bucket width must be greater than zero")));
}

void CheckFixedOffset(const Interval &offset) {
  if (offset.month != 0)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("offset cannot contain months for buckets of days or times"),
                    errhint("Give an origin instead.")));
}

/// Days and time of an interval in microseconds.
int64_t FixedPart(const Interval &interval) {
  int64_t days_us;
  int64_t sum;
  if (__builtin_mul_overflow(int64_t{interval.day}, int64_t{USECS_PER_DAY}, &days_us) ||
      __builtin_add_overflow(days_us, interval.time, &sum))
    ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("interval out of range")));
  return sum;
}

int64_t PositiveWidth(int64_t width) {
  if (width <= 0)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("bucket width must be greater than zero")));
  return width;
}

/// origin, offset: nullptr when not given.
Buckets TimestampBuckets(const Interval &width, const Timestamp *origin, const Interval *offset) {
  CheckWidth(width);
  if (origin != nullptr && TIMESTAMP_NOT_FINITE(*origin))
    ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("origin out of range")));
  Buckets buckets{};
  buckets.units_per_day = USECS_PER_DAY;
  buckets.months = width.month;
  const int64_t offset_us = offset == nullptr ? 0 : FixedPart(*offset);
  if (width.month != 0) {
    buckets.origin = origin == nullptr ? kMonthOriginDay * USECS_PER_DAY : *origin;
    buckets.month_offset = offset == nullptr ? 0 : offset->month;
    buckets.offset = offset_us;
    return buckets;
  }
  if (offset != nullptr) CheckFixedOffset(*offset);
  buckets.width = PositiveWidth(FixedPart(width));
  buckets.origin = origin == nullptr ? kFixedOriginDay * USECS_PER_DAY : *origin;
  buckets.phase = BucketPhase(buckets.width, buckets.origin, offset_us);
  return buckets;
}

/// A width that divides a day leaves each date alone, like a width of one day. Others that are no
/// whole days would put two dates into one bucket that is shorter than a day.
int64_t WidthInDays(const Interval &width) {
  const int64_t width_us = PositiveWidth(FixedPart(width));
  if (USECS_PER_DAY % width_us == 0) return 1;
  if (width_us % USECS_PER_DAY != 0)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("bucket width for dates must be whole days or divide a day"),
                    errhint("Cast the date to timestamp.")));
  return width_us / USECS_PER_DAY;
}

Buckets DateBuckets(const Interval &width, const DateADT *origin, const Interval *offset) {
  CheckWidth(width);
  if (origin != nullptr && DATE_NOT_FINITE(*origin))
    ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("origin out of range")));
  Buckets buckets{};
  buckets.units_per_day = 1;
  buckets.months = width.month;
  int64_t offset_days = 0;
  if (offset != nullptr) {
    const int64_t offset_us = FixedPart(*offset);
    if (offset_us % USECS_PER_DAY != 0)
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("offset of buckets of dates must be whole days"),
                      errhint("Cast the date to timestamp.")));
    offset_days = offset_us / USECS_PER_DAY;
  }
  if (width.month != 0) {
    buckets.origin = origin == nullptr ? kMonthOriginDay : *origin;
    buckets.month_offset = offset == nullptr ? 0 : offset->month;
    buckets.offset = offset_days;
    return buckets;
  }
  if (offset != nullptr) CheckFixedOffset(*offset);
  buckets.width = WidthInDays(width);
  buckets.origin = origin == nullptr ? kFixedOriginDay : *origin;
  buckets.phase = BucketPhase(buckets.width, buckets.origin, offset_days);
  return buckets;
}

std::optional<int64_t> BucketStart(const Buckets &buckets, int64_t time) {
  if (buckets.months == 0) return FixedBucket(time, buckets.width, buckets.phase);
  int64_t moved;
  if (__builtin_sub_overflow(time, buckets.offset, &moved)) return std::nullopt;
  const std::optional<int64_t> start = MonthBucket(moved, buckets.months, buckets.origin,
                                                   buckets.month_offset, buckets.units_per_day);
  int64_t moved_back;
  if (!start.has_value() || __builtin_add_overflow(*start, buckets.offset, &moved_back))
    return std::nullopt;
  return moved_back;
}

Timestamp TimestampBucket(Timestamp time, const Buckets &buckets) {
  const std::optional<int64_t> start = BucketStart(buckets, time);
  if (!start.has_value() || !IS_VALID_TIMESTAMP(*start))
    ereport(ERROR,
            (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
  return *start;
}

DateADT DateBucket(DateADT date, const Buckets &buckets) {
  const std::optional<int64_t> start = BucketStart(buckets, date);
  if (!start.has_value() || !IS_VALID_DATE(*start))
    ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("date out of range")));
  return static_cast<DateADT>(*start);
}

TimestampTz ZoneTimestampBucket(TimestampTz time, const Interval &width, Zone &zone,
                                const TimestampTz *origin, const Interval *offset) {
  Timestamp local_origin = 0;
  if (origin != nullptr)
    local_origin = TIMESTAMP_NOT_FINITE(*origin) ? *origin : LocalTime(zone, *origin);
  const Buckets buckets =
      TimestampBuckets(width, origin == nullptr ? nullptr : &local_origin, offset);
  if (TIMESTAMP_NOT_FINITE(time)) return time;
  const TimestampTz start = ZoneBucket(
      zone, time, buckets.months != 0 ? PG_INT64_MAX : buckets.width,
      [](Timestamp local, const void *context) {
        return TimestampBucket(local, *static_cast<const Buckets *>(context));
      },
      &buckets);
  if (!IS_VALID_TIMESTAMP(start))
    ereport(ERROR,
            (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
  return start;
}

/// Integer buckets count from zero, or from the offset.
int64_t IntegerBucket(int64_t width, int64_t value, int64_t offset, int64_t least,
                      const char *type) {
  const int64_t positive_width = PositiveWidth(width);
  const std::optional<int64_t> start =
      FixedBucket(value, positive_width, BucketPhase(positive_width, 0, offset));
  if (!start.has_value() || *start < least)
    ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("%s out of range", type)));
  return *start;
}

}  // namespace

}  // namespace tsext::pg

using namespace tsext::pg;

// timestamp and timestamptz alike: a bucket of timestamptz is one of UTC.
TSEXT_FUNCTION(tsext_time_bucket_timestamp) {
  const Timestamp time = PG_GETARG_TIMESTAMP(1);
  const Buckets buckets = TimestampBuckets(*PG_GETARG_INTERVAL_P(0), nullptr, nullptr);
  PG_RETURN_TIMESTAMP(TIMESTAMP_NOT_FINITE(time) ? time : TimestampBucket(time, buckets));
}

TSEXT_FUNCTION(tsext_time_bucket_timestamp_origin) {
  const Timestamp time = PG_GETARG_TIMESTAMP(1);
  const Timestamp origin = PG_GETARG_TIMESTAMP(2);
  const Buckets buckets = TimestampBuckets(*PG_GETARG_INTERVAL_P(0), &origin, nullptr);
  PG_RETURN_TIMESTAMP(TIMESTAMP_NOT_FINITE(time) ? time : TimestampBucket(time, buckets));
}

TSEXT_FUNCTION(tsext_time_bucket_timestamp_offset) {
  const Timestamp time = PG_GETARG_TIMESTAMP(1);
  const Buckets buckets =
      TimestampBuckets(*PG_GETARG_INTERVAL_P(0), nullptr, PG_GETARG_INTERVAL_P(2));
  PG_RETURN_TIMESTAMP(TIMESTAMP_NOT_FINITE(time) ? time : TimestampBucket(time, buckets));
}

TSEXT_FUNCTION(tsext_time_bucket_zone) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2)) PG_RETURN_NULL();
  const TimestampTz time = PG_GETARG_TIMESTAMPTZ(1);
  Zone &zone = *FindZone(fcinfo, PG_GETARG_TEXT_PP(2));
  const TimestampTz origin = PG_ARGISNULL(3) ? 0 : PG_GETARG_TIMESTAMPTZ(3);
  const Interval *offset = PG_ARGISNULL(4) ? nullptr : PG_GETARG_INTERVAL_P(4);
  PG_RETURN_TIMESTAMPTZ(ZoneTimestampBucket(time, *PG_GETARG_INTERVAL_P(0), zone,
                                            PG_ARGISNULL(3) ? nullptr : &origin, offset));
}

TSEXT_FUNCTION(tsext_time_bucket_date) {
  const DateADT date = PG_GETARG_DATEADT(1);
  const Buckets buckets = DateBuckets(*PG_GETARG_INTERVAL_P(0), nullptr, nullptr);
  PG_RETURN_DATEADT(DATE_NOT_FINITE(date) ? date : DateBucket(date, buckets));
}

TSEXT_FUNCTION(tsext_time_bucket_date_origin) {
  const DateADT date = PG_GETARG_DATEADT(1);
  const DateADT origin = PG_GETARG_DATEADT(2);
  const Buckets buckets = DateBuckets(*PG_GETARG_INTERVAL_P(0), &origin, nullptr);
  PG_RETURN_DATEADT(DATE_NOT_FINITE(date) ? date : DateBucket(date, buckets));
}

TSEXT_FUNCTION(tsext_time_bucket_date_offset) {
  const DateADT date = PG_GETARG_DATEADT(1);
  const Buckets buckets = DateBuckets(*PG_GETARG_INTERVAL_P(0), nullptr, PG_GETARG_INTERVAL_P(2));
  PG_RETURN_DATEADT(DATE_NOT_FINITE(date) ? date : DateBucket(date, buckets));
}

TSEXT_FUNCTION(tsext_time_bucket_int2) {
  const int64_t offset = PG_NARGS() > 2 ? PG_GETARG_INT16(2) : 0;
  PG_RETURN_INT16(static_cast<int16_t>(
      IntegerBucket(PG_GETARG_INT16(0), PG_GETARG_INT16(1), offset, PG_INT16_MIN, "smallint")));
}

TSEXT_FUNCTION(tsext_time_bucket_int4) {
  const int64_t offset = PG_NARGS() > 2 ? PG_GETARG_INT32(2) : 0;
  PG_RETURN_INT32(static_cast<int32_t>(
      IntegerBucket(PG_GETARG_INT32(0), PG_GETARG_INT32(1), offset, PG_INT32_MIN, "integer")));
}

TSEXT_FUNCTION(tsext_time_bucket_int8) {
  const int64_t offset = PG_NARGS() > 2 ? PG_GETARG_INT64(2) : 0;
  PG_RETURN_INT64(
      IntegerBucket(PG_GETARG_INT64(0), PG_GETARG_INT64(1), offset, PG_INT64_MIN, "bigint"));
}
