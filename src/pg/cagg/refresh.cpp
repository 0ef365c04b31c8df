// refresh_continuous_aggregate(): first the threshold, then, in a transaction of its own, the
// buckets.

#include "pg/cagg/refresh.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/base/transaction.hpp"
#include "pg/cagg/bucket.hpp"
#include "pg/cagg/compute.hpp"
#include "pg/cagg/dirty.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

// ---------------------------------------------------------------------------------------------
// The first transaction

/// Where the threshold should be for a window, not below `before`, where it is: the end of the
/// newest row's bucket, when the window is open no further than the clock.
int64_t TargetThreshold(const ContinuousAggregate &aggregate, TimeRange window, int64_t before) {
  const bool is_open = window.until == kTimeMaximum;
  // kTimeMaximum: the table has no clock.
  const int64_t limit = is_open ? BucketOfNow(aggregate, kTimeMaximum) : window.until;
  if (limit <= before) return before;
  int64_t newest;
  if (!NewestTime(aggregate, before, kTimeMaximum, GetActiveSnapshot(), &newest)) return before;
  const int64_t last = BucketStart(aggregate, newest);
  int64_t end = BucketEnd(aggregate, last);
  if (end == kTimeMaximum || limit == kTimeMaximum) end = last;
  return std::max(before, std::min(end, limit));
}

/// Whole buckets of the window that the user gave.
TimeRange WholeBuckets(const ContinuousAggregate &aggregate, int64_t from, int64_t until) {
  if (from >= until)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("window_start must be before window_end")));
  const TimeRange window = BucketsInside(aggregate, from, until);
  if (window.from >= window.until)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("the refresh window holds no whole bucket"),
                    errdetail("The window is from %s to %s, buckets are %s wide.",
                              TimeText(from, aggregate.time_type),
                              TimeText(until, aggregate.time_type), aggregate.bucket_width),
                    errhint("Only whole buckets are refreshed: widen the window.")));
  return window;
}

/// Moves the threshold up and logs what it passed over; all of the window when forced.
void MoveThreshold(const ContinuousAggregate &aggregate, TimeRange window, RefreshKind kind) {
  const int64_t before = ReadThreshold(aggregate.materialization, nullptr);
  const int64_t after = TargetThreshold(aggregate, window, before);
  if (after > before) {
    LockOutWriters(aggregate);
    WriteThreshold(aggregate.materialization, after);
    LogRange(aggregate, before, after);
  }
  if (kind == RefreshKind::kForced) LogRange(aggregate, window.from, std::min(window.until, after));
  CommandCounterIncrement();
  StopPoint("refresh_after_threshold");
}

// ---------------------------------------------------------------------------------------------
// The second transaction

/// Everything of the second step but its commit. The caller holds the lock on the view.
int64_t RefreshWindow(const ContinuousAggregate &aggregate, TimeRange window) {
  Relation materialization = table_open(aggregate.materialization, ShareUpdateExclusiveLock);
  // Only now: who held one of these locks has committed.
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  PushActiveSnapshot(snapshot);
  StopPoint("refresh_after_snapshot");
  const AggregateState state = ReadState(aggregate, snapshot);
  int count;
  const TimeRange *ranges = DirtyRanges(aggregate, state, window, &count);
  int64_t rows = 0;
  if (count > 0) {
    rows = ComputeBuckets(aggregate, materialization, state, ranges, count, snapshot);
  } else {
    ereport(DEBUG1, (errmsg_internal("nothing of continuous aggregate \"%s\" was to be refreshed",
                                     get_rel_name(aggregate.view))));
  }
  CleanLog(aggregate, state, window);
  // For refreshed_at.
  WriteThreshold(aggregate.materialization, state.threshold);
  PopActiveSnapshot();
  UnregisterSnapshot(snapshot);
  table_close(materialization, NoLock);
  StopPoint("refresh_before_commit");
  return rows;
}

/// Locks what the aggregate reads, the lowest level first, then the view: the order in which DROP
/// takes its locks.
void LockAggregate(Oid view) {
  Oid below[PG_INT8_MAX];
  int count = 0;
  const ContinuousAggregate *aggregate = AggregateOfView(view);
  while (aggregate != nullptr && count < PG_INT8_MAX) {
    below[count++] = aggregate->source;
    aggregate = AggregateOfView(aggregate->source);
  }
  while (count > 0) LockRelationOid(below[--count], AccessShareLock);
  LockRelationOid(view, ShareUpdateExclusiveLock);
}

}  // namespace

ContinuousAggregate *RequireAggregate(Oid view) {
  ContinuousAggregate *aggregate = AggregateOfView(view);
  if (aggregate != nullptr) return aggregate;
  const char *name = get_rel_name(view);
  if (name == nullptr)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("relation with OID %u does not exist", view)));
  const ContinuousAggregate *below = AggregateOfMaterialization(view);
  ereport(ERROR,
          (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a continuous aggregate", name),
           below == nullptr ? 0 : errhint("Name its view, %s.", NameOf(below->view))));
}

ContinuousAggregate *OwnAggregate(Oid view) {
  ContinuousAggregate *aggregate = RequireAggregate(view);
  if (!TsextOwnsRelation(view, GetUserId()))
    aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(view));
  return aggregate;
}

int64_t RefreshAggregate(Oid view, int64_t from, int64_t until, RefreshKind kind) {
  if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT) elog(ERROR, "could not connect to SPI");
  LockAggregate(view);
  const ContinuousAggregate *aggregate = OwnAggregate(view);
  PushActiveSnapshot(GetTransactionSnapshot());
  const TimeRange window = WholeBuckets(*aggregate, from, until);
  StopPoint("refresh_before_threshold");
  MoveThreshold(*aggregate, window, kind);
  PopActiveSnapshot();
  SPI_commit();
  StopPoint("refresh_between");

  // One snapshot is for everything, so nothing stricter is needed, and it would be taken too early.
  XactIsoLevel = XACT_READ_COMMITTED;
  LockAggregate(view);
  aggregate = AggregateOfView(view);
  // Dropped meanwhile: there is nothing to refresh.
  const int64_t rows = aggregate == nullptr ? 0 : RefreshWindow(*aggregate, window);
  SPI_commit();
  SPI_finish();
  RowsRefreshed(rows);
  return rows;
}

int64_t FillAggregate(Oid view) {
  const ContinuousAggregate *aggregate = AggregateOfView(view);
  if (aggregate == nullptr) elog(ERROR, "relation %u is not a continuous aggregate", view);
  LockRelationOid(view, ShareUpdateExclusiveLock);
  const TimeRange window{kTimeMinimum, kTimeMaximum};
  // Fresh: rows that were committed before the lock on the base was ours.
  PushActiveSnapshot(GetLatestSnapshot());
  MoveThreshold(*aggregate, window, RefreshKind::kChanged);
  PopActiveSnapshot();
  return RefreshWindow(*aggregate, window);
}

}  // namespace tsext::pg

TSEXT_FUNCTION(tsext_refresh_continuous_aggregate) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  const char *command = "refresh_continuous_aggregate()";
  RefuseReadOnly(command);
  if (IsAtomicCall(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                    errmsg("%s cannot run inside a transaction block", command),
                    errdetail("It commits twice: the threshold first, then the buckets."),
                    errhint("CALL it outside of BEGIN and COMMIT, not from a function.")));
  if (PG_ARGISNULL(0))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("continuous_aggregate must not be NULL")));
  const Oid view = PG_GETARG_OID(0);
  const Oid type = OwnAggregate(view)->time_type;
  int64_t bounds[2] = {kTimeMinimum, kTimeMaximum};
  const char *names[2] = {"window_start", "window_end"};
  for (int i = 0; i < 2; i++) {
    if (PG_ARGISNULL(i + 1)) continue;
    bounds[i] = TimeArgument(PG_GETARG_DATUM(i + 1), get_fn_expr_argtype(fcinfo->flinfo, i + 1),
                             type, names[i]);
  }
  const bool force = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
  RefreshAggregate(view, bounds[0], bounds[1],
                   force ? RefreshKind::kForced : RefreshKind::kChanged);
  PG_RETURN_VOID();
}
