#include "pg/job/schedule.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "pgtime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr int64 kMaxRetryDelay = USECS_PER_HOUR;

[[noreturn]] void OutOfRange() {
  ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range"),
                  errdetail("The schedule has no start within the range of timestamps.")));
  pg_unreachable();
}

/// step * n.
Interval Multiply(const Interval &step, int64 n) {
  Interval product{};
  if (__builtin_mul_overflow(step.time, n, &product.time) ||
      __builtin_mul_overflow(step.day, n, &product.day) ||
      __builtin_mul_overflow(step.month, n, &product.month))
    OutOfRange();
  return product;
}

/// initial_start + n * interval. Always counted from the beginning: a job on the 31st does not
/// slide to the 28th after a February.
TimestampTz GridStart(const Schedule &schedule, int64 n) {
  Interval offset = Multiply(schedule.interval, n);
  if (offset.month == 0 && offset.day == 0) {
    TimestampTz start;
    if (__builtin_add_overflow(schedule.initial_start, offset.time, &start) ||
        !IS_VALID_TIMESTAMP(start))
      OutOfRange();
    return start;
  }
  const Datum zone =
      PointerGetDatum(cstring_to_text(schedule.timezone != nullptr ? schedule.timezone : "UTC"));
  const Datum local =
      DirectFunctionCall2(timestamptz_zone, zone, TimestampTzGetDatum(schedule.initial_start));
  const Datum moved = DirectFunctionCall2(timestamp_pl_interval, local, IntervalPGetDatum(&offset));
  return DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone, zone, moved));
}

/// The greatest length a step can have: a lower bound for the number of steps in a time.
int64 LongestStep(const Interval &interval) {
  return interval.month * (31 * USECS_PER_DAY) + interval.day * USECS_PER_DAY + interval.time;
}

/// Moves the beginning of a grid back by whole steps until it is not after `time`.
void BeginBy(Schedule *schedule, TimestampTz time) {
  if (!schedule->fixed || schedule->initial_start <= time) return;
  // Months by four years, so that a job of the 31st, or of a 29 February, stays one.
  const int64 steps = schedule->interval.month == 0 ? 1 : 48;
  const int64 length = LongestStep(schedule->interval) * steps;
  int64 n = -((schedule->initial_start - time + length - 1) / length) * steps;
  TimestampTz start;
  while ((start = GridStart(*schedule, n)) > time) n -= steps;
  schedule->initial_start = start;
}

}  // namespace

int64 IntervalMicroseconds(const Interval &interval) {
  return interval.month * (30 * USECS_PER_DAY) + interval.day * USECS_PER_DAY + interval.time;
}

void CheckInterval(const char *what, const Interval &interval, bool may_be_zero) {
  const bool is_zero = interval.month == 0 && interval.day == 0 && interval.time == 0;
  if (is_zero && may_be_zero) return;
  if (is_zero || interval.month < 0 || interval.day < 0 || interval.time < 0) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("%s must %s", what, may_be_zero ? "not be negative" : "be greater than zero"),
             errdetail("No part of it may be negative.")));
  }
  if (interval.month != 0 && (interval.day != 0 || interval.time != 0)) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("%s must not mix months with days or times", what),
             errhint("Use either months and years, or weeks, days, hours and shorter units.")));
  }
  // Ten thousand years: beyond it sums may overflow, and nobody waits for it ("infinity" of later
  // versions lies there).
  constexpr int64 kMaxDays = 3652425;
  if (interval.month > 120000 || interval.day > kMaxDays ||
      interval.time > kMaxDays * USECS_PER_DAY) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s is too long", what),
                    errdetail("An interval of a job is finite and at most 10000 years.")));
  }
}

void CheckTimezone(const char *timezone) {
  (void)DirectFunctionCall2(timestamptz_zone, PointerGetDatum(cstring_to_text(timezone)),
                            TimestampTzGetDatum(0));
}

TimestampTz NextStart(const Schedule &schedule, TimestampTz after) {
  if (TIMESTAMP_NOT_FINITE(after)) OutOfRange();
  if (!schedule.fixed) {
    Schedule drifting = schedule;
    drifting.initial_start = after;
    return GridStart(drifting, 1);
  }
  if (after < schedule.initial_start) return schedule.initial_start;
  int64 passed;
  if (__builtin_sub_overflow(after, schedule.initial_start, &passed)) OutOfRange();
  int64 n = passed / LongestStep(schedule.interval) - 1;
  n = Max(n, 0);
  TimestampTz start = GridStart(schedule, n);
  while (start <= after) start = GridStart(schedule, ++n);
  return start;
}

TimestampTz FirstStart(const Schedule &schedule, TimestampTz now) {
  if (!schedule.has_initial_start) return now;
  if (schedule.initial_start >= now) return schedule.initial_start;
  return schedule.fixed ? NextStart(schedule, now) : now;
}

void FindStart(void *argument) {
  auto *search = static_cast<StartSearch *>(argument);
  if (search->has_run_later) BeginBy(&search->schedule, search->from);
  search->start = search->kind == StartSearch::kFirst ? FirstStart(search->schedule, search->from)
                                                      : NextStart(search->schedule, search->from);
}

int64 RetryDelay(const Interval &retry_period, const Interval &schedule_interval, int failures) {
  const int64 first = IntervalMicroseconds(retry_period);
  const int64 longest =
      Max(first, Min(5 * IntervalMicroseconds(schedule_interval), kMaxRetryDelay));
  int64 delay = first;
  for (int i = 1; i < failures && delay < longest; i++) delay *= 2;
  return Min(delay, longest);
}

}  // namespace tsext::pg
