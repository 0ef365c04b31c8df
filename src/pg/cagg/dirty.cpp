// tsext.watermark() and tsext.dirty(): how far a continuous aggregate is and what of it must be
// computed from its source, as the calling statement's snapshot sees it.

#include "pg/cagg/dirty.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/cagg/bucket.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"
}

namespace tsext::pg {
namespace {

/// Appends `range` less the gone ranges to `out`; at most gone_count + 1 pieces.
int AppendWithoutGone(TimeRange range, const GoneRange *gone, int gone_count, TimeRange *out) {
  int count = 0;
  for (int i = 0; i < gone_count && range.from < range.until; i++) {
    if (gone[i].until <= range.from) continue;
    if (gone[i].start >= range.until) break;
    if (gone[i].start > range.from) out[count++] = {range.from, gone[i].start};
    range.from = gone[i].until;
  }
  if (range.from < range.until) out[count++] = range;
  return count;
}

/// The log's entries as joined ranges of whole buckets below `until`; palloc'd.
TimeRange *RoundedLog(const ContinuousAggregate &aggregate, const AggregateState &state,
                      int64_t until, int *count) {
  auto *sorted = static_cast<LogEntry *>(palloc(sizeof(LogEntry) * (state.log_count + 1)));
  std::copy(state.log, state.log + state.log_count, sorted);
  std::sort(sorted, sorted + state.log_count,
            [](const LogEntry &a, const LogEntry &b) { return a.first < b.first; });
  auto *ranges = static_cast<TimeRange *>(palloc(sizeof(TimeRange) * (state.log_count + 1)));
  *count = 0;
  for (int i = 0; i < state.log_count; i++) {
    // Nothing of an entry that begins above is below, but for the margin.
    if (sorted[i].first >= until && sorted[i].first - until >= aggregate.margin) break;
    TimeRange *last = *count > 0 ? &ranges[*count - 1] : nullptr;
    if (last != nullptr && sorted[i].last < last->until) continue;
    TimeRange range = BucketsAround(aggregate, sorted[i].first, sorted[i].last);
    range.until = std::min(range.until, until);
    if (range.from >= range.until) continue;
    if (last != nullptr && range.from <= last->until)
      last->until = std::max(last->until, range.until);
    else
      ranges[(*count)++] = range;
  }
  pfree(sorted);
  return ranges;
}

void CheckElementType(Oid type) {
  if (IsTimeType(type)) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("type %s is not the type of a time column", format_type_be(type))));
}

}  // namespace

Oid MultirangeType(Oid time_type) {
  switch (time_type) {
    case TIMESTAMPTZOID:
      return TSTZMULTIRANGEOID;
    case TIMESTAMPOID:
      return TSMULTIRANGEOID;
    case DATEOID:
      return DATEMULTIRANGEOID;
    case INT8OID:
      return INT8MULTIRANGEOID;
    default:
      return INT4MULTIRANGEOID;
  }
}

const char *RangeCast(Oid time_type) {
  return time_type == INT2OID ? "::pg_catalog.int4" : "";
}

Datum MakeMultirange(Oid type, const TimeRange *ranges, int count) {
  TypeCacheEntry *multirange = lookup_type_cache(type, TYPECACHE_MULTIRANGE_INFO);
  TypeCacheEntry *range_type = multirange->rngtype;
  if (range_type == nullptr) elog(ERROR, "type %u is not a multirange type", type);
  const Oid element = range_type->rngelemtype->type_id;
  CheckElementType(element);
  auto **values = static_cast<RangeType **>(palloc(sizeof(RangeType *) * count));
  for (int i = 0; i < count; i++) {
    RangeBound lower{BoundDatum(ranges[i].from, element), false, true, true};
    RangeBound upper{BoundDatum(ranges[i].until, element), false, false, false};
    values[i] = make_range(range_type, &lower, &upper, false);
  }
  return MultirangeTypePGetDatum(make_multirange(type, range_type, count, values));
}

AggregateState ReadState(const ContinuousAggregate &aggregate, Snapshot snapshot) {
  AggregateState state{};
  state.threshold = ReadThreshold(aggregate.materialization, snapshot);
  state.log = ReadLog(aggregate.materialization, snapshot, &state.log_count);
  state.gone = ReadGone(aggregate.materialization, snapshot, &state.gone_count);
  return state;
}

int JoinRanges(TimeRange *ranges, int count) {
  std::sort(ranges, ranges + count,
            [](const TimeRange &a, const TimeRange &b) { return a.from < b.from; });
  int used = 0;
  for (int i = 0; i < count; i++) {
    if (used > 0 && ranges[i].from <= ranges[used - 1].until)
      ranges[used - 1].until = std::max(ranges[used - 1].until, ranges[i].until);
    else
      ranges[used++] = ranges[i];
  }
  return used;
}

TimeRange *DirtyRanges(const ContinuousAggregate &aggregate, const AggregateState &state,
                       TimeRange window, int *count) {
  int rounded_count;
  const TimeRange *rounded =
      RoundedLog(aggregate, state, std::min(window.until, state.threshold), &rounded_count);
  // Each gone range splits at most one range.
  auto *ranges =
      static_cast<TimeRange *>(palloc(sizeof(TimeRange) * (rounded_count + state.gone_count + 1)));
  *count = 0;
  int passed = 0;
  for (int i = 0; i < rounded_count; i++) {
    const TimeRange range{std::max(rounded[i].from, window.from), rounded[i].until};
    if (range.from >= range.until) continue;
    while (passed < state.gone_count && state.gone[passed].until <= range.from) passed++;
    *count +=
        AppendWithoutGone(range, state.gone + passed, state.gone_count - passed, ranges + *count);
  }
  return ranges;
}

}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_watermark) {
  if (PG_ARGISNULL(0)) PG_RETURN_NULL();
  const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 1);
  CheckElementType(type);
  PG_RETURN_DATUM(BoundDatum(ReadThreshold(PG_GETARG_OID(0), GetActiveSnapshot()), type));
}

TSEXT_FUNCTION(tsext_dirty) {
  if (PG_ARGISNULL(0)) PG_RETURN_NULL();
  const Snapshot snapshot = GetActiveSnapshot();
  // Nearly always there is nothing, and then this is all.
  AggregateState state{};
  state.log = ReadLog(PG_GETARG_OID(0), snapshot, &state.log_count);
  if (state.log_count == 0) PG_RETURN_NULL();
  const ContinuousAggregate *aggregate = AggregateOfMaterialization(PG_GETARG_OID(0));
  if (aggregate == nullptr) PG_RETURN_NULL();
  const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 1);
  const Oid wanted = tsext::pg::MultirangeType(aggregate->time_type);
  if (type != wanted)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("the dirty buckets of table \"%s\" are of type %s, not %s",
                           get_rel_name(aggregate->materialization), format_type_be(wanted),
                           format_type_be(type))));
  state.threshold = ReadThreshold(aggregate->materialization, snapshot);
  state.gone = ReadGone(aggregate->materialization, snapshot, &state.gone_count);
  int count;
  const TimeRange *ranges =
      DirtyRanges(*aggregate, state, TimeRange{kTimeMinimum, kTimeMaximum}, &count);
  if (count == 0) PG_RETURN_NULL();
  PG_RETURN_DATUM(MakeMultirange(type, ranges, count));
}
