#pragma once

// Time zones as a sequence of eras with one offset from UTC each, and buckets of local time.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "pgtime.h"
}

namespace tsext::pg {

/// A run of instants with one offset east of UTC: local time = instant + offset. Microseconds.
struct Era {
  int64_t begin;  // a known instant of the era, not always its first
  int64_t end;    // the first instant of the next era; the greatest int64 when there is none
  int64_t offset;
};

/// A zone as date_trunc(text, timestamptz, name) knows it, and the era that was looked at last.
struct Zone {
  char name[TZ_STRLEN_MAX + 1];
  pg_tz *rules;  // nullptr: `era` holds for all times
  Era era;
};

/// Finds a zone by abbreviation or name and keeps it with the calling function, for its next call.
/// An abbreviation whose offset has changed over the years stands for the zone it is used in.
/// Unknown names raise 22023.
Zone *FindZone(FunctionCallInfo fcinfo, text *name);

/// Local time of an instant; raises 22008 when it leaves the range of timestamp.
Timestamp LocalTime(Zone &zone, TimestampTz time);

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
TimestampTz ZoneBucket(Zone &zone, TimestampTz time, int64_t width_us,
                       Timestamp (*start_of)(Timestamp local, const void *context),
                       const void *context);

}  // namespace tsext::pg
