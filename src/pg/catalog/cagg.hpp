#pragma once

// The catalog of continuous aggregates (cagg.sql): what writers, refreshes and readers share. Who
// does what when, and why that is exact, is in src/pg/cagg/README.md. Nothing checks privileges
// here.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "storage/itemptr.h"
#include "utils/snapshot.h"
}

namespace tsext::pg {

/// One continuous aggregate, as tsext.cagg has it.
struct ContinuousAggregate {
  Oid materialization, view, direct, base, source;
  int16_t level;
  Oid time_type;
  NameData bucket_column;
  bool is_fixed;
  int64_t reach, cell_width, cell_origin, margin;
  bool materialized_only;
  char *bucket_call;      // nullptr in lists cached for writers
  char *bucket_width;     // the same
  char *bucket_timezone;  // the same; nullptr: none
};

/// Aggregates that follow the writes of a table, their level ascending; palloc'd. nullptr: latest.
ContinuousAggregate *AggregatesOfBase(Oid base, Snapshot snapshot, int *count);
/// The aggregate with this view (or table of buckets), palloc'd; nullptr when it is none.
ContinuousAggregate *AggregateOfView(Oid view);
ContinuousAggregate *AggregateOfMaterialization(Oid materialization);
ContinuousAggregate *AggregateOfDirect(Oid direct);

/// The aggregates of a table from this session's cache, for writers: count 0 for nearly every
/// table, and then it costs a look-up. Valid until the next lock is taken. Rows of tsext.cagg are
/// made under ShareRowExclusiveLock on the base, which waits for its writers, and with a relcache
/// invalidation of it. They are deleted with the view, under its lock alone (a writer that waits
/// for the view before its commit holds the base): the writer then finds no threshold.
const ContinuousAggregate *CachedAggregatesOfBase(Oid base, int *count);
/// While this stays the same, so does what CachedAggregatesOfBase says, and so do the columns of
/// its tables.
uint64_t AggregatesVersion();

/// Whether a table has any.
bool HasAggregates(Oid base);
/// Raises 55000 when a table whose time column is about to become `column` (InvalidAttrNumber:
/// none) has any, or when it holds the buckets of one and the column is not theirs.
void RefuseOtherTime(Oid table, AttrNumber column);
/// Raises 55000 when a table that was just allowed to have rows without a time has any.
void RefuseNoTime(Oid base);

/// The threshold as `snapshot` sees it (nullptr: latest); kTimeMinimum: nothing is materialised,
/// and when the aggregate is gone.
int64_t ReadThreshold(Oid materialization, Snapshot snapshot);
/// Sets the threshold, and refreshed_at, in this transaction, which then cannot be prepared. Who
/// moves it has emptied the gate (commit_gate.hpp) and holds ExclusiveLock on the view;
/// ShareUpdateExclusiveLock is enough when it stays where it is. Advances the command counter, as
/// do all functions below that write, but for those of the log.
void WriteThreshold(Oid materialization, int64_t threshold);
/// The threshold for writers that hold RowShareLock on the view: from this session's cache when
/// nobody has moved any since, which a counter in shared memory tells; else read anew.
int64_t CachedThreshold(Oid materialization);

struct LogEntry {
  int64_t first, last, rows;  // last is inclusive
  ItemPointerData tid;        // invalid: touched by this transaction and not written yet
};
/// Appends to an aggregate's log; visible to the next command. tid: where to, or nullptr.
void AppendLog(Oid materialization, int64_t first, int64_t last, int64_t rows, ItemPointer tid);
/// The log as `snapshot` sees it (nullptr: latest), palloc'd, in no order. What this transaction
/// itself has touched before `snapshot` is in it, although it is written only before the commit.
/// Hence functions that call it are PARALLEL RESTRICTED: in a parallel worker it raises an error.
LogEntry *ReadLog(Oid materialization, Snapshot snapshot, int *count);
/// Deletes an entry that this transaction's snapshot sees; raises 40001 when somebody else did.
/// Entries that are not written yet stay.
void DeleteLogEntry(ItemPointer tid);

/// Gives ReadLog what this transaction has touched by commands before `before`: palloc'd entries
/// without tid. Set by pg/table/touched.cpp.
using UnloggedFunction = LogEntry *(*)(Oid materialization, CommandId before, int *count);
void SetUnloggedFunction(UnloggedFunction function);

struct GoneRange {
  int64_t start, until;
  int64_t late_rows;
};
/// Ranges whose source is gone, ascending and disjoint; palloc'd.
GoneRange *ReadGone(Oid materialization, Snapshot snapshot, int *count);
/// Adds a range, joined with those it meets.
void AddGone(Oid materialization, int64_t start, int64_t until);
void AddLateRows(Oid materialization, int64_t start, int64_t rows);

/// Tells how many rows a refresh has written, for tsext.job_runs.
using RowsRefreshedFunction = void (*)(int64_t rows);
void SetRowsRefreshedFunction(RowsRefreshedFunction function);
void RowsRefreshed(int64_t rows);

/// Deletes all rows of an aggregate in these tables, and tells sessions that write to its base.
void DeleteAggregate(const ContinuousAggregate &aggregate);
/// Inserts the row of tsext.cagg and its threshold (kTimeMinimum), and tells the same sessions.
void InsertAggregate(const ContinuousAggregate &aggregate);
/// Writes a changed definition: materialized_only, bucket_column. Under AccessExclusiveLock on the
/// view.
void UpdateAggregate(const ContinuousAggregate &aggregate);

/// Called once from _PG_init.
void InitAggregateCatalog();

}  // namespace tsext::pg
