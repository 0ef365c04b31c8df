#pragma once

// When a job runs next: fixed schedules (initial_start + n * interval by the calendar of a time
// zone) and drifting ones (the interval after the end of a run).

#include "pg/base/postgres.hpp"

extern "C" {
#include "datatype/timestamp.h"
}

namespace tsext::pg {

struct Schedule {
  Interval interval;
  bool fixed;
  bool has_initial_start;  // always when fixed
  TimestampTz initial_start;
  const char *timezone;  // nullptr: UTC
};

/// Raises 22023 unless every part of the interval is positive and months stand alone; `what` names
/// the argument. `may_be_zero`: zero is a value with a meaning of its own.
void CheckInterval(const char *what, const Interval &interval, bool may_be_zero);
/// Raises 22023 for an unknown time zone.
void CheckTimezone(const char *timezone);

/// The first start after `after` (the end of a run): on the grid when fixed, so that starts that
/// were missed are skipped; else the interval after it. 22008: there is none.
TimestampTz NextStart(const Schedule &schedule, TimestampTz after);
/// The start of a job that has never run.
TimestampTz FirstStart(const Schedule &schedule, TimestampTz now);

/// One of the two above, for TrySubtransaction().
struct StartSearch {
  Schedule schedule;  // a copy
  TimestampTz from;
  enum { kFirst, kNext } kind;
  // The job has run later than `from`, as the clock was before it was set back: a grid that began
  // after `from` is moved, in `schedule`, by whole steps to begin before.
  bool has_run_later;
  TimestampTz start;  // the result
};
void FindStart(void *search);

/// How long to wait after the n-th failure in a row (n >= 1), in microseconds: retry_period,
/// doubled with each, up to five schedule intervals and at most an hour, but never less than
/// retry_period.
int64 RetryDelay(const Interval &retry_period, const Interval &schedule_interval, int failures);

/// An interval's length, months at 30 days.
int64 IntervalMicroseconds(const Interval &interval);

}  // namespace tsext::pg
