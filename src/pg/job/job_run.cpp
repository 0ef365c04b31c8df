#include "pg/job/job_run.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/base/transaction.hpp"
#include "pg/job/job.hpp"
#include "pg/job/launcher.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

OwnRun *own_runs = nullptr;

namespace {

int64 reported_rows = -1;

/// As an advisory lock, which rollbacks leave alone, but in a key space of its own. No look-up: it
/// is given back outside of transactions.
LOCKTAG RunTag(int job_id) {
  constexpr uint32 kJobRuns = 0x74736578;
  constexpr uint16 kKeySpace = 0x7453;
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, kJobRuns, static_cast<uint32>(job_id), kKeySpace);
  return tag;
}

/// InvalidOid: there is none (any more).
Oid ProcedureOf(const Job &job) {
  const Oid arguments[] = {INT4OID, JSONBOID};
  const Oid schema = LookupExplicitNamespace(job.proc_schema, true);
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(job.proc_name),
                         PointerGetDatum(buildoidvector(arguments, 2)), ObjectIdGetDatum(schema));
}

}  // namespace

bool TryLockRun(int job_id, bool for_session) {
  const LOCKTAG tag = RunTag(job_id);
  const LockAcquireResult result = LockAcquire(&tag, ExclusiveLock, for_session, true);
  if (result == LOCKACQUIRE_NOT_AVAIL) return false;
  if (result == LOCKACQUIRE_OK || !for_session) return true;
  LockRelease(&tag, ExclusiveLock, true);  // the job calls itself
  return false;
}

void UnlockRun(int job_id) {
  const LOCKTAG tag = RunTag(job_id);
  // The job may have released all advisory locks.
  if (LockHeldByMe(&tag, ExclusiveLock)) LockRelease(&tag, ExclusiveLock, true);
}

char *RunStatement(const Job &job) {
  const Oid procedure = ProcedureOf(job);
  const char *name = quote_qualified_identifier(job.proc_schema, job.proc_name);
  if (!OidIsValid(procedure)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                    errmsg("procedure %s(job_id integer, config jsonb) of job %d does not exist",
                           name, job.id),
                    errhint("Create it again, or delete the job with delete_job(%d).", job.id)));
  }
  const char *verb = get_func_prokind(procedure) == PROKIND_PROCEDURE ? "CALL" : "SELECT";
  const char *config =
      job.config == nullptr
          ? "NULL"
          : quote_literal_cstr(JsonbToCString(nullptr, &job.config->root, VARSIZE(job.config)));
  return psprintf("%s %s(%d, %s::pg_catalog.jsonb)", verb, name, job.id, config);
}

bool ClockWasSetBack(const JobState &state, TimestampTz now) {
  constexpr int64 kTolerance = 2 * USECS_PER_SEC;
  return state.last_finish > now + kTolerance;
}

StartSearch SearchFrom(const Job &job, const JobState &state, TimestampTz now) {
  const bool has_run_later =
      ClockWasSetBack(state, now) && state.last_finish >= job.schedule.initial_start;
  return {job.schedule, now, StartSearch::kFirst, has_run_later, 0};
}

TimestampTz StartAfterSetBack(const Job &job, const JobState &state, const StartSearch &search) {
  TimestampTz start = Min(state.next_start, search.start);
  if (state.consecutive_failures > 0) {
    const int64 delay =
        RetryDelay(job.retry_period, job.schedule.interval, state.consecutive_failures);
    start = Min(start, search.from + delay);
  }
  return start;
}

bool MayPass(const ErrorData *error) {
  const int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
  return category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_SYSTEM_ERROR;
}

char *ShortMessage(const char *message) {
  constexpr int kMaxBytes = 2000;
  const int length = static_cast<int>(strlen(message));
  // Also one that was cut inside of a character.
  return pnstrdup(message, pg_mbcliplen(message, length, Min(length, kMaxBytes)));
}

void SettleRun(Job *job, JobRun *run) {
  JobState state = FindJobState(job->id);
  StartSearch search = SearchFrom(*job, state, run->finished);
  search.kind = StartSearch::kNext;
  const ErrorData *error = TrySubtransaction(FindStart, &search);
  if (error != nullptr && strcmp(run->outcome, "succeeded") == 0) {
    run->outcome = "failed";
    run->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
    run->message = psprintf("the job has no next start: %s", error->message);
  }
  bool job_changed = search.has_run_later && error == nullptr;
  if (job_changed) job->schedule.initial_start = search.schedule.initial_start;
  if (run->id == 0) {
    InsertJobRun(run);
  } else {
    FinishJobRun(*run);
  }
  const TimestampTz wish = run->planned_next != 0 ? state.next_start : 0;
  const bool is_wished = wish != 0 && wish != run->planned_next;
  const bool succeeded = strcmp(run->outcome, "succeeded") == 0;
  const bool crashed = strcmp(run->outcome, "crashed") == 0;
  state.last_start = run->started;
  state.last_finish = run->finished;
  state.last_outcome = run->outcome;
  state.runs++;
  if (succeeded) {
    state.last_success = run->finished;
    state.consecutive_failures = 0;
    state.next_start = search.start;
  } else {
    state.failures++;
    state.crashes += crashed;
    state.consecutive_failures++;
    // The first crash is taken for somebody else's fault.
    const int failures = state.consecutive_failures - crashed;
    state.next_start = run->finished;
    if (failures > 0)
      state.next_start += RetryDelay(job->retry_period, job->schedule.interval, failures);
    if (job->max_retries >= 0 && state.consecutive_failures > job->max_retries && job->scheduled) {
      job->scheduled = false;
      job_changed = true;
      ereport(LOG, (errmsg("job %d \"%s\" is paused after %d failed runs", job->id, job->name,
                           state.consecutive_failures),
                    errhint("Start it again with alter_job(%d, scheduled => true).", job->id)));
    }
  }
  if (job_changed) {
    UpdateJob(job);
    WakeSchedulerAtCommit();
  }
  if (is_wished) state.next_start = wish;
  WriteJobState(state);
}

int64 TakeReportedRows() {
  const int64 rows = reported_rows;
  reported_rows = -1;
  return rows;
}

void ReportJobRows(int64 rows) {
  reported_rows = Max(reported_rows, 0) + rows;
}

}  // namespace tsext::pg

namespace {

using namespace tsext::pg;  // NOLINT(google-build-using-namespace)

void Execute(const char *statement, bool atomic) {
  SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
  SPIExecuteOptions options{};
  options.allow_nonatomic = !atomic;
  const int result = SPI_execute_extended(statement, &options);
  if (result < 0) elog(ERROR, "could not run a job: %s", SPI_result_code_string(result));
  SPI_finish();
}

bool IsOwnRun(int job_id) {
  const OwnRun *run = own_runs;
  while (run != nullptr && run->job != job_id) run = run->outer;
  return run != nullptr;
}

/// The job, which the current user may run. In this session the procedure has the caller's rights:
/// they must not be more than the owner's, who may have it do anything. The extension's own
/// procedures see to rights themselves.
const Job *JobToRun(int job_id) {
  const Job *job = FindJob(job_id);
  if (job == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("job %d does not exist", job_id),
                    errhint("The view tsext.jobs lists the jobs.")));
  }
  const char *owner = GetUserNameFromId(job->owner, true);
  if (owner == nullptr) owner = "";
  if (!is_member_of_role(GetUserId(), job->owner)) {
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of job %d", job->id),
             errdetail("Its owner is role \"%s\".", owner)));
  }
  if (is_member_of_role(job->owner, GetUserId())) return job;
  const Oid procedure = ProcedureOf(*job);
  if (OidIsValid(procedure) &&
      getExtensionOfObject(ProcedureRelationId, procedure) == get_extension_oid("tsext", false))
    return job;
  ereport(ERROR,
          (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
           errmsg("cannot run job %d of role \"%s\" with the rights of role \"%s\"", job->id, owner,
                  GetUserNameFromId(GetUserId(), false)),
           errdetail("A procedure that run_job() calls has the caller's rights, and this one may "
                     "have been written to abuse them."),
           errhint("Let a worker run it as its owner: SELECT alter_job(%d, next_start => now()).",
                   job->id)));
  pg_unreachable();
}

/// A run by hand that has gone well. Its failure is the caller's to see and is rolled back with
/// everything else.
void RecordRunByHand(const Job &job, TimestampTz started) {
  LockJob(job.id);
  Job *current = FindJob(job.id);
  if (current == nullptr) return;
  JobRun run{};
  run.job = job.id;
  run.job_name = current->name;
  run.owner = GetUserNameFromId(current->owner, false);
  run.pid = MyProcPid;
  run.started = started;
  run.finished = GetCurrentTimestamp();
  run.outcome = "succeeded";
  run.rows = TakeReportedRows();
  InsertJobRun(&run);
  JobState state = FindJobState(job.id);
  if (ClockWasSetBack(state, run.finished)) {
    StartSearch search = SearchFrom(*current, state, run.finished);
    FindStart(&search);
    state.next_start = StartAfterSetBack(*current, state, search);
    current->schedule.initial_start = search.schedule.initial_start;
    UpdateJob(current);
  }
  state.last_start = started;
  state.last_finish = state.last_success = run.finished;
  state.last_outcome = run.outcome;
  state.runs++;
  state.consecutive_failures = 0;
  WriteJobState(state);
  WakeSchedulerAtCommit();
}

/// A run by hand whose lock has been taken: it ends with this object.
class LockedRun {
 public:
  LockedRun(int job_id, bool for_session) : run_{job_id, own_runs}, for_session_(for_session) {
    own_runs = &run_;
  }
  ~LockedRun() {
    own_runs = run_.outer;
    if (for_session_) UnlockRun(run_.job);
  }
  LockedRun(const LockedRun &) = delete;
  LockedRun &operator=(const LockedRun &) = delete;

 private:
  OwnRun run_;
  bool for_session_;
};

void RunLocked(int job_id, bool atomic, TimestampTz started) {
  const LockedRun run(job_id, !atomic);
  Guard([&] {
    MemoryContext run_memory = CurrentMemoryContext;
    (void)TakeReportedRows();
    // As it is now that nobody else runs it.
    const Job *job = JobToRun(job_id);
    const char *statement = RunStatement(*job);
    StopPoint("job_before_run");
    Execute(statement, atomic);
    StopPoint("job_after_run");
    MemoryContextSwitchTo(run_memory);
    RecordRunByHand(*job, started);
    StopPoint("job_after_record");
  });
}

}  // namespace

TSEXT_FUNCTION(tsext_run_job) {
  if (PG_ARGISNULL(0)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("job_id must not be NULL")));
  }
  RefuseReadOnly("run_job()");
  const bool atomic = IsAtomicCall(fcinfo);
  const int job_id = PG_GETARG_INT32(0);
  (void)JobToRun(job_id);
  const TimestampTz started = GetCurrentTimestamp();
  // Within one transaction the lock can be taken again, by the run itself, too.
  if (IsOwnRun(job_id) || !TryLockRun(job_id, !atomic)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("job %d is running", job_id),
                    errhint("See the view tsext.job_runs for its process.")));
  }
  // Transactions end while the job runs: what is needed after it lives longer.
  MemoryContext run_memory =
      AllocSetContextCreate(PortalContext, "tsext run_job", ALLOCSET_SMALL_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(run_memory);
  RunLocked(job_id, atomic, started);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(run_memory);
  PG_RETURN_VOID();
}
