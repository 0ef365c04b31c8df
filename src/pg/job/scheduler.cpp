// The scheduler of one database: knows all jobs and when they are due, hands them to workers of
// their owners, cancels those that take too long, records the end of workers that could not. It
// never waits for a lock on a job, so that nobody can hold up all others.

#include <csignal>
#include <cstdlib>

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/transaction.hpp"
#include "pg/base/worker.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/job/job_run.hpp"
#include "pg/job/job_table.hpp"
#include "pg/job/launcher.hpp"
#include "pg/job/worker_slots.hpp"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/extension.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// Without anything to do, all jobs are looked at anew: for prepared transactions, restored rows and
// clocks that were set.
constexpr int64 kReloadUs = 60 * USECS_PER_SEC;
constexpr int64 kHousekeepingUs = USECS_PER_HOUR;
constexpr int kKeptDays = 30;
// What could not be done now is tried again.
constexpr int kRetryMs = 1000;
constexpr int kFailedLoadMs = 10 * 1000;
constexpr int64 kDeathRetryUs = 10 * USECS_PER_SEC;
constexpr int64 kStarvedLogUs = 60 * USECS_PER_SEC;
// A job that does not listen to its cancellation is terminated.
constexpr int64 kCancelGraceUs = 10 * USECS_PER_SEC;
// Shorter limits are looked at no more often.
constexpr int64 kLeastLimitUs = USECS_PER_SEC / 10;

/// What the scheduler knows of a job.
struct Entry {
  int id;
  Oid owner;
  TimestampTz next_start;
  int64 max_runtime_us;  // 0: no limit
  bool scheduled;
  bool is_running;  // a slot has it
  bool is_listed;
  bool is_passed_over;  // in this look for due jobs
  bool is_outdated;  // jobs were read while it ran: its state may have been changed since it ended
};

struct Scheduler {
  DatabaseSlot *database;
  MemoryContext memory;  // of one round
  Entry *entries;
  int count, capacity;
  int sorted;     // so many of the first are in order of their ids
  Oid extension;  // InvalidOid: not seen yet
  bool extension_exists;
  bool was_set_back;     // a job has run later than now
  int64 clock_ahead_us;  // of the monotonic clock, when last looked at; 0: never
  uint64 seen_changes;
  int64 loaded_us;
  int64 housekeeping_us;  // when it is due
  int64 starved_us;       // when the log was told of it, 0: never
  bool must_retry;
  BackgroundWorkerHandle *handles[kMaxJobSlots];  // of workers that have not come yet
  int64 deaths_us[kMaxJobSlots];  // when the death of a worker is to be recorded, after an error
};

int CompareIds(const void *a, const void *b) {
  const int left = static_cast<const Entry *>(a)->id, right = static_cast<const Entry *>(b)->id;
  return left < right ? -1 : left > right ? 1 : 0;
}

/// nullptr: there is none, or LoadEntries() has just added it.
Entry *FindEntry(Scheduler *scheduler, int id) {
  Entry key{};
  key.id = id;
  if (scheduler->sorted == 0) return nullptr;
  return static_cast<Entry *>(
      bsearch(&key, scheduler->entries, scheduler->sorted, sizeof(Entry), CompareIds));
}

Entry *AddEntry(Scheduler *scheduler, int id) {
  if (scheduler->count == scheduler->capacity) {
    scheduler->capacity = Max(64, scheduler->capacity * 2);
    const size_t bytes = scheduler->capacity * sizeof(Entry);
    scheduler->entries = static_cast<Entry *>(scheduler->entries == nullptr
                                                  ? MemoryContextAllocHuge(TopMemoryContext, bytes)
                                                  : repalloc_huge(scheduler->entries, bytes));
  }
  Entry *entry = &scheduler->entries[scheduler->count++];
  *entry = Entry{};
  entry->id = id;
  return entry;
}

/// A schedule that has no next start (a time zone that this system does not know) is due at once:
/// its run tells what is wrong.
StartSearch FirstStartOf(const Job &job, const JobState &state, TimestampTz now) {
  StartSearch search = SearchFrom(job, state, now);
  if (TrySubtransaction(FindStart, &search) != nullptr) search.start = now;
  return search;
}

/// When the job of a row starts next; `entry` is what was known of it before.
TimestampTz NextStartOf(Scheduler *scheduler, const Job &job, const Entry &entry, TimestampTz now) {
  if (job.id == kCompactionJob) {
    const TimestampTz latest = TimestampTzPlusMilliseconds(now, compact_naptime_s * 1000L);
    return entry.next_start == 0 ? now : Min(entry.next_start, latest);
  }
  const JobState state = FindJobState(job.id);
  if (!state.exists || state.next_start == 0)
    return entry.next_start != 0 ? entry.next_start : FirstStartOf(job, state, now).start;
  if (!ClockWasSetBack(state, now)) return state.next_start;
  scheduler->was_set_back |= job.scheduled;
  return StartAfterSetBack(job, state, FirstStartOf(job, state, now));
}

/// Reads all jobs.
void LoadEntries(void *argument) {
  auto *scheduler = static_cast<Scheduler *>(argument);
  scheduler->was_set_back = false;
  const Oid extension = get_extension_oid("tsext", true);
  // Dropped and made anew, it is another's scheduler: ids of jobs begin anew, and our workers have
  // jobs of before.
  if (!OidIsValid(scheduler->extension)) scheduler->extension = extension;
  scheduler->extension_exists = OidIsValid(extension) && extension == scheduler->extension;
  if (!scheduler->extension_exists) return;
  const TimestampTz now = GetCurrentTimestamp();
  for (int i = 0; i < scheduler->count; i++) scheduler->entries[i].is_listed = false;
  ListCell *cell;
  foreach (cell, LoadJobs()) {
    const auto *job = static_cast<Job *>(lfirst(cell));
    Entry *entry = FindEntry(scheduler, job->id);
    if (entry == nullptr) entry = AddEntry(scheduler, job->id);
    entry->owner = job->id == kCompactionJob ? InvalidOid : job->owner;
    entry->max_runtime_us = IntervalMicroseconds(job->max_runtime);
    entry->scheduled = job->scheduled;
    entry->is_listed = true;
    entry->is_outdated = entry->is_running;
    if (!entry->is_running) entry->next_start = NextStartOf(scheduler, *job, *entry, now);
  }
  int kept = 0;
  for (int i = 0; i < scheduler->count; i++) {
    if (scheduler->entries[i].is_listed) scheduler->entries[kept++] = scheduler->entries[i];
  }
  scheduler->count = scheduler->sorted = kept;
  if (kept > 0) qsort(scheduler->entries, kept, sizeof(Entry), CompareIds);
}

/// Writes down when jobs start by the clock that was set back: everybody sees it, and it holds for
/// the runs after the next one too.
void FollowClock(void *argument) {
  auto *scheduler = static_cast<Scheduler *>(argument);
  const TimestampTz now = GetCurrentTimestamp();
  ListCell *cell;
  foreach (cell, LoadJobs()) {
    const int id = static_cast<Job *>(lfirst(cell))->id;
    const Entry *entry = FindEntry(scheduler, id);
    if (id == kCompactionJob || entry == nullptr || entry->is_running || !TryLockJob(id)) continue;
    Job *job = FindJob(id);
    JobState state = FindJobState(id);
    if (job == nullptr || !job->scheduled || !ClockWasSetBack(state, now)) continue;
    const StartSearch search = FirstStartOf(*job, state, now);
    const TimestampTz start = StartAfterSetBack(*job, state, search);
    if (start >= state.next_start) continue;
    if (search.schedule.initial_start != job->schedule.initial_start) {
      job->schedule.initial_start = search.schedule.initial_start;
      UpdateJob(job);
    }
    state.next_start = start;
    WriteJobState(state);
  }
}

/// Whether the clock has been set since the last look. The log tells of it: what jobs do by the
/// clock, as retention, they do by the new one.
bool ClockWasSet(Scheduler *scheduler) {
  constexpr int64 kTolerance = 10 * USECS_PER_SEC;
  const int64 ahead_us = GetCurrentTimestamp() - MonotonicMicroseconds();
  const int64 step_us = scheduler->clock_ahead_us == 0 ? 0 : ahead_us - scheduler->clock_ahead_us;
  scheduler->clock_ahead_us = ahead_us;
  if (step_us > -kTolerance && step_us < kTolerance) return false;
  ereport(LOG,
          (errmsg("the system clock was set %s by %lld seconds", step_us < 0 ? "back" : "forward",
                  static_cast<long long>(std::abs(step_us) / USECS_PER_SEC)),
           errdetail("Jobs follow it; so does what retention takes to be old."),
           step_us < 0 ? 0 : errhint("It looks the same after the system was suspended.")));
  return true;
}

// ---- what workers leave behind ----

/// A worker that has ended without recording what has become of its job.
struct Death {
  JobSlot slot;  // a copy
  bool is_recorded;
  TimestampTz next_start;
};

const char *OwnerName(Oid owner) {
  const char *name = OidIsValid(owner) ? GetUserNameFromId(owner, true) : nullptr;
  return name != nullptr ? name : psprintf("%u", owner);
}

void RecordDeath(void *argument) {
  auto *death = static_cast<Death *>(argument);
  const JobSlot &slot = death->slot;
  if (!TryLockJob(slot.job)) return;
  death->is_recorded = true;
  JobRun run{};
  run.id = slot.run;
  run.job = slot.job;
  run.finished = GetCurrentTimestamp();
  run.started = slot.started != 0 ? slot.started : run.finished;
  run.rows = -1;
  run.outcome = slot.cancelled_us != 0 ? "timed out" : slot.started != 0 ? "crashed" : "failed";
  if (slot.sqlstate != 0) run.sqlstate = pstrdup(unpack_sql_state(slot.sqlstate));
  run.message = slot.message[0] != '\0' ? ShortMessage(slot.message)
                : slot.started != 0     ? "the worker ended before the job did"
                                        : "the worker did not start";
  Job *job = FindJob(slot.job);
  if (job == nullptr) {
    if (run.id != 0) FinishJobRun(run);
    return;
  }
  run.job_name = job->name;
  run.owner = OwnerName(job->owner);
  SettleRun(job, &run);
  death->next_start = FindJobState(job->id).next_start;
  ereport(LOG, (errmsg("job %d \"%s\" %s: %s", job->id, job->name, run.outcome, run.message)));
}

/// Runs that a crash of the server, or of a scheduler, has left unfinished.
void RecoverRuns(void *argument) {
  auto *scheduler = static_cast<Scheduler *>(argument);
  ListCell *cell;
  foreach (cell, UnfinishedRuns()) {
    auto *run = static_cast<JobRun *>(lfirst(cell));
    const Entry *entry = FindEntry(scheduler, run->job);
    if (entry != nullptr && entry->is_running) continue;
    if (!TryLockRun(run->job, false) || !TryLockJob(run->job)) continue;  // it lives
    run->finished = GetCurrentTimestamp();
    run->outcome = "crashed";
    run->message = "the server stopped before the job ended";
    Job *job = FindJob(run->job);
    // A job that has run again since counts by that run.
    if (job == nullptr || FindJobState(job->id).last_start > run->started) {
      FinishJobRun(*run);
    } else {
      SettleRun(job, run);
    }
  }
}

void CleanHistory(void *) {
  DeleteOldRuns(GetCurrentTimestamp() - kKeptDays * USECS_PER_DAY);
}

void Housekeep(Scheduler *scheduler) {
  const int64 now_us = MonotonicMicroseconds();
  if (now_us < scheduler->housekeeping_us) return;
  const bool recovered = RunTransaction(RecoverRuns, scheduler);
  if (recovered) (void)RunTransaction(LoadEntries, scheduler);
  (void)RunTransaction(CleanHistory, nullptr);
  scheduler->housekeeping_us = now_us + (recovered ? kHousekeepingUs : kReloadUs);
}

void FreeSlot(Scheduler *scheduler, JobSlot *slot) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  const uint32 generation = slot->generation + 1;
  *slot = JobSlot{};
  slot->generation = generation;
  LWLockRelease(shared->lock);
  BackgroundWorkerHandle *&handle = scheduler->handles[slot - shared->jobs];
  if (handle != nullptr) pfree(handle);
  handle = nullptr;
}

/// Takes note of what a slot tells: a result, a worker that has gone or has never come.
void CollectSlot(Scheduler *scheduler, JobSlot *slot) {
  BackgroundWorkerHandle *handle = scheduler->handles[slot - shared->jobs];
  pid_t pid;
  const bool never_came = handle != nullptr
                              ? GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED
                              : MonotonicMicroseconds() - slot->registered_us > kReloadUs;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  // With the lock: the worker may just have come.
  if (slot->state == SlotState::kStarting && never_came) slot->state = SlotState::kGone;
  const JobSlot copy = *slot;
  if (slot->has_result) {
    slot->has_result = false;
    slot->job = 0;
    slot->run = 0;
    slot->started = 0;
    slot->started_us = slot->cancelled_us = slot->max_runtime_us = 0;
    slot->is_over = slot->is_terminated = false;
  }
  LWLockRelease(shared->lock);

  Entry *entry = copy.job == 0 ? nullptr : FindEntry(scheduler, copy.job);
  if (copy.has_result) {
    if (entry != nullptr) {
      entry->is_running = false;
      if (copy.next_start != 0) entry->next_start = copy.next_start;
      if (entry->is_outdated) {
        scheduler->loaded_us = 0;
        SetLatch(MyLatch);
      }
    }
  } else if (copy.state == SlotState::kGone && copy.job != 0) {
    int64 *retry_us = &scheduler->deaths_us[slot - shared->jobs];
    const int64 now_us = MonotonicMicroseconds();
    if (now_us < *retry_us) {
      scheduler->must_retry = true;
      return;
    }
    Death death{copy, false, 0};
    const ErrorData *error = TryTransaction(RecordDeath, &death);
    if (error != nullptr) {
      ereport(LOG, (errcode(error->sqlerrcode),
                    errmsg("could not record the end of job %d: %s", copy.job, error->message)));
      // Others are not tried for ever: the run is found again by RecoverRuns().
      *retry_us = MayPass(error) ? now_us + kDeathRetryUs : 0;
      scheduler->housekeeping_us = Min(scheduler->housekeeping_us, now_us + kReloadUs);
    }
    if (error != nullptr ? MayPass(error) : !death.is_recorded) {
      scheduler->must_retry = true;
      return;
    }
    *retry_us = 0;
    if (entry != nullptr) {
      entry->is_running = false;
      entry->next_start = death.next_start != 0
                              ? death.next_start
                              : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 60 * 1000L);
    }
  } else if (entry != nullptr) {
    entry->is_running = true;  // of a scheduler before this one
  }
  if (copy.state == SlotState::kGone) FreeSlot(scheduler, slot);
}

void CollectSlots(Scheduler *scheduler) {
  for (JobSlot &slot : shared->jobs) {
    if (slot.state != SlotState::kFree && slot.database == MyDatabaseId)
      CollectSlot(scheduler, &slot);
  }
}

/// Cancels runs whose time is up, terminates those that do not care. Returns the milliseconds until
/// the next one has to be.
int64 LimitRuntimes(Scheduler *scheduler) {
  const int64 now_us = MonotonicMicroseconds();
  int64 wait_us = kReloadUs;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  for (JobSlot &slot : shared->jobs) {
    if (slot.state == SlotState::kFree || slot.database != MyDatabaseId || slot.job == 0 ||
        slot.has_result || slot.is_over || slot.state == SlotState::kGone)
      continue;
    if (const Entry *entry = FindEntry(scheduler, slot.job); entry != nullptr)
      slot.max_runtime_us = entry->max_runtime_us;
    if (slot.max_runtime_us == 0) continue;
    if (slot.started_us == 0) {
      // It starts now at the earliest, and nobody tells us when.
      wait_us = Min(wait_us, Max(slot.max_runtime_us, kLeastLimitUs));
      continue;
    }
    if (slot.cancelled_us == 0) {
      const int64 left_us = slot.started_us + slot.max_runtime_us - now_us;
      if (left_us > 0) {
        wait_us = Min(wait_us, left_us);
        continue;
      }
      slot.cancelled_us = now_us;
      kill(slot.pid, SIGINT);
      wait_us = Min(wait_us, kCancelGraceUs);
    } else if (!slot.is_terminated) {
      const int64 left_us = slot.cancelled_us + kCancelGraceUs - now_us;
      if (left_us > 0) {
        wait_us = Min(wait_us, left_us);
        continue;
      }
      slot.is_terminated = true;
      kill(slot.pid, SIGTERM);
    }
  }
  LWLockRelease(shared->lock);
  return wait_us / 1000 + 1;
}

// ---- starting ----

/// Free, or left behind in a database that has no scheduler (any more): should it get one again,
/// that finds the run in tsext.job_run. The lock is held.
bool IsAvailable(const JobSlot &slot) {
  if (slot.state == SlotState::kFree) return true;
  if (slot.state != SlotState::kGone) return false;
  const DatabaseSlot *database = FindDatabaseSlot(slot.database, false);
  return database == nullptr || database->pid == 0;
}

/// A background worker for the entry. False: none could be had.
bool StartJobWorker(Scheduler *scheduler, const Entry &entry) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  JobSlot *slot = nullptr;
  for (JobSlot &candidate : shared->jobs) {
    if (!IsAvailable(candidate)) continue;
    slot = &candidate;
    const uint32 generation = slot->generation + 1;
    *slot = JobSlot{};
    slot->generation = generation;
    slot->state = SlotState::kStarting;
    slot->database = MyDatabaseId;
    slot->owner = entry.owner;
    slot->job = entry.id;
    slot->registered_us = MonotonicMicroseconds();
    break;
  }
  LWLockRelease(shared->lock);
  if (slot == nullptr) return false;

  const bool is_compaction = entry.id == kCompactionJob;
  BackgroundWorker worker = is_compaction
                                ? DescribeWorker("tsext_compact_worker_main", "tsext compaction")
                                : DescribeWorker("tsext_job_worker_main", "tsext job worker");
  pg_snprintf(worker.bgw_name, BGW_MAXLEN, "%s, database %u", worker.bgw_type, MyDatabaseId);
  const int index = static_cast<int>(slot - shared->jobs);
  worker.bgw_main_arg = Int32GetDatum(index);
  memcpy(worker.bgw_extra, &slot->generation, sizeof slot->generation);
  BackgroundWorkerHandle *&handle = scheduler->handles[index];
  if (handle != nullptr) pfree(handle);  // of a worker that has left by itself
  handle = StartWorker(&worker);
  if (handle == nullptr) FreeSlot(scheduler, slot);
  return handle != nullptr;
}

void TellStarvation(Scheduler *scheduler, bool is_starved) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  scheduler->database->is_starved = is_starved;
  LWLockRelease(shared->lock);
  if (!is_starved) return;
  scheduler->must_retry = true;
  const int64 now_us = MonotonicMicroseconds();
  if (scheduler->starved_us != 0 && now_us - scheduler->starved_us < kStarvedLogUs) return;
  scheduler->starved_us = now_us;
  ereport(LOG, (errmsg("a due job of tsext must wait: no background worker slot is free"),
                errhint("Raise max_worker_processes.")));
}

/// Gives the job to an idle worker of its owner. Else, when there are as many workers as may be, an
/// idle one of another owner is sent home. `active` counts all workers but compaction's.
bool AssignToIdle(const Entry &entry, int *active) {
  *active = 0;
  bool assigned = false;
  JobSlot *dismissible = nullptr;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  for (JobSlot &slot : shared->jobs) {
    if (slot.state == SlotState::kFree || slot.database != MyDatabaseId) continue;
    *active += OidIsValid(slot.owner);
    if (slot.state != SlotState::kIdle || slot.has_result || assigned) continue;
    if (slot.owner == entry.owner) {
      slot.job = entry.id;
      slot.state = SlotState::kAssigned;
      if (slot.latch != nullptr) SetLatch(slot.latch);
      assigned = true;
    } else if (OidIsValid(slot.owner)) {
      dismissible = &slot;
    }
  }
  if (!assigned && OidIsValid(entry.owner) && *active >= max_job_workers &&
      dismissible != nullptr) {
    dismissible->state = SlotState::kLeaving;
    if (dismissible->latch != nullptr) SetLatch(dismissible->latch);
  }
  LWLockRelease(shared->lock);
  return assigned;
}

/// The job that has been due for longest, nullptr: none. is_full: only one of a worker of its own.
Entry *NextDue(Scheduler *scheduler, TimestampTz now, bool is_full) {
  Entry *due = nullptr;
  for (int i = 0; i < scheduler->count; i++) {
    Entry *entry = &scheduler->entries[i];
    if (!entry->scheduled || entry->is_running || entry->is_passed_over || entry->next_start > now)
      continue;
    if (is_full && OidIsValid(entry->owner)) continue;
    if (entry->id == kCompactionJob && !compact_background) continue;
    if (due == nullptr || entry->next_start < due->next_start) due = entry;
  }
  return due;
}

void StartDueJobs(Scheduler *scheduler) {
  const TimestampTz now = GetCurrentTimestamp();
  bool is_full = false;
  bool is_starved = false;
  for (int i = 0; i < scheduler->count; i++) scheduler->entries[i].is_passed_over = false;
  while (Entry *entry = NextDue(scheduler, now, is_full)) {
    entry->is_passed_over = true;
    int active;
    entry->is_running = AssignToIdle(*entry, &active);
    if (entry->is_running) continue;
    if (OidIsValid(entry->owner) && active >= max_job_workers) {
      // Once per round one worker makes room; its end wakes us.
      is_full = true;
      continue;
    }
    entry->is_running = StartJobWorker(scheduler, *entry);
    if (entry->is_running) continue;
    is_starved = true;
    break;
  }
  if (is_starved || scheduler->database->is_starved) TellStarvation(scheduler, is_starved);
}

int64 MillisecondsToNextStart(const Scheduler &scheduler) {
  const TimestampTz now = GetCurrentTimestamp();
  int64 wait_us = kReloadUs;
  for (int i = 0; i < scheduler.count; i++) {
    const Entry &entry = scheduler.entries[i];
    if (!entry.scheduled || entry.is_running) continue;
    if (entry.id == kCompactionJob && !compact_background) continue;
    // Due and still waiting: for a worker, whose end wakes us.
    if (entry.next_start > now) wait_us = Min(wait_us, entry.next_start - now);
  }
  return wait_us / 1000 + 1;
}

/// All workers of this database end when they have nothing to do.
void DismissWorkers() {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  for (JobSlot &slot : shared->jobs) {
    if (slot.state == SlotState::kFree || slot.database != MyDatabaseId) continue;
    if (slot.pid != 0) kill(slot.pid, SIGTERM);
    slot.job = 0;
    if (slot.state != SlotState::kStarting) continue;
    slot.generation++;
    slot.state = SlotState::kFree;
  }
  LWLockRelease(shared->lock);
}

/// One look at everything. Returns the milliseconds until the next, -1: the extension is gone.
int64 SchedulerRound(Scheduler *scheduler) {
  scheduler->must_retry = false;
  LWLockAcquire(shared->lock, LW_SHARED);
  const uint64 changes = scheduler->database->changes;
  LWLockRelease(shared->lock);
  const int64 now_us = MonotonicMicroseconds();
  if (ClockWasSet(scheduler)) scheduler->loaded_us = 0;
  if (changes != scheduler->seen_changes || scheduler->loaded_us == 0 ||
      now_us - scheduler->loaded_us >= kReloadUs) {
    if (!RunTransaction(LoadEntries, scheduler)) return kFailedLoadMs;
    if (!scheduler->extension_exists) return -1;
    if (scheduler->was_set_back) (void)RunTransaction(FollowClock, scheduler);
    scheduler->seen_changes = changes;
    scheduler->loaded_us = now_us;
  }
  CollectSlots(scheduler);
  Housekeep(scheduler);
  StartDueJobs(scheduler);
  const int64 wait_ms = Min(LimitRuntimes(scheduler), MillisecondsToNextStart(*scheduler));
  return scheduler->must_retry ? Min(wait_ms, kRetryMs) : wait_ms;
}

void SchedulerLoop(DatabaseSlot *database) {
  auto *scheduler =
      static_cast<Scheduler *>(MemoryContextAllocZero(TopMemoryContext, sizeof(Scheduler)));
  scheduler->database = database;
  scheduler->memory =
      AllocSetContextCreate(TopMemoryContext, "tsext scheduler round", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(scheduler->memory);
  for (;;) {
    const int64 wait_ms = SchedulerRound(scheduler);
    if (wait_ms < 0) break;
    MemoryContextReset(scheduler->memory);
    if (WaitForWork(wait_ms)) scheduler->loaded_us = 0;
  }
  DismissWorkers();
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  database->has_no_extension = true;
  LWLockRelease(shared->lock);
}

}  // namespace

}  // namespace tsext::pg

void tsext_scheduler_main(Datum argument) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the worker's entry point
  Enter([argument] {
    TakeWorkerSignals();
    if (shared == nullptr) proc_exit(0);
    DatabaseSlot *database = ClaimDatabaseSlot(DatumGetObjectId(argument));
    BackgroundWorkerInitializeConnectionByOid(database->database, InvalidOid, 0);
    SchedulerLoop(database);
  });
}

/// What the scheduler is doing with a job, NULL: nothing.
TSEXT_FUNCTION(tsext_job_activity) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  const int job_id = PG_GETARG_INT32(0);
  const bool is_due = PG_GETARG_BOOL(1);
  const char *activity = nullptr;
  if (shared == nullptr) {
    if (is_due) activity = "waits: tsext is not in shared_preload_libraries";
  } else {
    LWLockAcquire(shared->lock, LW_SHARED);
    for (const JobSlot &slot : shared->jobs) {
      if (slot.state == SlotState::kFree || slot.database != MyDatabaseId || slot.job != job_id ||
          slot.has_result)
        continue;
      activity = slot.state == SlotState::kRunning ? "running" : "starting";
    }
    const DatabaseSlot *database = FindDatabaseSlot(MyDatabaseId, false);
    if (activity == nullptr && is_due) {
      if (database == nullptr || database->pid == 0) {
        activity = RecoveryInProgress() ? "waits: this server is a standby"
                                        : "waits: no scheduler is running";
      } else if (database->is_starved) {
        activity = "waits: no background worker is free, raise max_worker_processes";
      } else {
        activity = "waits for a job worker";
      }
    }
    LWLockRelease(shared->lock);
  }
  if (activity == nullptr) PG_RETURN_NULL();
  PG_RETURN_TEXT_P(cstring_to_text(activity));
}
