// The gate of writers that have nothing to log.
//
// A writer announces itself in its slot, then looks whether the gate is open. Who moves a threshold
// shuts it, then looks at the slots. Full barriers lie between, so one of them sees the other.

#include "pg/catalog/commit_gate.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
}

namespace tsext::pg {
namespace {

/// Written by one backend in every transaction: a cache line of its own.
struct alignas(PG_CACHE_LINE_SIZE) Slot {
  pg_atomic_uint64 table;  // KeyOf the table whose writer has passed; 0: nobody has
};

/// In shared memory.
struct Shared {
  pg_atomic_uint64 moves;             // transactions that committed a threshold, in any database
  pg_atomic_uint32 movers;            // transactions that keep the gate shut
  Slot slots[FLEXIBLE_ARRAY_MEMBER];  // by backend
};

Shared *shared = nullptr;  // nullptr: the library is not preloaded
shmem_request_hook_type previous_shmem_request = nullptr;
shmem_startup_hook_type previous_shmem_startup = nullptr;

// Of this transaction.
bool has_moved = false;
bool has_shut = false;
bool has_passed = false;

Size SharedSize() {
  return offsetof(Shared, slots) + sizeof(Slot) * static_cast<Size>(MaxBackends);
}

void RequestSharedMemory() {
  if (previous_shmem_request != nullptr) previous_shmem_request();
  RequestAddinShmemSpace(SharedSize());
}

void StartSharedMemory() {
  if (previous_shmem_startup != nullptr) previous_shmem_startup();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found;
  shared =
      static_cast<Shared *>(ShmemInitStruct("tsext continuous aggregates", SharedSize(), &found));
  if (!found) {
    pg_atomic_init_u64(&shared->moves, 1);
    pg_atomic_init_u32(&shared->movers, 0);
    for (int i = 0; i < MaxBackends; i++) pg_atomic_init_u64(&shared->slots[i].table, 0);
  }
  LWLockRelease(AddinShmemInitLock);
}

/// Never 0: OIDs are not.
uint64_t KeyOf(Oid base) {
  return static_cast<uint64_t>(MyDatabaseId) << 32 | base;
}

pg_atomic_uint64 *OwnSlot() {
  return &shared->slots[MyBackendId - 1].table;
}

void LeaveGate() {
  // What others must see of this transaction before is written.
  pg_write_barrier();
  pg_atomic_write_u64(OwnSlot(), 0);
  has_passed = false;
}

/// A commit is visible to others by now, and its locks are still held. So who finds the gate open
/// again, or gets a lock after us, sees the new count, and reads the new threshold.
void EndTransaction(bool is_commit) {
  if (has_moved && is_commit && shared != nullptr) pg_atomic_fetch_add_u64(&shared->moves, 1);
  has_moved = false;
  if (has_shut) pg_atomic_fetch_sub_u32(&shared->movers, 1);
  has_shut = false;
  if (has_passed) LeaveGate();
}

void AtTransactionEvent(XactEvent event, void *) {
  if (likely(!has_passed && !has_moved && !has_shut)) return;
  switch (event) {
    case XACT_EVENT_PRE_PREPARE:
      if (!has_moved) break;
      Enter([] {
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot PREPARE a transaction that has refreshed, made or dropped a "
                               "continuous aggregate"),
                        errhint("Commit it.")));
      });
      break;
    case XACT_EVENT_COMMIT:
      EndTransaction(true);
      break;
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
      EndTransaction(false);
      break;
    default:
      break;
  }
}

}  // namespace

uint64_t ThresholdMoves() {
  if (shared == nullptr) return 0;
  pg_memory_barrier();
  return pg_atomic_read_u64(&shared->moves);
}

void NoteThresholdMove() {
  has_moved = true;
}

bool HasMovedThreshold() {
  return has_moved;
}

bool EnterGate(Oid base, uint64_t moves) {
  if (shared == nullptr || has_moved || has_shut) return false;
  has_passed = true;
  (void)pg_atomic_exchange_u64(OwnSlot(), KeyOf(base));  // a full barrier
  const bool is_open = pg_atomic_read_u32(&shared->movers) == 0;
  // Who has moved one and opened the gate again has counted before.
  pg_read_barrier();
  if (likely(is_open && pg_atomic_read_u64(&shared->moves) == moves)) return true;
  LeaveGate();
  return false;
}

void ShutGate() {
  if (shared == nullptr || has_shut) return;
  pg_atomic_fetch_add_u32(&shared->movers, 1);  // a full barrier
  has_shut = true;
}

BackendId FirstInGate(Oid base) {
  if (shared == nullptr) return InvalidBackendId;
  const uint64_t key = KeyOf(base);
  for (int i = 0; i < MaxBackends; i++) {
    if (pg_atomic_read_u64(&shared->slots[i].table) == key && i != MyBackendId - 1) return i + 1;
  }
  pg_memory_barrier();
  return InvalidBackendId;
}

void InitCommitGate() {
  RegisterXactCallback(AtTransactionEvent, nullptr);
  if (!process_shared_preload_libraries_in_progress) return;
  previous_shmem_request = shmem_request_hook;
  shmem_request_hook = RequestSharedMemory;
  previous_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = StartSharedMemory;
}

}  // namespace tsext::pg
