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
  const auto gap_before = [&](int i) {
    return static_cast<uint64_t>(ranges[i].from) - static_cast<uint64_t>(ranges[i - 1].until);
  };
  // The limit - 1 widest gaps stay; of those as wide as the narrowest of them, the first ones.
  auto *gaps = static_cast<uint64_t *>(palloc(sizeof(uint64_t) * count));
  for (int i = 1; i < count; i++) gaps[i - 1] = gap_before(i);
  std::sort(gaps, gaps + count - 1, std::greater<uint64_t>());
  const int kept = limit - 1;
  const uint64_t least = kept > 0 ? gaps[kept - 1] : UINT64_MAX;
  auto equal_left = kept - (std::find(gaps, gaps + kept, least) - gaps);
  int used = 1;
  uint64_t gap = gap_before(1);
  for (int i = 1; i < count; i++) {
    const bool stays_apart = kept > 0 && (gap > least || (gap == least && equal_left-- > 0));
    // Before the ranges it lies between are overwritten.
    if (i + 1 < count) gap = gap_before(i + 1);
    if (stays_apart)
      ranges[used++] = ranges[i];
    else
      ranges[used - 1].until = ranges[i].until;
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
  // Of integers the least is the longest; of other types times of today are longer than infinity.
  const size_t longest = strlen(Payload(view, {kTimeMinimum, kTimeMinimum}, aggregate.time_type)) +
                         2 * (sizeof("2024-01-01T00:00:00.000000+00:00") - sizeof("-infinity"));
  const int limit = std::max(1, kPayloadBytes / static_cast<int>(longest));
  count = JoinNearest(joined, count, limit);
  for (int i = 0; i < count; i++)
    Async_Notify(channel, Payload(view, joined[i], aggregate.time_type));
}

}  // namespace tsext::pg
