// The built-in job 1, compaction: looks at every tsext table of the database, moves hot rows that
// have reached a threshold, merges, rewrites old chunks with the COLD codecs, vacuums after itself.
//
// It has a worker of its own, which stays: since when a table has hot rows is known to its memory
// only. When the worker is lost, these ages count from the next worker's first look, so rows stay
// hot for at most tsext.compact_age longer.

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/base/oid_table.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/job/job.hpp"
#include "pg/job/job_run.hpp"
#include "pg/job/job_worker.hpp"
#include "pg/job/launcher.hpp"
#include "pg/table/compact.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/vacuum.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// A table whose compaction failed is left alone for so long: what failed once is likely to fail
// again (a damaged segment, a full disk), at the price of all the work up to there.
constexpr int64 kRetryUs = 60 * USECS_PER_SEC;
// Rounds that did nothing leave no row in tsext.job_run, and are told to tsext.job_state this
// often.
constexpr int kQuietMs = 10 * 60 * 1000;
// The worker stays so much longer than the pause between two rounds.
constexpr int kLingerMs = 60 * 1000;

/// What the worker remembers of a table between rounds, in times of the monotonic clock.
struct TableState {
  Oid relation;        // hash key
  int64 hot_since_us;  // first seen with hot rows after the last full compaction; 0: none
  int64 next_look_us;  // the directory is planned again (merges, COLD) not before this
  int64 retry_at_us;   // after an error: not before this
};

struct Worker {
  MemoryContext memory;  // of one round
  HTAB *tables;
  List *relations;  // oids of this round
  // What this round is recorded with.
  bool may_run, is_locked, did_something;
  TimestampTz started;
  int64 rows_moved;
  ErrorData *error;  // the first
};

/// Runs `body` in a transaction; an error is logged and kept for the record.
bool RunStep(Worker *worker, void (*body)(void *state), void *state) {
  ErrorData *error = TryTransaction(body, state);
  if (error == nullptr) return true;
  if (worker->error == nullptr) worker->error = error;
  ereport(LOG, (errcode(error->sqlerrcode), errmsg("compaction failed: %s", error->message),
                error->detail != nullptr ? errdetail_internal("%s", error->detail) : 0,
                error->hint != nullptr ? errhint("%s", error->hint) : 0));
  return false;
}

void ListTables(void *state) {
  auto *worker = static_cast<Worker *>(state);
  worker->relations = NIL;
  const Oid access_method = get_table_am_oid("tsext", true);
  if (!OidIsValid(access_method)) return;
  Relation catalog = table_open(RelationRelationId, AccessShareLock);
  TableScanDesc scan = table_beginscan_catalog(catalog, 0, nullptr);
  while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
    auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    if (form->relam != access_method || form->relpersistence != RELPERSISTENCE_PERMANENT) continue;
    if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_MATVIEW) continue;
    MemoryContext caller = MemoryContextSwitchTo(worker->memory);
    worker->relations = lappend_oid(worker->relations, form->oid);
    MemoryContextSwitchTo(caller);
  }
  table_endscan(scan);
  table_close(catalog, AccessShareLock);
}

/// One transaction of work on one table.
struct TableRun {
  Oid relation;
  TableState *state;
  CompactResult result;
  bool vacuum_table, vacuum_directory;
};

void CompactOneTable(void *argument) {
  auto *run = static_cast<TableRun *>(argument);
  run->result = CompactResult();
  // Never in anybody's way: DDL, vacuum and other compactions come first.
  if (!ConditionalLockRelationOid(run->relation, ShareUpdateExclusiveLock)) return;
  Relation relation = try_relation_open(run->relation, NoLock);
  if (relation == nullptr) return;
  if (IsTsextRelation(relation) && StaysHotBecause(relation) == nullptr) {
    const int64 now_us = MonotonicMicroseconds();
    const int64 age_us = compact_age_s * USECS_PER_SEC;
    const int64_t heap_kb =
        static_cast<int64_t>(RelationGetNumberOfBlocks(relation)) * (BLCKSZ / 1024);
    if (heap_kb == 0) {
      run->state->hot_since_us = 0;
    } else if (run->state->hot_since_us == 0) {
      run->state->hot_since_us = now_us;
    }
    const bool aged = run->state->hot_since_us != 0 && now_us - run->state->hot_since_us >= age_us;
    const bool large = heap_kb > compact_bytes_kb ||
                       relation->rd_rel->reltuples >= static_cast<float>(compact_rows);
    if (aged || large || now_us >= run->state->next_look_us) {
      CompactRequest request;
      request.background = true;
      request.move_rows = aged || large;
      pgstat_report_activity(STATE_RUNNING,
                             psprintf("tsext: compacting %s", RelationGetRelationName(relation)));
      run->result = CompactRelation(relation, request);
      run->vacuum_table |= heap_kb > 0 && run->result.rows_moved > 0 &&
                           run->result.bytes_before / 1024 * 5 >= heap_kb;
      run->vacuum_table |= run->result.segments_merged > 0;  // with it goes the TOAST table
      run->vacuum_directory |= run->result.segments_merged > 0;
      if (!run->result.more) {
        if (request.move_rows) run->state->hot_since_us = 0;
        run->state->next_look_us = now_us + age_us;
      }
    }
  }
  relation_close(relation, NoLock);
}

void VacuumRelation(void *argument) {
  VacuumParams params{};
  params.options = VACOPT_VACUUM | VACOPT_PROCESS_TOAST | VACOPT_SKIP_LOCKED;
  params.freeze_min_age = -1;
  params.freeze_table_age = -1;
  params.multixact_freeze_min_age = -1;
  params.multixact_freeze_table_age = -1;
  params.log_min_duration = -1;
  params.index_cleanup = VACOPTVALUE_AUTO;
  params.truncate =
      VACOPTVALUE_DISABLED;  // truncation would take AccessExclusiveLock after every compaction
  params.nworkers = -1;
  // No strategy of ours: it would lie in this transaction's memory, and vacuum() makes transactions
  // of its own.
  vacuum(static_cast<List *>(argument), &params, nullptr, true);
}

void Vacuum(Worker *worker, Oid relation) {
  MemoryContext caller = MemoryContextSwitchTo(worker->memory);
  List *relations = list_make1(makeVacuumRelation(nullptr, relation, NIL));
  // vacuum() keeps its own state there, across the transactions it makes.
  PortalContext = AllocSetContextCreate(worker->memory, "tsext vacuum", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(caller);
  pgstat_report_activity(STATE_RUNNING, "tsext: vacuum after compaction");
  RunUtility(VacuumRelation, relations);
  MemoryContextDelete(PortalContext);
  PortalContext = nullptr;
}

void CatalogOids(void *state) {
  auto *oids = static_cast<Oid *>(state);
  oids[0] = CatalogRelation("segment");
  oids[1] = CatalogRelation("store_total");
}

void Round(Worker *worker) {
  bool vacuum_directory = false;
  if (!RunStep(worker, ListTables, worker)) return;
  ListCell *cell;
  foreach (cell, worker->relations) {
    const Oid relation = lfirst_oid(cell);
    bool found;
    auto *state =
        static_cast<TableState *>(hash_search(worker->tables, &relation, HASH_ENTER, &found));
    if (!found) {
      state->hot_since_us = state->next_look_us = state->retry_at_us = 0;
    }
    if (MonotonicMicroseconds() < state->retry_at_us) continue;
    TableRun run{relation, state, {}, false, false};
    bool succeeded;
    do {
      HandleWorkerSignals();
      succeeded = RunStep(worker, CompactOneTable, &run);
      if (succeeded) {
        worker->rows_moved += run.result.rows_moved;
        worker->did_something |= run.result.segments_written > 0 || run.result.rows_moved > 0;
      }
    } while (succeeded && run.result.more && run.result.segments_written > 0);
    if (!succeeded) state->retry_at_us = MonotonicMicroseconds() + kRetryUs;
    if (run.vacuum_table) Vacuum(worker, relation);
    vacuum_directory |= run.vacuum_directory;
  }
  if (vacuum_directory) {
    Oid oids[2];
    if (RunTransaction(CatalogOids, oids)) {
      Vacuum(worker, oids[0]);
      Vacuum(worker, oids[1]);
    }
  }
  pgstat_report_activity(STATE_IDLE, nullptr);
}

void BeginRound(void *state) {
  auto *worker = static_cast<Worker *>(state);
  const Job *job = FindJob(kCompactionJob);
  worker->may_run = job != nullptr && job->scheduled && TryLockRun(kCompactionJob, true);
  worker->is_locked = worker->may_run;
}

void EndRound(void *state) {
  auto *worker = static_cast<Worker *>(state);
  LockJob(kCompactionJob);
  Job *job = FindJob(kCompactionJob);
  if (job == nullptr) return;
  const TimestampTz now = GetCurrentTimestamp();
  if (!worker->did_something && worker->error == nullptr) {
    JobState before = FindJobState(kCompactionJob);
    const bool was_told = before.consecutive_failures == 0 && before.last_finish <= now &&
                          !TimestampDifferenceExceeds(before.last_finish, now, kQuietMs);
    if (was_told) return;
    before.last_start = worker->started;
    before.last_finish = before.last_success = now;
    before.last_outcome = "succeeded";
    before.consecutive_failures = 0;
    before.runs++;
    WriteJobState(before);
    return;
  }
  JobRun run{};
  run.job = kCompactionJob;
  run.job_name = job->name;
  run.owner = GetUserNameFromId(job->owner, true);
  if (run.owner == nullptr) run.owner = "";
  run.pid = MyProcPid;
  run.started = worker->started;
  run.finished = now;
  run.outcome = "succeeded";
  run.rows = worker->rows_moved;
  if (worker->error != nullptr) {
    run.outcome = worker->error->sqlerrcode == ERRCODE_QUERY_CANCELED ? "cancelled" : "failed";
    run.sqlstate = unpack_sql_state(worker->error->sqlerrcode);
    run.message = ShortMessage(worker->error->message);
  }
  job->max_retries = -1;  // other tables go on
  SettleRun(job, &run);
}

TimestampTz RunRound(JobSlot *slot, void *state) {
  auto *worker = static_cast<Worker *>(state);
  MemoryContextSwitchTo(worker->memory);
  worker->did_something = worker->may_run = worker->is_locked = false;
  worker->rows_moved = 0;
  worker->error = nullptr;
  worker->started = GetCurrentTimestamp();
  if (RunTransaction(BeginRound, worker) && worker->may_run) {
    MarkRunStarted(slot, worker->started, 0);
    Round(worker);
    (void)RunTransaction(EndRound, worker);
  }
  if (worker->is_locked) UnlockRun(kCompactionJob);
  MemoryContextReset(worker->memory);
  return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), compact_naptime_s * 1000L);
}

int LingerMs() {
  return static_cast<int>(Min(compact_naptime_s * 1000L + kLingerMs, INT_MAX));
}

void WorkerLoop(JobSlot *slot) {
  Worker worker{};
  worker.memory =
      AllocSetContextCreate(TopMemoryContext, "tsext worker round", ALLOCSET_DEFAULT_SIZES);
  worker.tables = NewOidTable<TableState>("tsext tables");
  JobWorkerLoop(slot, RunRound, &worker, LingerMs);
}

}  // namespace

}  // namespace tsext::pg

void tsext_compact_worker_main(Datum argument) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the worker's entry point
  Enter([argument] { WorkerLoop(BeginJobWorker(argument)); });
}

namespace {

using namespace tsext::pg;  // NOLINT(google-build-using-namespace)

void CompactByHand(Oid relation) {
  if (!ConditionalLockRelationOid(relation, ShareUpdateExclusiveLock)) return;
  Relation table = try_relation_open(relation, NoLock);
  if (table == nullptr) return;
  if (IsTsextRelation(table) && StaysHotBecause(table) == nullptr) {
    CompactRequest request;
    request.background = true;
    ReportJobRows(CompactRelation(table, request).rows_moved);
  }
  relation_close(table, NoLock);
}

}  // namespace

/// The procedure of job 1 for CALL run_job(1): a round over all tables, each in a transaction of
/// its own where that is allowed. Vacuum is left to autovacuum.
TSEXT_FUNCTION(tsext_compact_tables) {
  const bool atomic = IsAtomicCall(fcinfo);
  Worker worker{};
  worker.memory = PortalContext;
  SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
  ListTables(&worker);
  ListCell *cell;
  foreach (cell, worker.relations) {
    CHECK_FOR_INTERRUPTS();
    PushActiveSnapshot(GetTransactionSnapshot());
    CompactByHand(lfirst_oid(cell));
    PopActiveSnapshot();
    if (!atomic) SPI_commit();
  }
  SPI_finish();
  return Datum(0);
}
