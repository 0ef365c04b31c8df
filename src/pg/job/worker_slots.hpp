#pragma once

// What launcher, schedulers and job workers share: a slot per database with its scheduler, a slot
// per job worker with the job it has. Plain structs in shared memory under one lock.

#include "pg/base/postgres.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
}

namespace tsext::pg {

inline constexpr int kMaxDatabases = 64;  // that have a scheduler
inline constexpr int kMaxJobSlots = 256;

struct DatabaseSlot {
  Oid database;           // InvalidOid: free
  pid_t pid;              // of the scheduler, 0: none runs
  Latch *latch;           // of the scheduler
  int64 hold_until_us;    // monotonic: no worker before this
  uint64 changes;         // grows with each commit that concerns jobs
  bool has_no_extension;  // why the last scheduler has left
  bool is_starved;        // no background worker could be had for a due job
};

enum class SlotState {
  kFree,
  kStarting,  // registered, has not come yet
  kAssigned,  // has a job to take up
  kRunning,
  kIdle,  // waits for another job
  kLeaving,
  kGone  // ended, and the scheduler has not taken note of its job yet
};

struct JobSlot {
  SlotState state;
  Oid database;
  Oid owner;             // InvalidOid: the worker of the built-in jobs
  uint32 generation;     // a worker that comes too late finds another
  pid_t pid;             // 0: none (yet)
  Latch *latch;          // of the worker
  int64 registered_us;   // monotonic, when the worker was asked for
  int job;               // 0: none
  int64 run;             // its row in tsext.job_run, 0: none yet
  TimestampTz started;   // of the run, 0: not yet
  int64 started_us;      // the same, monotonic
  int64 max_runtime_us;  // of the job, 0: no limit; it holds for a job that was deleted meanwhile
  int64 cancelled_us;    // when its time was up, 0: it is not
  bool is_terminated;    // and it did not listen
  bool is_over;          // the procedure has ended, its outcome is being recorded
  int sqlstate;          // of the last error of the worker, 0: none
  char message[256];
  bool has_result;         // the job has finished, and the scheduler has not taken note yet
  TimestampTz next_start;  // of the job that has finished
};

struct LauncherShared {
  LWLock *lock;
  Latch *launcher;  // nullptr: not running
  bool probe;
  DatabaseSlot databases[kMaxDatabases];
  JobSlot jobs[kMaxJobSlots];
};

/// nullptr unless the library was preloaded.
extern LauncherShared *shared;

/// From _PG_init while libraries are preloaded.
void InitWorkerSlots();

/// The slot of a database, or a free one when `claim`; nullptr when there is none. The lock is
/// held.
DatabaseSlot *FindDatabaseSlot(Oid database, bool claim);

/// Takes the place of the scheduler of a database; exits the process when there is another, or the
/// database is to be left alone.
DatabaseSlot *ClaimDatabaseSlot(Oid database);

/// Takes the place of a job worker: `argument` is the slot, MyBgworkerEntry->bgw_extra its
/// generation. Exits the process when it is not wanted any more.
JobSlot *ClaimJobSlot(Datum argument);

/// Ends all workers of a database and keeps them away for a while: a command needs the database
/// without sessions.
void StopWorkersOf(Oid database);

}  // namespace tsext::pg
