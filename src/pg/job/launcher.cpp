#include "pg/job/launcher.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/transaction.hpp"
#include "pg/base/utility.hpp"
#include "pg/base/worker.hpp"
#include "pg/job/worker_slots.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// A database without the extension is looked at this often (CREATE EXTENSION wakes the launcher).
constexpr int64 kProbeIntervalUs = 60 * USECS_PER_SEC;
// Between two looks at all databases.
constexpr int kPauseMs = 5 * 1000;
// A scheduler that has died is started again after so long.
constexpr int64 kRestartIntervalUs = 5 * USECS_PER_SEC;
constexpr int64 kStarvedLogUs = 60 * USECS_PER_SEC;
constexpr int kFirstDatabases = 16;

bool wake_launcher_at_commit = false;
bool wake_scheduler_at_commit = false;

constexpr int kMaxTasks = 4;
int (*tasks[kMaxTasks])();
int task_count = 0;

void DetachLauncher(int, Datum) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  shared->launcher = nullptr;
  LWLockRelease(shared->lock);
}

const char *OptionText(List *options, const char *name) {
  ListCell *cell;
  foreach (cell, options) {
    auto *option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, name) == 0 && option->arg != nullptr) return defGetString(option);
  }
  return nullptr;
}

/// The database that a command needs for itself, or nullptr.
const char *ExclusiveDatabase(Node *statement) {
  switch (nodeTag(statement)) {
    case T_DropdbStmt:
      return reinterpret_cast<DropdbStmt *>(statement)->dbname;
    case T_RenameStmt: {
      auto *rename = reinterpret_cast<RenameStmt *>(statement);
      return rename->renameType == OBJECT_DATABASE ? rename->subname : nullptr;
    }
    case T_AlterDatabaseStmt: {
      auto *alter = reinterpret_cast<AlterDatabaseStmt *>(statement);
      return OptionText(alter->options, "tablespace") != nullptr ? alter->dbname : nullptr;
    }
    case T_CreatedbStmt:
      return OptionText(reinterpret_cast<CreatedbStmt *>(statement)->options, "template");
    default:
      return nullptr;
  }
}

/// Whether the current user may have the database copied: it is a template.
bool MayCopy(Oid database) {
  HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
  if (!HeapTupleIsValid(tuple)) return false;
  const bool is_template = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple))->datistemplate;
  ReleaseSysCache(tuple);
  if (!is_template) return false;
  tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
  if (!HeapTupleIsValid(tuple)) return false;
  const bool may_create = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple))->rolcreatedb;
  ReleaseSysCache(tuple);
  return may_create;
}

/// Nobody stops workers by a command that will be refused.
void StopWorkersFor(Node *statement) {
  const char *name = ExclusiveDatabase(statement);
  if (name == nullptr || !IsTransactionState()) return;
  const Oid database = get_database_oid(name, true);
  if (!OidIsValid(database)) return;
  if (TsextOwnsDatabase(database, GetUserId()) ||
      (IsA(statement, CreatedbStmt) && MayCopy(database)))
    StopWorkersOf(database);
}

void StopWorkersBefore(Utility utility) {
  StopWorkersFor(utility.Parsed());
  utility.Run();
}

void WakeLauncher() {
  if (shared == nullptr) return;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  shared->probe = true;
  if (shared->launcher != nullptr) SetLatch(shared->launcher);
  LWLockRelease(shared->lock);
}

void WakeScheduler() {
  if (shared == nullptr) return;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  if (DatabaseSlot *slot = FindDatabaseSlot(MyDatabaseId, false); slot != nullptr) {
    slot->changes++;
    if (slot->latch != nullptr) SetLatch(slot->latch);
  }
  LWLockRelease(shared->lock);
}

// A prepared transaction wakes nobody: the scheduler looks by itself once in a while.
void AfterTransaction(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT && wake_launcher_at_commit) WakeLauncher();
  if (event == XACT_EVENT_COMMIT && wake_scheduler_at_commit) WakeScheduler();
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
    wake_launcher_at_commit = wake_scheduler_at_commit = false;
}

/// What the launcher knows of one database.
struct Database {
  Oid oid;
  BackgroundWorkerHandle *handle;  // nullptr: no scheduler
  int64 next_probe_us;
  bool listed;
  bool wanted;  // somebody asked for a scheduler while there was one: it may be on its way out
};

struct Launcher {
  Database *databases;
  int count, capacity;
  int64 starved_us;  // when the log was told of it, 0: never
};

Database *AddDatabase(Launcher *launcher, Oid oid) {
  if (launcher->count == launcher->capacity) {
    launcher->capacity *= 2;
    launcher->databases = static_cast<Database *>(
        repalloc(launcher->databases, sizeof(Database) * launcher->capacity));
  }
  Database *added = &launcher->databases[launcher->count++];
  *added = {oid, nullptr, 0, true, false};
  return added;
}

/// Reads pg_database into launcher->databases.
void ListDatabases(void *state) {
  auto *launcher = static_cast<Launcher *>(state);
  for (int i = 0; i < launcher->count; i++) launcher->databases[i].listed = false;
  Relation catalog = table_open(DatabaseRelationId, AccessShareLock);
  TableScanDesc scan = table_beginscan_catalog(catalog, 0, nullptr);
  while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
    auto *form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
    if (form->datistemplate || !form->datallowconn) continue;
    Database *found = nullptr;
    for (int i = 0; i < launcher->count && found == nullptr; i++) {
      if (launcher->databases[i].oid == form->oid) found = &launcher->databases[i];
    }
    if (found == nullptr) found = AddDatabase(launcher, form->oid);
    found->listed = true;
  }
  table_endscan(scan);
  table_close(catalog, AccessShareLock);
}

bool IsHeld(Oid database, int64 now_us) {
  LWLockAcquire(shared->lock, LW_SHARED);
  const DatabaseSlot *slot = FindDatabaseSlot(database, false);
  const bool held = slot != nullptr && slot->hold_until_us > now_us;
  LWLockRelease(shared->lock);
  return held;
}

/// How long a database whose scheduler has ended goes without.
int64 PauseAfterEnd(Oid database) {
  LWLockAcquire(shared->lock, LW_SHARED);
  const DatabaseSlot *slot = FindDatabaseSlot(database, false);
  const bool has_died = slot != nullptr && !slot->has_no_extension;
  LWLockRelease(shared->lock);
  return has_died ? kRestartIntervalUs : kProbeIntervalUs;
}

/// False: no background worker slot is free.
bool StartScheduler(Launcher *launcher, Database *database) {
  BackgroundWorker worker = DescribeWorker("tsext_scheduler_main", "tsext scheduler");
  pg_snprintf(worker.bgw_name, BGW_MAXLEN, "tsext scheduler, database %u", database->oid);
  worker.bgw_main_arg = ObjectIdGetDatum(database->oid);
  database->handle = StartWorker(&worker);
  if (database->handle != nullptr) return true;
  const int64 now_us = MonotonicMicroseconds();
  if (launcher->starved_us == 0 || now_us - launcher->starved_us >= kStarvedLogUs) {
    launcher->starved_us = now_us;
    ereport(LOG, (errmsg("could not start the tsext scheduler of database %u: no background worker "
                         "slot is free",
                         database->oid),
                  errhint("Raise max_worker_processes.")));
  }
  return false;
}

/// One look at all databases: starts workers where there is none and it is time.
void LauncherRound(Launcher *launcher) {
  if (!RunTransaction(ListDatabases, launcher)) return;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  const bool probe = shared->probe;
  shared->probe = false;
  LWLockRelease(shared->lock);

  const int64 now_us = MonotonicMicroseconds();
  int kept = 0;
  // Then all others wait, too, for the end of a worker: those at the front would always be first.
  bool is_full = false;
  for (int i = 0; i < launcher->count; i++) {
    Database database = launcher->databases[i];
    if (database.handle != nullptr) {
      pid_t pid;
      if (GetBackgroundWorkerPid(database.handle, &pid) == BGWH_STOPPED) {
        pfree(database.handle);
        database.handle = nullptr;
        database.next_probe_us = database.wanted ? 0 : now_us + PauseAfterEnd(database.oid);
      }
    }
    if (probe) database.next_probe_us = 0;
    if (probe && database.handle != nullptr) database.wanted = true;
    if (database.handle == nullptr && !database.listed) continue;  // dropped
    if (database.handle == nullptr && database.next_probe_us <= now_us && !is_full &&
        !IsHeld(database.oid, now_us)) {
      is_full = !StartScheduler(launcher, &database);
      if (!is_full) {
        database.wanted = false;
        database.next_probe_us = now_us + kProbeIntervalUs;
      }
    }
    launcher->databases[kept++] = database;
  }
  launcher->count = kept;
}

void LauncherLoop() {
  Launcher *launcher =
      static_cast<Launcher *>(MemoryContextAllocZero(TopMemoryContext, sizeof(Launcher)));
  launcher->capacity = kFirstDatabases;
  launcher->databases = static_cast<Database *>(
      MemoryContextAlloc(TopMemoryContext, sizeof(Database) * kFirstDatabases));
  for (;;) {
    LauncherRound(launcher);
    long pause_ms = kPauseMs;
    for (int i = 0; i < task_count; i++) {
      if (const int wish_ms = tasks[i](); wish_ms >= 0) pause_ms = Min(pause_ms, wish_ms);
    }
    (void)WaitForWork(pause_ms);
  }
}

}  // namespace

void AddLauncherTask(int (*task)()) {
  Assert(task_count < kMaxTasks);
  tasks[task_count++] = task;
}

void WakeSchedulerAtCommit() {
  wake_scheduler_at_commit = true;
}

void WakeLauncherAtCommit() {
  wake_launcher_at_commit = true;
}

void InitLauncher() {
  if (!process_shared_preload_libraries_in_progress) return;
  InitWorkerSlots();
  HookUtility<StopWorkersBefore>();
  RegisterXactCallback(AfterTransaction, nullptr);

  BackgroundWorker worker = DescribeWorker("tsext_launcher_main", "tsext launcher");
  worker.bgw_restart_time = 5;
  RegisterBackgroundWorker(&worker);
}

}  // namespace tsext::pg

void tsext_launcher_main(Datum) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the worker's entry point
  Enter([] {
    TakeWorkerSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    shared->launcher = MyLatch;
    LWLockRelease(shared->lock);
    before_shmem_exit(DetachLauncher, 0);
    LauncherLoop();
  });
}

/// Called by the install script.
TSEXT_FUNCTION(tsext_wake_launcher) {
  tsext::pg::WakeLauncherAtCommit();
  PG_RETURN_VOID();
}
