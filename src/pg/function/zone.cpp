#include "pg/function/zone.hpp"

#include <algorithm>
#include <limits>

extern "C" {
#include "parser/scansup.h"
#include "utils/datetime.h"
}

namespace tsext::pg {

namespace {

// More than any offset from UTC (rules may say up to 167 hours), so that no instant before
// `local - kLookback` can have seen the local clock at `local`.
constexpr int64_t kLookback = 8 * USECS_PER_DAY;
constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
constexpr int64_t kEpochSeconds = (int64_t{POSTGRES_EPOCH_JDATE} - UNIX_EPOCH_JDATE) * SECS_PER_DAY;

[[noreturn]] void ReportOutOfRange() {
  ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
  pg_unreachable();
}

int64_t AddOrReport(int64_t a, int64_t b) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) ReportOutOfRange();
  return sum;
}

/// The era that holds `time`.
Era EraAt(Zone &zone, int64_t time) {
  if (time >= zone.era.begin && time < zone.era.end) return zone.era;
  const int64_t second = time / USECS_PER_SEC - (time % USECS_PER_SEC < 0 ? 1 : 0);
  const pg_time_t unix_second = second + kEpochSeconds;
  long offset_before;
  long offset_after;
  int is_dst_before;
  int is_dst_after;
  pg_time_t boundary;
  const int found = pg_next_dst_boundary(&unix_second, &offset_before, &is_dst_before, &boundary,
                                         &offset_after, &is_dst_after, zone.rules);
  if (found < 0) ReportOutOfRange();
  int64_t end;
  if (found == 0 || __builtin_mul_overflow(boundary - kEpochSeconds, USECS_PER_SEC, &end))
    end = kForever;
  zone.era = {time, end, offset_before * USECS_PER_SEC};
  return zone.era;
}

/// The first instant at which the local clock shows `local` or later.
int64_t FirstInstant(Zone &zone, int64_t local) {
  int64_t begin = local - kLookback;
  Era era = EraAt(zone, begin);
  while (local - era.offset >= era.end) {
    begin = era.end;
    era = EraAt(zone, begin);
  }
  return std::max(local - era.offset, begin);
}

}  // namespace

Zone *FindZone(FunctionCallInfo fcinfo, text *name) {
  char zone_name[TZ_STRLEN_MAX + 1];
  text_to_cstring_buffer(name, zone_name, sizeof zone_name);
  auto *zone = static_cast<Zone *>(fcinfo->flinfo->fn_extra);
  if (zone == nullptr) {
    zone = static_cast<Zone *>(MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Zone)));
    fcinfo->flinfo->fn_extra = zone;
  } else if (zone->name[0] != '\0' && strcmp(zone->name, zone_name) == 0) {
    return zone;
  }
  *zone = Zone{};  // without a name it is never found, should an error end this call below
  char *lower = downcase_truncate_identifier(zone_name, static_cast<int>(strlen(zone_name)), false);
  int type;
  int offset = 0;
  pg_tz *rules = nullptr;
  TSEXT_DECODE_ZONE_ABBREVIATION(lower, type, offset, rules);
  pfree(lower);
  if (type == TZ || type == DTZ) {
    zone->era = {PG_INT64_MIN, kForever, offset * USECS_PER_SEC};
  } else {
    zone->rules = type == DYNTZ ? rules : pg_tzset(zone_name);
    if (zone->rules == nullptr)
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("time zone \"%s\" not recognized", zone_name)));
  }
  strlcpy(zone->name, zone_name, sizeof zone->name);
  return zone;
}

Timestamp LocalTime(Zone &zone, TimestampTz time) {
  const int64_t local = AddOrReport(time, EraAt(zone, time).offset);
  if (!IS_VALID_TIMESTAMP(local)) ReportOutOfRange();
  return local;
}

TimestampTz ZoneBucket(Zone &zone, TimestampTz time, int64_t width_us,
                       Timestamp (*start_of)(Timestamp local, const void *context),
                       const void *context) {
  const int64_t first = time - kLookback;
  Era era = EraAt(zone, first);
  int64_t begin = first;                // of the era that holds `time`
  int64_t put_back = 0;                 // by how much the clock was put back when that era began
  int64_t latest_local = PG_INT64_MIN;  // the clock never reached this before that era
  while (era.end <= time) {
    latest_local = std::max(latest_local, AddOrReport(era.end, era.offset));
    begin = era.end;
    const Era next = EraAt(zone, begin);
    put_back = era.offset - next.offset;
    era = next;
  }
  const int64_t local = AddOrReport(time, era.offset);
  const int64_t local_start = start_of(local, context);
  const int64_t start = local_start - era.offset;
  // Nearly always: the offset has been the same for longer than a clock can be put back.
  const bool is_unambiguous = begin == first && start >= first + 2 * USECS_PER_DAY;
  const bool is_repeated = begin != first && width_us <= put_back && start >= begin;
  if (is_unambiguous || is_repeated) return start;
  if (latest_local > local) return FirstInstant(zone, start_of(latest_local - 1, context));
  return FirstInstant(zone, local_start);
}

}  // namespace tsext::pg
