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
  bool time_is_default;      // the time column was found by its type, not named
  bool segment_by_is_given;  // false: to be chosen from a sample and remembered, RememberSegmentBy
  bool segment_by_is_automatic;  // given, but by RememberSegmentBy
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
/// choice; transactional), and pins the time column with them. Count 0 is a choice too. Never
/// waits: when another transaction is about to store its choice, this one is used but not stored.
/// Advances the command counter.
void RememberSegmentBy(Relation relation, int count, const AttrNumber *attributes);

/// Called once from _PG_init: the label provider, the object access hook that keeps labels true to
/// renamed and dropped columns, and the ProcessUtility hook for WITH (tsext.…) and SET (tsext.…).
void InitOptions();

/// OID of the access method; InvalidOid when the database does not have the extension.
Oid TsextAccessMethod();
/// True for a relation that uses our access method.
bool IsTsextRelation(Relation relation);
bool IsTsextTable(Oid relation_id);

/// One day in the units of the type: 86,400,000,000 for timestamptz and timestamp, 1 for date. The
/// unit of an integer is unknown: bigint is taken for microseconds (86,400,000,000), integer for
/// seconds (86,400), smallint gets 10,000; too wide a chunk costs less than too narrow a one. 1
/// when there is no time column (InvalidOid).
int64_t DayOfType(Oid time_type);

/// True for the types a time column may have: timestamptz, timestamp, date, bigint, integer,
/// smallint. They are stored as integers of the same order.
bool IsTimeType(Oid type);
bool IsIntegerTimeType(Oid type);

/// A value of a time column (not NULL, of base type `time_type`) in time units, and back. ±infinity
/// of the time types become kTimeMinimum and kTimeMaximum.
int64_t TimeOfDatum(Datum value, Oid time_type);
Datum DatumOfTime(int64_t time, Oid time_type);
/// The finite range of a time type in time units, both inclusive.
void TimeTypeRange(Oid time_type, int64_t *minimum, int64_t *maximum);

/// Converts a user's "any" boundary argument (older_than, newer_than: interval = relative to now(),
/// or a time, or an integer; an unknown literal is a time when it reads as one, else an interval)
/// into time units of `time_type`. Errors with 22023 on a wrong type, also when there is no time
/// column (InvalidOid).
int64_t TimeArgument(Datum value, Oid value_type, Oid time_type, const char *argument_name);

/// The text of a time value for people, as the type prints it ('2024-01-15 00:00:00+00';
/// -infinity/infinity for open ends).
char *TimeText(int64_t time, Oid time_type);
/// The inverse of TimeText; errors like the type's input function.
int64_t TimeOfText(const char *text, Oid time_type);

/// Why this table's rows are never moved to segments: NULL when they may be, else a short phrase
/// for tsext.tables.stays_hot_because ("it has a unique index \"t_pkey\"" …). See design: unique
/// index or exclusion constraint, referenced by a foreign key, decoded, subscribed, unlogged,
/// temporary.
const char *StaysHotBecause(Relation relation);

}  // namespace tsext::pg
