#include "pg/job/worker_slots.hpp"

#include <csignal>

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

LauncherShared *shared = nullptr;

namespace {

// After DROP DATABASE and the like asked for it, a database gets no worker for so long.
constexpr int64 kHoldUs = 15 * USECS_PER_SEC;

shmem_request_hook_type previous_shmem_request = nullptr;
shmem_startup_hook_type previous_shmem_startup = nullptr;
emit_log_hook_type previous_emit_log = nullptr;
JobSlot *my_job_slot = nullptr;

void RequestSharedMemory() {
  if (previous_shmem_request != nullptr) previous_shmem_request();
  RequestAddinShmemSpace(MAXALIGN(sizeof(LauncherShared)));
  RequestNamedLWLockTranche("tsext_launcher", 1);
}

void StartSharedMemory() {
  if (previous_shmem_startup != nullptr) previous_shmem_startup();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found;
  shared = static_cast<LauncherShared *>(
      ShmemInitStruct("tsext launcher", sizeof(LauncherShared), &found));
  if (!found) {
    memset(static_cast<void *>(shared), 0, sizeof *shared);
    shared->lock = &GetNamedLWLockTranche("tsext_launcher")->lock;
  }
  LWLockRelease(AddinShmemInitLock);
}

void ReleaseDatabaseSlot(int, Datum) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  for (DatabaseSlot &slot : shared->databases) {
    if (slot.pid != MyProcPid) continue;
    slot.pid = 0;
    slot.latch = nullptr;
  }
  LWLockRelease(shared->lock);
}

Latch *SchedulerLatch(Oid database) {
  const DatabaseSlot *slot = FindDatabaseSlot(database, false);
  return slot == nullptr ? nullptr : slot->latch;
}

void ReleaseJobSlot(int, Datum) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  JobSlot *slot = my_job_slot;
  slot->state = slot->job != 0 ? SlotState::kGone : SlotState::kFree;
  slot->pid = 0;
  slot->latch = nullptr;
  if (Latch *latch = SchedulerLatch(slot->database); latch != nullptr) SetLatch(latch);
  LWLockRelease(shared->lock);
}

/// The last error of a worker: what it dies of cannot be recorded by itself.
void KeepError(ErrorData *error) {
  if (error->elevel >= ERROR && my_job_slot != nullptr) {
    my_job_slot->sqlstate = error->sqlerrcode;
    if (error->message != nullptr) {
      const int length = static_cast<int>(strlen(error->message));
      const int size = pg_mbcliplen(error->message, length, sizeof my_job_slot->message - 1);
      memcpy(my_job_slot->message, error->message, size);
      my_job_slot->message[size] = '\0';
    }
  }
  if (previous_emit_log != nullptr) previous_emit_log(error);
}

/// Asks the workers of a database to leave. Returns whether any is there.
bool SignalWorkersOf(Oid database, bool signal) {
  bool any = false;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  if (DatabaseSlot *slot = FindDatabaseSlot(database, true); slot != nullptr) {
    slot->hold_until_us = MonotonicMicroseconds() + kHoldUs;
    any |= slot->pid != 0;
    if (signal && slot->pid != 0) kill(slot->pid, SIGTERM);
  }
  for (JobSlot &slot : shared->jobs) {
    if (slot.state == SlotState::kFree || slot.database != database) continue;
    if (slot.pid != 0) {
      any = true;
      if (signal) kill(slot.pid, SIGTERM);
    } else if (slot.state == SlotState::kStarting) {
      slot.generation++;
      slot.state = SlotState::kFree;
    }
  }
  LWLockRelease(shared->lock);
  return any;
}

}  // namespace

void InitWorkerSlots() {
  previous_shmem_request = shmem_request_hook;
  shmem_request_hook = RequestSharedMemory;
  previous_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = StartSharedMemory;
}

DatabaseSlot *FindDatabaseSlot(Oid database, bool claim) {
  DatabaseSlot *available = nullptr;
  const int64 now_us = claim ? MonotonicMicroseconds() : 0;
  for (DatabaseSlot &slot : shared->databases) {
    if (slot.database == database) return &slot;
    // Also one of a database that was dropped.
    if (available == nullptr && slot.pid == 0 && slot.hold_until_us <= now_us) available = &slot;
  }
  if (!claim || available == nullptr) return nullptr;
  *available = DatabaseSlot{};
  available->database = database;
  return available;
}

DatabaseSlot *ClaimDatabaseSlot(Oid database) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  DatabaseSlot *slot = FindDatabaseSlot(database, true);
  const bool is_full = slot == nullptr;
  const bool taken =
      slot == nullptr || slot->pid != 0 || slot->hold_until_us > MonotonicMicroseconds();
  if (!taken) {
    slot->pid = MyProcPid;
    slot->latch = MyLatch;
    slot->has_no_extension = false;
    slot->is_starved = false;
  }
  LWLockRelease(shared->lock);
  if (is_full) {
    ereport(LOG, (errmsg("could not run the tsext scheduler of database %u: there are %d others",
                         database, kMaxDatabases)));
  }
  if (taken) proc_exit(0);
  before_shmem_exit(ReleaseDatabaseSlot, 0);
  return slot;
}

JobSlot *ClaimJobSlot(Datum argument) {
  JobSlot *slot = &shared->jobs[DatumGetInt32(argument)];
  uint32 generation;
  memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof generation);
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  const bool is_mine = slot->state == SlotState::kStarting && slot->generation == generation;
  if (is_mine) {
    slot->state = SlotState::kAssigned;
    slot->pid = MyProcPid;
    slot->latch = MyLatch;
  }
  LWLockRelease(shared->lock);
  if (!is_mine) proc_exit(0);
  my_job_slot = slot;
  before_shmem_exit(ReleaseJobSlot, 0);
  previous_emit_log = emit_log_hook;
  emit_log_hook = KeepError;
  return slot;
}

void StopWorkersOf(Oid database) {
  if (shared == nullptr || !OidIsValid(database)) return;
  for (int attempt = 0; attempt < 100; attempt++) {
    if (!SignalWorkersOf(database, attempt % 20 == 0)) return;
    CHECK_FOR_INTERRUPTS();
    pg_usleep(50 * 1000L);
  }
}

}  // namespace tsext::pg
