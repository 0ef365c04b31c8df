// The background compaction of one database: looks at every tsext table, moves hot rows that have
// reached a threshold, merges, rewrites old chunks with the COLD codecs, vacuums after itself.

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/job/job.hpp"
#include "pg/job/launcher.hpp"
#include "pg/table/compact.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/vacuum.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
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
constexpr int kRetryMs = 60 * 1000;

/// What the worker remembers of a table between rounds.
struct TableState {
  Oid relation;           // hash key
  TimestampTz hot_since;  // first seen with hot rows after the last full compaction; 0: none
  TimestampTz next_look;  // the directory is planned again (merges, COLD) not before this
  TimestampTz retry_at;   // after an error: not before this
};

struct Worker {
  MemoryContext memory;  // of one round
  HTAB *tables;
  bool extension_exists;
  List *relations;  // oids of this round
};

void FindExtension(void *state) {
  static_cast<Worker *>(state)->extension_exists = OidIsValid(get_extension_oid("tsext", true));
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
    const TimestampTz now = GetCurrentTimestamp();
    const int64_t heap_kb =
        static_cast<int64_t>(RelationGetNumberOfBlocks(relation)) * (BLCKSZ / 1024);
    if (heap_kb == 0) {
      run->state->hot_since = 0;
    } else if (run->state->hot_since == 0) {
      run->state->hot_since = now;
    }
    const bool aged = run->state->hot_since != 0 &&
                      TimestampDifferenceExceeds(run->state->hot_since, now, compact_age_s * 1000);
    const bool large = heap_kb > compact_bytes_kb ||
                       relation->rd_rel->reltuples >= static_cast<float>(compact_rows);
    if (aged || large || now >= run->state->next_look) {
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
        if (request.move_rows) run->state->hot_since = 0;
        run->state->next_look = TimestampTzPlusMilliseconds(now, compact_age_s * 1000L);
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

void HandleSignals() {
  CHECK_FOR_INTERRUPTS();
  if (!ConfigReloadPending) return;
  ConfigReloadPending = false;
  ProcessConfigFile(PGC_SIGHUP);
}

void CatalogOids(void *state) {
  auto *oids = static_cast<Oid *>(state);
  oids[0] = CatalogRelation("segment");
  oids[1] = CatalogRelation("store_total");
}

void Round(Worker *worker) {
  bool vacuum_directory = false;
  if (!RunTransaction(ListTables, worker)) return;
  ListCell *cell;
  foreach (cell, worker->relations) {
    const Oid relation = lfirst_oid(cell);
    bool found;
    auto *state =
        static_cast<TableState *>(hash_search(worker->tables, &relation, HASH_ENTER, &found));
    if (!found) {
      state->hot_since = 0;
      state->next_look = 0;
      state->retry_at = 0;
    }
    if (GetCurrentTimestamp() < state->retry_at) continue;
    TableRun run{relation, state, {}, false, false};
    bool succeeded;
    do {
      HandleSignals();
      succeeded = RunTransaction(CompactOneTable, &run);
    } while (succeeded && run.result.more && run.result.segments_written > 0);
    if (!succeeded) state->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kRetryMs);
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

void WorkerLoop() {
  Worker worker{};
  worker.memory =
      AllocSetContextCreate(TopMemoryContext, "tsext worker round", ALLOCSET_DEFAULT_SIZES);
  HASHCTL control{};
  control.keysize = sizeof(Oid);
  control.entrysize = sizeof(TableState);
  control.hcxt = TopMemoryContext;
  worker.tables = hash_create("tsext tables", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
  MemoryContextSwitchTo(worker.memory);
  for (;;) {
    if (!RunTransaction(FindExtension, &worker) || !worker.extension_exists) return;
    if (compact_background) Round(&worker);
    MemoryContextReset(worker.memory);
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                    compact_naptime_s * 1000L, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    HandleSignals();
  }
}

}  // namespace

}  // namespace tsext::pg

void tsext_compact_worker_main(Datum argument) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the worker's entry point
  Enter([argument] {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    ClaimWorkerSlot(DatumGetObjectId(argument));
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(argument), InvalidOid, 0);
    WorkerLoop();
  });
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
  const bool atomic = fcinfo->context == nullptr || !IsA(fcinfo->context, CallContext) ||
                      castNode(CallContext, fcinfo->context)->atomic;
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
