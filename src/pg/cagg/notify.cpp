// Telling listeners which buckets of a continuous aggregate were computed.

#include <algorithm>
#include <functional>

#include "pg/base/boundary.hpp"
#include "pg/cagg/bucket.hpp"
#include "pg/cagg/compute.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

// What the payloads of one refresh may take together.
constexpr int kPayloadBytes = 7900;

/// A time as JSON: ISO 8601 in UTC, or a number.
void AppendTime(StringInfo text, int64_t time, Oid type) {
  const Datum value = BoundDatum(time, type);
  if (IsIntegerTimeType(type)) {
    appendStringInfo(text, INT64_FORMAT, TimeOfDatum(value, type));
    return;
  }
  char buffer[MAXDATELEN + 1];
  const int utc = 0;
  escape_json(text, JsonEncodeDateTime(buffer, value, type, &utc));
}

char *Payload(const char *view, TimeRange range, Oid type) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfoString(&text, "{\"view\":");
  escape_json(&text, view);
  appendStringInfoString(&text, ",\"from\":");
  AppendTime(&text, range.from, type);
  appendStringInfoString(&text, ",\"to\":");
  AppendTime(&text, range.until, type);
  appendStringInfoChar(&text, '}');
  return text.data;
}

/// Joins ranges until no more than `limit` are left, over the narrowest gaps first; returns how
/// many.
int JoinNearest(TimeRange *ranges, int count, int limit) {
  if (count <= limit) return count;
  // Unsigned: a gap of int8 times may overflow.
  const auto gap = [&](int i) {
    return static_cast<uint64_t>(ranges[i + 1].from) - static_cast<uint64_t>(ranges[i].until);
  };
  auto *gaps = static_cast<uint64_t *>(palloc(sizeof(uint64_t) * count));
  for (int i = 0; i + 1 < count; i++) gaps[i] = gap(i);
  // The limit - 1 widest stay.
  int kept_wider = limit - 1;
  uint64_t least = UINT64_MAX;
  if (kept_wider > 0) {
    std::nth_element(gaps, gaps + kept_wider - 1, gaps + count - 1, std::greater<uint64_t>());
    least = gaps[kept_wider - 1];
  }
  int used = 0;
  for (int i = 0; i < count; i++) {
    const bool stays_apart =
        i > 0 && kept_wider > 0 &&
        static_cast<uint64_t>(ranges[i].from) - static_cast<uint64_t>(ranges[used - 1].until) >=
            least;
    if (i == 0 || stays_apart) {
      if (stays_apart) kept_wider--;
      ranges[used++] = ranges[i];
    } else {
      ranges[used - 1].until = ranges[i].until;
    }
  }
  pfree(gaps);
  return used;
}

}  // namespace

void NotifyRefreshed(const ContinuousAggregate &aggregate, const TimeRange *ranges, int count) {
  if (count == 0) return;
  const char *schema = get_namespace_name(get_rel_namespace(aggregate.view));
  const char *name = get_rel_name(aggregate.view);
  char *channel = psprintf("tsext_%s.%s", schema, name);
  channel[pg_mbcliplen(channel, static_cast<int>(strlen(channel)), NAMEDATALEN - 1)] = '\0';
  const char *view = quote_qualified_identifier(schema, name);
  auto *joined = static_cast<TimeRange *>(palloc(sizeof(TimeRange) * count));
  std::copy(ranges, ranges + count, joined);
  // No text of a finite time is longer than that of the last by more than a few fractional digits.
  const size_t longest = strlen(Payload(view, {kTimeMinimum, kTimeMinimum}, aggregate.time_type)) +
                         2 * (sizeof("2024-01-01T00:00:00.000000+00:00") - sizeof("-infinity"));
  const int limit = std::max(1, kPayloadBytes / static_cast<int>(longest));
  count = JoinNearest(joined, count, limit);
  for (int i = 0; i < count; i++)
    Async_Notify(channel, Payload(view, joined[i], aggregate.time_type));
}

}  // namespace tsext::pg
