// The steps of a refresh that the end of a source shares with it.

#include "pg/cagg/compute.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/owner_rights.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/cagg/bucket.hpp"
#include "pg/cagg/row_security.hpp"
#include "pg/catalog/commit_gate.hpp"
#include "pg/catalog/integer_now.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

namespace tsext::pg {
namespace {

constexpr int kLockPauseMs = 10;
constexpr int kLockTries = 1000;
constexpr const char *kQueueTimeout = "1s";

// ---------------------------------------------------------------------------------------------
// Locks

/// Those who hold locks on a relation that ExclusiveLock would have to wait for; waiters are not
/// among them.
const VirtualTransactionId *HoldersOf(Oid relation, int *count) {
  LOCKTAG tag;
  SET_LOCKTAG_RELATION(tag, MyDatabaseId, relation);
  return GetLockConflicts(&tag, ExclusiveLock, count);
}

void AppendHolder(StringInfo list, const PGPROC *process) {
  if (list->len > 0) appendStringInfoString(list, ", ");
  if (process != nullptr)
    appendStringInfo(list, "process %d", process->pid);
  else
    appendStringInfoString(list, "a prepared transaction");
}

[[noreturn]] void RaiseLocked(Oid view, const char *holders) {
  ereport(ERROR,
          (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
           errmsg("could not get a lock on continuous aggregate \"%s\"", get_rel_name(view)),
           holders[0] == '\0' ? 0 : errdetail("It is held by %s.", holders),
           errhint("Transactions that wrote to the table hold it while they commit. Try again "
                   "later.")));
}

[[noreturn]] void RaiseHeld(Oid view) {
  int count;
  const VirtualTransactionId *holders = HoldersOf(view, &count);
  StringInfoData list;
  initStringInfo(&list);
  for (int i = 0; i < count; i++)
    AppendHolder(&list, VirtualTransactionIdIsRecoveredPreparedXact(holders[i])
                            ? nullptr
                            : BackendIdGetProc(holders[i].backendId));
  RaiseLocked(view, list.data);
}

void Pause() {
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLockPauseMs,
                  PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

/// Shuts the gate, and waits for writers that have passed. Others take locks meanwhile, and wait
/// for nobody.
void EmptyGate(const ContinuousAggregate &aggregate) {
  ShutGate();
  BackendId writer;
  for (int i = 0; (writer = FirstInGate(aggregate.base)) != InvalidBackendId; i++) {
    if (i == kLockTries) {
      const PGPROC *process = BackendIdGetProc(writer);
      StringInfoData list;
      initStringInfo(&list);
      if (process != nullptr) AppendHolder(&list, process);
      RaiseLocked(aggregate.view, list.data);
    }
    Pause();
  }
}

/// Takes ExclusiveLock when nobody holds a lock in its way but somebody waits for the one that this
/// transaction has, another refresh for instance: that makes a conditional request fail for ever,
/// while one that waits goes in front of all who wait for this transaction, and is granted at once.
/// Should a writer be faster, it is waited for, but not for long.
void LockBeforeWaiters(Oid view) {
  const int settings = NewGUCNestLevel();
  (void)set_config_option("lock_timeout", kQueueTimeout, PGC_USERSET, PGC_S_SESSION,
                          GUC_ACTION_SAVE, true, 0, false);
  LockRelationOid(view, ExclusiveLock);
  AtEOXact_GUC(false, settings);
}

// ---------------------------------------------------------------------------------------------
// Running statements as the owner

/// Rights and settings under which the user's definition runs, as for REFRESH MATERIALIZED VIEW.
OwnerRights BecomeOwner(Relation relation) {
  const OwnerRights caller = TakeOwnerRights(relation);
  (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
                          GUC_ACTION_SAVE, true, 0, false);
  // Compiling costs more than it saves: the work is done in vectors.
  (void)set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                          false);
  return caller;
}

SPIPlanPtr Prepare(const char *sql, int count, Oid *types) {
  SPIPlanPtr plan = SPI_prepare(sql, count, types);
  if (plan == nullptr) elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
  return plan;
}

void AddContext(void *range) {
  errcontext("%s", *static_cast<char **>(range));
}

bool HasGoneBetween(const AggregateState &state, int64_t from, int64_t until) {
  for (int i = 0; i < state.gone_count; i++) {
    if (state.gone[i].start < until && state.gone[i].until > from) return true;
  }
  return false;
}

/// Ranges that lie so close that one statement for both costs less than two: the gap between them
/// is no wider than what is computed on either side, and nothing in it is gone. At most twice the
/// buckets are computed.
int TakeTogether(const AggregateState &state, const TimeRange *ranges, int count, TimeRange *out) {
  // Unsigned: widths of open ranges overflow.
  const auto width = [](int64_t from, int64_t until) {
    return static_cast<uint64_t>(until) - static_cast<uint64_t>(from);
  };
  int used = 0;
  uint64_t dirty = 0;
  for (int i = 0; i < count; i++) {
    const uint64_t own = width(ranges[i].from, ranges[i].until);
    if (used > 0 && width(out[used - 1].until, ranges[i].from) <= std::min(dirty, own) &&
        !HasGoneBetween(state, out[used - 1].until, ranges[i].from)) {
      out[used - 1].until = ranges[i].until;
      dirty += std::min(own, UINT64_MAX - dirty);
    } else {
      out[used++] = ranges[i];
      dirty = own;
    }
  }
  return used;
}

/// One statement for all ranges: hot rows, of which nothing is known, are read once.
int64_t InsertBuckets(const ContinuousAggregate &aggregate, Relation materialization,
                      const TimeRange *ranges, int count, Snapshot snapshot) {
  if (count == 0) return 0;
  char *what = psprintf("refresh of continuous aggregate %s, buckets from %s to %s",
                        NameOf(aggregate.view), TimeText(ranges[0].from, aggregate.time_type),
                        TimeText(ranges[count - 1].until, aggregate.time_type));
  if (count > 1) what = psprintf("%s in %d ranges", what, count);
  ErrorContextCallback context{error_context_stack, AddContext, static_cast<void *>(&what)};
  const OwnerRights caller = BecomeOwner(materialization);
  const char *bucket = quote_identifier(NameStr(aggregate.bucket_column));
  const char *insert = psprintf("INSERT INTO %s SELECT * FROM %s WHERE",
                                NameOf(aggregate.materialization), NameOf(aggregate.direct));
  SPI_connect();
  error_context_stack = &context;
  CHECK_FOR_INTERRUPTS();
  pgstat_report_activity(STATE_RUNNING, what);
  SPIPlanPtr plan;
  Datum values[2];
  if (count == 1) {
    Oid types[2] = {aggregate.time_type, aggregate.time_type};
    plan = Prepare(psprintf("%s %s >= $1 AND %s < $2", insert, bucket, bucket), 2, types);
    values[0] = BoundDatum(ranges[0].from, aggregate.time_type);
    values[1] = BoundDatum(ranges[0].until, aggregate.time_type);
  } else {
    Oid type = MultirangeType(aggregate.time_type);
    plan = Prepare(psprintf("%s %s%s OPERATOR(pg_catalog.<@) $1", insert, bucket,
                            RangeCast(aggregate.time_type)),
                   1, &type);
    values[0] = MakeMultirange(type, ranges, count);
  }
  const int result = SPI_execute_snapshot(plan, values, nullptr, snapshot, InvalidSnapshot,
                                          /*read_only=*/false, /*fire_triggers=*/true, 0);
  if (result != SPI_OK_INSERT)
    elog(ERROR, "could not insert buckets: %s", SPI_result_code_string(result));
  const auto rows = static_cast<int64_t>(SPI_processed);
  error_context_stack = context.previous;
  SPI_finish();
  GiveBackRights(caller);
  pgstat_report_activity(STATE_RUNNING, debug_query_string);
  return rows;
}

// ---------------------------------------------------------------------------------------------
// The log

/// The gone range that holds a whole range, or nullptr.
const GoneRange *GoneAround(const AggregateState &state, TimeRange range) {
  for (int i = 0; i < state.gone_count; i++) {
    if (state.gone[i].start <= range.from && range.until <= state.gone[i].until)
      return &state.gone[i];
  }
  return nullptr;
}

/// Logs parts of entries anew, those that meet as one.
void LogParts(const ContinuousAggregate &aggregate, LogEntry *parts, int count) {
  std::sort(parts, parts + count,
            [](const LogEntry &a, const LogEntry &b) { return a.first < b.first; });
  for (int i = 0; i < count;) {
    LogEntry joined = parts[i++];
    while (i < count && (joined.last == kTimeMaximum || parts[i].first <= joined.last + 1)) {
      joined.last = std::max(joined.last, parts[i].last);
      joined.rows += parts[i++].rows;
    }
    AppendLog(aggregate.materialization, joined.first, joined.last, joined.rows, nullptr);
  }
}

}  // namespace

char *NameOf(Oid relation) {
  return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
                                    get_rel_name(relation));
}

void LogRange(const ContinuousAggregate &aggregate, int64_t from, int64_t until) {
  if (from < until) AppendLog(aggregate.materialization, from, until - 1, 0, nullptr);
}

void LockOutWriters(const ContinuousAggregate &aggregate) {
  EmptyGate(aggregate);
  for (int i = 0; !ConditionalLockRelationOid(aggregate.view, ExclusiveLock); i++) {
    int holders;
    (void)HoldersOf(aggregate.view, &holders);
    if (holders == 0) {
      LockBeforeWaiters(aggregate.view);
      return;
    }
    if (i == kLockTries) RaiseHeld(aggregate.view);
    Pause();
  }
}

int64_t BucketOfNow(const ContinuousAggregate &aggregate, int64_t fallback) {
  const TimestampTz now = GetCurrentTransactionStartTimestamp();
  switch (aggregate.time_type) {
    case TIMESTAMPTZOID:
      return BucketStart(aggregate, now);
    case TIMESTAMPOID:
      return BucketStart(aggregate, DatumGetTimestamp(DirectFunctionCall1(
                                        timestamptz_timestamp, TimestampTzGetDatum(now))));
    case DATEOID:
      return BucketStart(
          aggregate,
          TimeOfDatum(DirectFunctionCall1(timestamptz_date, TimestampTzGetDatum(now)), DATEOID));
    default:
      break;
  }
  if (!OidIsValid(IntegerNowFunction(aggregate.base))) return fallback;
  Relation base = table_open(aggregate.base, AccessShareLock);
  const int64_t start = BucketStart(aggregate, IntegerNow(base));
  table_close(base, NoLock);
  return start;
}

bool NewestTime(const ContinuousAggregate &aggregate, int64_t from, int64_t until,
                Snapshot snapshot, int64_t *time) {
  int64_t least;
  int64_t greatest;
  TimeTypeRange(aggregate.time_type, &least, &greatest);
  least = std::max(least, from);
  // The greatest bigint stands for infinity.
  greatest = std::min(greatest, until - 1);
  if (least > greatest) return false;
  // As the base's owner: whoever owns an aggregate over an aggregate need not see the table below.
  Relation base = table_open(aggregate.base, AccessShareLock);
  const AttrNumber attribute = GetTableOptions(base)->time_attribute;
  if (attribute == InvalidAttrNumber)
    elog(ERROR, "table \"%s\" has no time column", RelationGetRelationName(base));
  const char *column =
      quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(base), attribute - 1)->attname));
  Oid types[2] = {aggregate.time_type, aggregate.time_type};
  Datum bounds[2] = {DatumOfTime(least, aggregate.time_type),
                     DatumOfTime(greatest, aggregate.time_type)};
  const OwnerRights caller = BecomeOwner(base);
  // All of its rows, also where row security is forced upon the owner.
  SetUserIdAndSecContext(base->rd_rel->relowner,
                         caller.context | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
  SPI_connect();
  SPIPlanPtr plan = Prepare(psprintf("SELECT max(%s) FROM ONLY %s WHERE %s >= $1 AND %s <= $2",
                                     column, NameOf(aggregate.base), column, column),
                            2, types);
  if (SPI_execute_snapshot(plan, bounds, nullptr, snapshot, InvalidSnapshot, /*read_only=*/true,
                           false, 1) != SPI_OK_SELECT ||
      SPI_processed != 1)
    elog(ERROR, "could not read the newest time of \"%s\"", RelationGetRelationName(base));
  bool is_null;
  const Datum newest = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
  if (!is_null) *time = TimeOfDatum(newest, aggregate.time_type);
  SPI_finish();
  GiveBackRights(caller);
  table_close(base, NoLock);
  return !is_null;
}

int64_t ComputeBuckets(const ContinuousAggregate &aggregate, Relation materialization,
                       const AggregateState &state, const TimeRange *ranges, int count,
                       Snapshot snapshot) {
  RequireAllRows(aggregate, get_rel_name(aggregate.view));
  auto *wide = static_cast<TimeRange *>(palloc(sizeof(TimeRange) * (count + 1)));
  const int wide_count = TakeTogether(state, ranges, count, wide);
  (void)RemoveTimes(materialization, wide, wide_count, snapshot);
  StopPoint("refresh_after_remove");
  const int64_t rows = InsertBuckets(aggregate, materialization, wide, wide_count, snapshot);
  StopPoint("refresh_after_insert");
  CommandCounterIncrement();
  NotifyRefreshed(aggregate, ranges, count);
  return rows;
}

void CleanLog(const ContinuousAggregate &aggregate, const AggregateState &state, TimeRange window) {
  auto *parts = static_cast<LogEntry *>(palloc(sizeof(LogEntry) * 2 * (state.log_count + 1)));
  int count = 0;
  for (int i = 0; i < state.log_count; i++) {
    CHECK_FOR_INTERRUPTS();
    LogEntry &entry = state.log[i];
    // Touched by this transaction itself, which writes it before its commit.
    if (!ItemPointerIsValid(&entry.tid)) continue;
    const TimeRange around = BucketsAround(aggregate, entry.first, entry.last);
    if (const GoneRange *gone = GoneAround(state, around); gone != nullptr) {
      DeleteLogEntry(&entry.tid);
      if (entry.rows > 0) AddLateRows(aggregate.materialization, gone->start, entry.rows);
      continue;
    }
    const bool is_above = around.from >= state.threshold;
    if (!is_above && (around.until <= window.from || around.from >= window.until)) continue;
    DeleteLogEntry(&entry.tid);
    if (is_above) continue;
    int64_t rows = entry.rows;
    if (around.from < window.from) {
      const int64_t last = window.from - 1;
      parts[count++] = {std::min(entry.first, last), last, rows, {}};
      rows = 0;
    }
    if (around.until > window.until && window.until < state.threshold) {
      // More by the margin, so that none of the buckets just computed is around the part.
      const int64_t first = window.until + aggregate.margin;
      parts[count++] = {first, std::max(entry.last, first), rows, {}};
    }
  }
  LogParts(aggregate, parts, count);
  CommandCounterIncrement();
}

}  // namespace tsext::pg
