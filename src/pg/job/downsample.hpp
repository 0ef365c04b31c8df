#pragma once

// Downsampling in place: rows older than some time are replaced by one row per series and bucket.
// A series is a combination of values of the segment-by columns.
//
// downsample_spec.cpp    what a user asks for, checked against the table, and its query
// downsample_plan.cpp    which time ranges have rows to be replaced, and which are done already
// downsample.cpp         one range: read, remove, insert, all under one snapshot
// downsample_policy.cpp  the SQL functions and the job

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"
}

namespace tsext::pg {

enum class BucketAggregate : uint8_t { kAvg, kMin, kMax, kSum, kFirst, kLast, kCount };

/// What a user asks for, not yet checked against a table.
struct DownsampleSpec {
  Interval bucket;
  List *columns;        // names (char *) …
  List *aggregates;     // … and their BucketAggregates (integers), one for one
  char *weight_column;  // nullptr: none
};

/// Reads `aggregates`, such as {"usage": "avg", "bytes": "sum"}. Errors: 22023 another form or an
/// unknown aggregate, a bucket that is not positive.
DownsampleSpec *MakeDownsampleSpec(const Interval *bucket, Jsonb *aggregates, char *weight_column);
/// 22023 unless every part of the interval is at least zero and one is more.
void RequirePositive(const Interval *interval, const char *name);

/// A spec that suits a table, which stays open and locked as long as this is used.
struct Downsampling {
  Relation relation;
  const TableOptions *options;
  Interval bucket;
  char *query;          // $1 <= time < $2, $3 the bucket; see MakeQuery()
  int column_count;     // of its result that are columns of the table …
  AttrNumber *columns;  // … and which ones; a row count and "nothing to do" follow
  Oid store;            // of the table, InvalidOid: none
};

/// Errors: 42809 no ordinary tsext table, 55000 no time column, no segment-by columns known yet,
/// 42703 no such column, 42804 an aggregate that the column's type has not or whose result does not
/// fit it, 22023 time or segment-by column aggregated, 0A000 integer time, foreign keys, row
/// security, unique indexes that buckets would violate, generated columns, tables of buckets of
/// continuous aggregates.
Downsampling *PrepareDownsampling(Relation relation, const DownsampleSpec &spec);

/// Raises what keeps the query from being planned, such as a segment-by column of a type without
/// equality.
void CheckDownsamplingQuery(const Downsampling &what);

/// The start of the bucket of a time, in time units; 22008 when it is before all times.
int64_t StartOfBucket(const Downsampling &what, int64_t time);
/// The start of the next bucket; `start` is one. Behind the last: the first time that is none.
int64_t NextBucket(const Downsampling &what, int64_t start);

/// A range that was downsampled and the rows it had then.
struct DoneRange {
  int64_t start, until, rows;
  ItemPointerData tid;
};
/// Of one table and bucket, ascending and disjoint; palloc'd.
DoneRange *LoadDoneRanges(const Downsampling &what, int *count);
/// Enters a range in place of all that it meets; joined with `before` where that is still there.
void RecordDoneRange(const Downsampling &what, const DoneRange &range, const DoneRange *before);
/// Forgets everything about a table.
void ForgetDoneRanges(Oid store);

/// A range of whole buckets with rows to be replaced.
struct RangeToDo {
  int64_t from, until;
  int64_t rows;  // about
  bool follows;  // directly on `before`, a small done range that nobody has written to since
  DoneRange before;
};
/// The ranges before `cutoff` that are not done or were written to since: ascending, disjoint,
/// about a chunk each; palloc'd. Reads no values but times, and those only of segments that reach
/// over the border of a done range.
RangeToDo *PlanDownsampling(const Downsampling &what, int64_t cutoff, int *count);

struct RangeResult {
  bool is_changed;  // false: every bucket had one row already
  int64_t rows_before, rows_after;
};
/// Replaces the rows of a range that one new snapshot sees by those of its buckets, in the current
/// READ COMMITTED transaction, which holds ShareUpdateExclusiveLock on the table. Raises 40001 when
/// somebody else has locked or changed one of them.
RangeResult DownsampleRange(const Downsampling &what, const RangeToDo &range);

}  // namespace tsext::pg
