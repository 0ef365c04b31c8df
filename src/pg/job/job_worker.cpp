// A worker that runs jobs of one owner in one database, connected as this role from its start:
// there is no other to fall back to. Its procedures may commit.

#include "pg/job/job_worker.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/base/transaction.hpp"
#include "pg/base/worker.hpp"
#include "pg/job/job_run.hpp"
#include "pg/job/job_table.hpp"
#include "pg/job/launcher.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/discard.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// Frequent jobs find a worker that is still there.
constexpr int kLingerMs = 5 * 1000;
// A job that somebody runs by hand is looked at again.
constexpr int kBusyRetryMs = 5 * 1000;
// What is tried to record the outcome of a run; a full disk and the like are waited for.
constexpr int kRecordAttempts = 5;
constexpr int kFirstPauseMs = 200;
constexpr int kLongestPauseMs = 10 * 1000;

/// One run.
struct Run {
  JobSlot *slot;
  MemoryContext memory;  // lives until the run is recorded
  Job *job;
  bool is_locked;
  JobRun record;
  TimestampTz next_start;
};

/// Why a run does not take place is seen from job == nullptr: the job is gone, paused, another's,
/// or it runs in a session.
void BeginRun(void *argument) {
  auto *run = static_cast<Run *>(argument);
  const int job_id = run->slot->job;
  run->next_start = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kBusyRetryMs);
  if (!TryLockJob(job_id)) return;  // somebody is changing it
  MemoryContext caller = MemoryContextSwitchTo(run->memory);
  Job *job = FindJob(job_id);
  MemoryContextSwitchTo(caller);
  if (job == nullptr || !job->scheduled || job->owner != GetSessionUserId()) return;
  if (!TryLockRun(job_id, true)) return;
  run->is_locked = true;
  JobRun *record = &run->record;
  record->job = job->id;
  record->job_name = job->name;
  record->owner = MemoryContextStrdup(run->memory, GetUserNameFromId(job->owner, false));
  record->pid = MyProcPid;
  record->started = GetCurrentTimestamp();
  record->outcome = "running";
  record->rows = -1;
  // Flushed, though not waited for on standbys: a job that takes the server down with it would not
  // be known to have run, and be due again at once, for ever.
  (void)set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
                          GUC_ACTION_LOCAL, true, 0, false);
  InsertJobRun(record);
  JobState state = FindJobState(job_id);
  record->planned_next = state.next_start;
  state.last_start = record->started;
  WriteJobState(state);
  run->job = job;
}

/// CALL or SELECT as a client's statement would be run, in a portal of its own: so the procedure
/// may commit.
void CallProcedure(void *argument) {
  auto *run = static_cast<Run *>(argument);
  StopPoint("job_before_run");
  MemoryContextSwitchTo(run->memory);
  const char *statement = RunStatement(*run->job);
  debug_query_string = statement;
  pgstat_report_activity(STATE_RUNNING, statement);
  auto *parsed = linitial_node(RawStmt, pg_parse_query(statement));
  PushActiveSnapshot(GetTransactionSnapshot());
  List *queries = pg_analyze_and_rewrite_fixedparams(parsed, statement, nullptr, 0, nullptr);
  List *plans = pg_plan_queries(queries, statement, CURSOR_OPT_PARALLEL_OK, nullptr);
  PopActiveSnapshot();
  Portal portal = CreatePortal("", true, true);
  portal->visible = false;
  PortalDefineQuery(portal, nullptr, statement, CreateCommandTag(parsed->stmt), plans, nullptr);
  PortalStart(portal, nullptr, 0, InvalidSnapshot);
  PortalRun(portal, FETCH_ALL, true, true, None_Receiver, None_Receiver, nullptr);
  PortalDrop(portal, false);
}

/// nullptr: it has succeeded and is committed. Else the error, in run->memory.
const ErrorData *TryProcedure(Run *run) {
  MemoryContextSwitchTo(run->memory);
  const ErrorData *error = TryUtility(CallProcedure, run);
  debug_query_string = nullptr;
  pgstat_report_activity(STATE_IDLE, nullptr);
  return error;
}

void DescribeOutcome(Run *run, const ErrorData *error) {
  JobRun *record = &run->record;
  record->outcome = "succeeded";
  record->rows = TakeReportedRows();
  if (error == nullptr) return;
  record->outcome = "failed";
  record->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
  record->message = ShortMessage(error->message != nullptr ? error->message : "");
  if (error->sqlerrcode == ERRCODE_QUERY_CANCELED) {
    const bool is_timeout = run->slot->cancelled_us != 0;
    record->outcome = is_timeout ? "timed out" : "cancelled";
    if (is_timeout) record->message = "the run took longer than max_runtime and was canceled";
  }
  ereport(LOG,
          (errcode(error->sqlerrcode),
           errmsg("job %d \"%s\" %s: %s", record->job, record->job_name, record->outcome,
                  record->message),
           error->detail != nullptr ? errdetail_internal("%s", ShortMessage(error->detail)) : 0,
           error->context != nullptr ? errcontext("%s", ShortMessage(error->context)) : 0));
}

void EndRun(void *argument) {
  auto *run = static_cast<Run *>(argument);
  StopPoint("job_recording");
  LockJob(run->record.job);
  Job *job = FindJob(run->record.job);
  if (job == nullptr) {  // deleted meanwhile
    FinishJobRun(run->record);
    run->next_start = 0;
    return;
  }
  JobRun record = run->record;  // this may be tried again
  SettleRun(job, &record);
  run->next_start = FindJobState(job->id).next_start;
}

void Pause(int milliseconds) {
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                  PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  HandleWorkerSignals();
}

/// Until it is recorded the job does not run again, so that every run is accounted for.
void RecordOutcome(Run *run) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  run->slot->is_over = true;
  LWLockRelease(shared->lock);
  int pause_ms = kFirstPauseMs;
  for (int attempt = 1;; attempt++) {
    QueryCancelPending = false;
    ErrorData *error = TryTransaction(EndRun, run);
    if (error == nullptr) return;
    const bool tries_again = MayPass(error) || attempt < kRecordAttempts;
    ereport(LOG, (errcode(error->sqlerrcode),
                  errmsg("could not record the outcome of job %d \"%s\": %s", run->record.job,
                         run->record.job_name, error->message),
                  tries_again ? errdetail("It is tried again.") : 0));
    FreeErrorData(error);
    if (!tries_again) return;
    Pause(pause_ms);
    pause_ms = Min(pause_ms * 2, kLongestPauseMs);
  }
}

/// What the procedure has set must not meet what is done on behalf of the server (lock_timeout).
void ResetSettings(void *) {
  SetPGVariable("session_authorization", NIL, false);
  ResetAllOptions();
}

void StopAfterRun(void *) {
  StopPoint("job_after_run");
}

void StopAfterRecord(void *) {
  StopPoint("job_after_record");
}

void DiscardSession(void *) {
  StopPoint("job_discard");
  DiscardStmt statement{};
  statement.type = T_DiscardStmt;
  statement.target = DISCARD_ALL;
  DiscardCommand(&statement, true);
}

void Leave(JobSlot *slot) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  slot->state = SlotState::kLeaving;
  LWLockRelease(shared->lock);
}

TimestampTz RunSlotJob(JobSlot *slot, void *) {
  Run run{};
  run.slot = slot;
  run.memory = AllocSetContextCreate(TopMemoryContext, "tsext job", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(run.memory);
  const int job_id = slot->job;
  // By somebody, while the worker was idle: not meant for this job.
  QueryCancelPending = false;
  const bool began = RunTransaction(BeginRun, &run);
  if (began && run.job != nullptr) {
    (void)TakeReportedRows();
    MarkRunStarted(slot, run.record.started, run.record.id);
    OwnRun own_run{job_id, nullptr};
    own_runs = &own_run;
    const ErrorData *error = TryProcedure(&run);
    own_runs = nullptr;
    (void)RunTransaction(StopAfterRun, nullptr);
    QueryCancelPending = false;
    DescribeOutcome(&run, error);
    run.record.finished = GetCurrentTimestamp();
    (void)RunTransaction(ResetSettings, nullptr);
    RecordOutcome(&run);
    (void)RunTransaction(StopAfterRecord, nullptr);
  }
  if (run.is_locked) UnlockRun(job_id);
  // A session that cannot be cleaned is not used again.
  if (began && run.job != nullptr && !RunUtility(DiscardSession, nullptr)) Leave(slot);
  MemoryContextSwitchTo(TopMemoryContext);
  MemoryContextDelete(run.memory);
  return run.next_start;
}

int LingerMs() {
  return kLingerMs;
}

}  // namespace

void HandleWorkerSignals() {
  QueryCancelPending = false;  // there is nothing to cancel here
  CHECK_FOR_INTERRUPTS();
  (void)TakeNewConfiguration();
}

void MarkRunStarted(JobSlot *slot, TimestampTz started, int64 run) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  slot->run = run;
  slot->started = started;
  slot->started_us = MonotonicMicroseconds();
  LWLockRelease(shared->lock);
}

JobSlot *BeginJobWorker(Datum argument) {
  TakeWorkerSignals();
  if (shared == nullptr) proc_exit(0);
  JobSlot *slot = ClaimJobSlot(argument);
  BackgroundWorkerInitializeConnectionByOid(slot->database, slot->owner, 0);
  return slot;
}

void JobWorkerLoop(JobSlot *slot, RunJobFunction run, void *state, int (*linger_ms)()) {
  int64 idle_since_us = MonotonicMicroseconds();
  for (;;) {
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    const bool has_job = slot->state == SlotState::kAssigned;
    const int64 idle_ms = (MonotonicMicroseconds() - idle_since_us) / 1000;
    if (has_job) {
      slot->state = SlotState::kRunning;
      slot->sqlstate = 0;
      slot->message[0] = '\0';
    } else if (slot->state == SlotState::kIdle && idle_ms >= linger_ms()) {
      slot->state = SlotState::kLeaving;
    }
    const bool leaves = slot->state == SlotState::kLeaving;
    LWLockRelease(shared->lock);
    if (leaves) return;
    if (has_job) {
      const TimestampTz next_start = run(slot, state);
      LWLockAcquire(shared->lock, LW_EXCLUSIVE);
      slot->next_start = next_start;
      slot->has_result = true;
      if (slot->state == SlotState::kRunning) slot->state = SlotState::kIdle;
      if (DatabaseSlot *database = FindDatabaseSlot(slot->database, false);
          database != nullptr && database->latch != nullptr)
        SetLatch(database->latch);
      LWLockRelease(shared->lock);
      idle_since_us = MonotonicMicroseconds();
    } else {
      (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                      Max(linger_ms() - idle_ms, 1), PG_WAIT_EXTENSION);
      ResetLatch(MyLatch);
    }
    HandleWorkerSignals();
  }
}

}  // namespace tsext::pg

void tsext_job_worker_main(Datum argument) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the worker's entry point
  Enter([argument] { JobWorkerLoop(BeginJobWorker(argument), RunSlotJob, nullptr, LingerMs); });
}
