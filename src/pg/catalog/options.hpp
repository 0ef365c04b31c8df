#pragma once

// A table's options: where its time is, how wide its chunks are, how its segments are sorted. They
// are kept as a security label of provider "tsext" on the table, so that pg_dump writes them with
// the definition; attributes by name.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "access/attnum.h"
}

namespace tsext::pg {

inline constexpr int kMaxSortColumns = 16;

/// Time values are int64 in the unit of the column's type everywhere in tsext: microseconds since
/// 2000-01-01 for timestamptz and timestamp, days since 2000-01-01 for date, the number itself for
/// integers.
struct TableOptions {
  AttrNumber time_attribute;  // InvalidAttrNumber: no time column, the whole table is one chunk
  Oid time_type;
  bool interval_is_auto;
  int64_t chunk_interval;    // > 0, in time units; for auto: one day (the smallest width)
  bool segment_by_is_given;  // false: chosen from a sample at the first compaction
  int segment_by_count;
  AttrNumber segment_by[kMaxSortColumns];
  int order_by_count;  // sort key after segment_by; the time column when empty
  AttrNumber order_by[kMaxSortColumns];
  bool decoded_off;  // option decoded = off: compact although the table is published
};

/// Options in force, from the label or by default; in the current memory context. Never NULL for a
/// tsext table.
TableOptions *GetTableOptions(Relation relation);

/// Stores the automatically chosen segment-by columns, when none were given (the compactor's
/// choice; transactional).
void RememberSegmentBy(Relation relation, int count, const AttrNumber *attributes);

/// True for a relation that uses our access method.
bool IsTsextRelation(Relation relation);
bool IsTsextTable(Oid relation_id);

/// One day in the units of the type: 86,400,000,000, 1 for date, for integers the documented
/// default.
int64_t DayOfType(Oid time_type);

/// Converts a user's "any" boundary argument (older_than, newer_than: interval = relative to now(),
/// or a time, or an integer) into time units of `time_type`. Errors with 22023 on a wrong type.
int64_t TimeArgument(Datum value, Oid value_type, Oid time_type, const char *argument_name);

/// The text of a time value for people, as the type prints it ('2024-01-15 00:00:00+00';
/// -infinity/infinity for open ends).
char *TimeText(int64_t time, Oid time_type);

/// Why this table's rows are never moved to segments: NULL when they may be, else a short phrase
/// for tsext.tables.stays_hot_because ("it has a unique index \"t_pkey\"" …). See design: unique
/// index or exclusion constraint, referenced by a foreign key, decoded, subscribed, unlogged,
/// temporary.
const char *StaysHotBecause(Relation relation);

}  // namespace tsext::pg
