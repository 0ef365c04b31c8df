#pragma once

// Time zones as a sequence of eras with one offset from UTC each, and buckets of local time.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "pgtime.h"
}

namespace tsext::pg {

/// A zone as `timestamptz AT TIME ZONE name` knows it: rules, or one offset for all times.
struct Zone {
  pg_tz *rules;       // nullptr: one offset
  int64_t offset_us;  // east of UTC; without rules
};

/// Finds a zone by abbreviation or name. `time` settles abbreviations whose offset has changed over
/// the years. Unknown names raise 22023.
Zone FindZone(text *name, TimestampTz time);

/// Local time of an instant; raises 22008 when it leaves the range of timestamp.
Timestamp LocalTime(const Zone &zone, TimestampTz time);

/// Start of the bucket of local time that holds `time`.
///
/// start_of:  maps a local time to the start of its bucket, in local time; never later.
/// width_us:  of a bucket; for calendar widths any value above a day.
///
/// A bucket begins at the first instant at which the local clock reaches its local start, so
/// buckets follow one another without gap or overlap, and none begins after the times it holds.
/// Where the clock is put forward over a start, that is the moment of the change. Where it is put
/// back by at least width_us, the repeated starts begin buckets of their own; wider buckets last
/// longer instead.
TimestampTz ZoneBucket(const Zone &zone, TimestampTz time, int64_t width_us,
                       Timestamp (*start_of)(Timestamp local, const void *context),
                       const void *context);

}  // namespace tsext::pg
