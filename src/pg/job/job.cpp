#include "pg/job/job.hpp"

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/base/utility.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/job/job_run.hpp"
#include "pg/job/job_table.hpp"
#include "pg/job/launcher.hpp"
#include "pg/job/schedule.hpp"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr int kDefaultRetryMinutes = 5;

object_access_hook_type previous_object_access = nullptr;

/// CALL must name the OUT arguments of a procedure, too.
bool WantsMoreInCall(HeapTuple procedure) {
  if (reinterpret_cast<Form_pg_proc>(GETSTRUCT(procedure))->prokind != PROKIND_PROCEDURE)
    return false;
  Oid *types;
  char **names;
  char *modes;
  const int count = get_func_arg_info(procedure, &types, &names, &modes);
  return modes != nullptr && memchr(modes, PROARGMODE_OUT, count) != nullptr;
}

/// What a procedure must look like. Raises unless it does and the current user may execute it.
void CheckProcedure(Oid procedure, const char *role_of_it, int argument_count, const Oid *arguments,
                    const char *form, char **schema, char **name) {
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(procedure));
  if (!HeapTupleIsValid(tuple)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                    errmsg("%s with OID %u does not exist", role_of_it, procedure)));
  }
  const auto *form_proc = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  bool matches = form_proc->pronargs == argument_count &&
                 (form_proc->prokind == PROKIND_PROCEDURE ||
                  (form_proc->prokind == PROKIND_FUNCTION && !form_proc->proretset));
  for (int i = 0; matches && i < argument_count; i++)
    matches = form_proc->proargtypes.values[i] == arguments[i];
  matches = matches && !WantsMoreInCall(tuple);
  *schema = get_namespace_name(form_proc->pronamespace);
  *name = pstrdup(NameStr(form_proc->proname));
  ReleaseSysCache(tuple);
  if (!matches) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("%s \"%s.%s\" has the wrong form", role_of_it, *schema, *name),
             errdetail("It is %s.", format_procedure(procedure)),
             errhint("It must be a procedure %s without OUT arguments, or such a function that "
                     "returns no set.",
                     form)));
  }
  if (!TsextMayExecute(procedure, GetUserId())) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("permission denied for %s \"%s.%s\"", role_of_it, *schema, *name),
                    errhint("The owner of a job needs the EXECUTE privilege on it.")));
  }
}

void CheckJobProcedure(Oid procedure, char **schema, char **name) {
  const Oid arguments[] = {INT4OID, JSONBOID};
  CheckProcedure(procedure, "job procedure", 2, arguments, "(job_id integer, config jsonb)", schema,
                 name);
}

/// Asks the function. It is the owner's: whoever changes the job runs it with the owner's rights.
void CheckConfig(Oid owner, Oid function, Jsonb *config, char **schema, char **name) {
  const Oid arguments[] = {JSONBOID};
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  // An error restores the user as it ends the (sub)transaction.
  if (user != owner) SetUserIdAndSecContext(owner, context | SECURITY_RESTRICTED_OPERATION);
  const int settings = NewGUCNestLevel();
  CheckProcedure(function, "check function", 1, arguments, "(config jsonb)", schema, name);
  if (get_func_prokind(function) == PROKIND_PROCEDURE) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("check function \"%s.%s\" is a procedure", *schema, *name),
                    errhint("Make it a function that raises an error for a wrong config.")));
  }
  if (config != nullptr) (void)OidFunctionCall1(function, JsonbPGetDatum(config));
  AtEOXact_GUC(false, settings);
  SetUserIdAndSecContext(user, context);
}

void CheckSchedule(const Schedule &schedule, TimestampTz now) {
  CheckInterval("schedule_interval", schedule.interval, false);
  if (schedule.timezone != nullptr) CheckTimezone(schedule.timezone);
  if (schedule.has_initial_start && TIMESTAMP_NOT_FINITE(schedule.initial_start)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("initial_start must be a finite time")));
  }
  (void)NextStart(schedule, now);  // raises when there is none
}

void CheckRetries(int max_retries) {
  if (max_retries >= -1) return;
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_retries must not be less than -1"),
           errhint("-1 means that failed runs are retried for ever.")));
}

bool IsZero(const Interval &interval) {
  return interval.month == 0 && interval.day == 0 && interval.time == 0;
}

Interval DefaultRetryPeriod(const Interval &schedule_interval) {
  Interval period{};
  period.time = kDefaultRetryMinutes * USECS_PER_MINUTE;
  return IntervalMicroseconds(schedule_interval) < period.time ? schedule_interval : period;
}

/// Raises unless the current user may change and run the job.
void CheckOwner(const Job &job) {
  if (is_member_of_role(GetUserId(), job.owner)) return;
  ereport(ERROR,
          (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of job %d", job.id),
           errdetail("Its owner is role \"%s\".", GetUserNameFromId(job.owner, false))));
}

/// The job, locked and the current user's; nullptr when there is none and that is allowed.
Job *JobToChange(int job_id, bool may_be_missing) {
  LockJob(job_id);
  Job *job = FindJob(job_id);
  if (job == nullptr) {
    if (!may_be_missing) {
      ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("job %d does not exist", job_id),
                      errhint("The view tsext.jobs lists the jobs.")));
    }
    ereport(NOTICE, (errmsg("job %d does not exist, skipping", job_id)));
    return nullptr;
  }
  CheckOwner(*job);
  return job;
}

bool SameConfig(Jsonb *a, Jsonb *b) {
  if (a == nullptr || b == nullptr) return a == b;
  return compareJsonbContainers(&a->root, &b->root) == 0;
}

bool SameInterval(const Interval &a, const Interval &b) {
  return a.month == b.month && a.day == b.day && a.time == b.time;
}

/// The id of the job of this procedure for this relation; nullptr: none.
Job *FindPolicyJob(const char *proc_name, Oid relation) {
  ListCell *cell;
  foreach (cell, LoadJobs()) {
    auto *job = static_cast<Job *>(lfirst(cell));
    if (job->relation == relation && strcmp(job->proc_name, proc_name) == 0) return job;
  }
  return nullptr;
}

// ---- jobs go with what they belong to ----

Oid OwnerInCache(Oid relation) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return InvalidOid;
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return owner;
}

/// As the command under way has written it.
Oid OwnerInCatalog(Oid relation) {
  Relation catalog = table_open(RelationRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
  SysScanDesc scan = systable_beginscan(catalog, ClassOidIndexId, true, SnapshotSelf, 1, &key);
  HeapTuple tuple = systable_getnext(scan);
  const Oid owner = HeapTupleIsValid(tuple)
                        ? reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner
                        : InvalidOid;
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return owner;
}

/// Policies run as the owner of their relation. The cache hears of ALTER … OWNER TO only after the
/// command.
void JobsFollowRelation(Oid relation) {
  const Oid owner = OwnerInCatalog(relation);
  if (!OidIsValid(owner) || owner == OwnerInCache(relation)) return;
  if (GiveJobsOfRelation(relation, owner) > 0) WakeSchedulerAtCommit();
}

void ObjectAccessed(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
                    void *argument) {
  if (previous_object_access != nullptr)
    previous_object_access(access, class_id, object_id, sub_id, argument);
  if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0) {
    Enter([&] {
      if (DeleteJobsOfRelation(object_id) > 0) WakeSchedulerAtCommit();
    });
  }
  if (access == OAT_DROP && class_id == ExtensionRelationId) WakeSchedulerAtCommit();
  if (access == OAT_POST_ALTER && class_id == RelationRelationId && sub_id == 0)
    Enter([&] { JobsFollowRelation(object_id); });
}

Oid RoleOf(Node *role) {
  return get_rolespec_oid(castNode(RoleSpec, role), true);
}

void JobsFollowOwner(Node *statement) {
  ListCell *cell;
  int count = 0;
  if (IsA(statement, DropOwnedStmt)) {
    foreach (cell, castNode(DropOwnedStmt, statement)->roles)
      count += DeleteJobsOfOwner(RoleOf(static_cast<Node *>(lfirst(cell))));
  } else {
    auto *reassign = castNode(ReassignOwnedStmt, statement);
    const Oid to = get_rolespec_oid(reassign->newrole, false);
    foreach (cell, reassign->roles)
      count += ReassignJobs(RoleOf(static_cast<Node *>(lfirst(cell))), to);
  }
  if (count == 0) return;
  CommandCounterIncrement();
  WakeSchedulerAtCommit();
}

/// DROP OWNED and REASSIGN OWNED know nothing of jobs. Comes before the command checks what the
/// caller may do: when that fails, this is rolled back too.
void RunOwned(Utility utility) {
  if (IsA(utility.Parsed(), DropOwnedStmt) || IsA(utility.Parsed(), ReassignOwnedStmt))
    JobsFollowOwner(utility.Parsed());
  utility.Run();
}

}  // namespace

int AddJob(const NewJob &job) {
  const TimestampTz now = GetCurrentTimestamp();
  Job row{};
  row.owner = GetUserId();
  row.proc_schema = pstrdup(job.proc_schema);
  row.proc_name = pstrdup(job.proc_name);
  row.relation = job.relation;
  row.schedule = {job.schedule_interval, job.fixed_schedule,
                  job.has_initial_start || job.fixed_schedule,
                  job.has_initial_start ? job.initial_start : now, job.timezone};
  CheckSchedule(row.schedule, now);
  CheckInterval("max_runtime", job.max_runtime, true);
  CheckInterval("retry_period", job.retry_period, true);
  CheckRetries(job.max_retries);
  row.max_runtime = job.max_runtime;
  row.max_retries = job.max_retries;
  row.retry_period =
      IsZero(job.retry_period) ? DefaultRetryPeriod(job.schedule_interval) : job.retry_period;
  row.scheduled = job.scheduled;
  row.config = job.config;
  if (OidIsValid(job.check_config))
    CheckConfig(row.owner, job.check_config, job.config, &row.check_schema, &row.check_name);

  row.id = static_cast<int>(nextval_internal(CatalogRelation("job_id"), false));
  row.name = job.name != nullptr ? pstrdup(job.name) : psprintf("%s [%d]", job.proc_name, row.id);
  InsertJob(&row);
  JobState state{};
  state.job = row.id;
  // At once, unless the schedule begins later; a beginning in the past sets the grid only.
  state.next_start = job.has_initial_start ? FirstStart(row.schedule, now) : now;
  WriteJobState(state);
  WakeSchedulerAtCommit();
  return row.id;
}

int FindPolicy(const char *proc_name, Oid relation) {
  const Job *job = FindPolicyJob(proc_name, relation);
  return job == nullptr ? 0 : job->id;
}

void DeleteJob(int job_id) {
  LockJob(job_id);
  Job *job = FindJob(job_id);
  if (job == nullptr) return;
  DeleteJobRow(job);
  WakeSchedulerAtCommit();
}

int CheckNewPolicy(const NewJob &job, bool if_not_exists) {
  const Job *present = FindPolicyJob(job.proc_name, job.relation);
  if (present == nullptr) return 0;
  const bool is_equal =
      SameConfig(present->config, job.config) &&
      SameInterval(present->schedule.interval, job.schedule_interval) &&
      present->schedule.fixed == job.fixed_schedule &&
      strcmp(present->schedule.timezone != nullptr ? present->schedule.timezone : "",
             job.timezone != nullptr ? job.timezone : "") == 0;
  const char *relation = get_rel_name(job.relation);
  if (!is_equal && !if_not_exists) {
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
                    errmsg("\"%s\" has such a policy with other settings", relation),
                    errdetail("It is job %d, \"%s\".", present->id, present->name),
                    errhint("Change it with alter_job(), or remove it first.")));
  }
  ereport(is_equal ? NOTICE : WARNING,
          (errmsg(is_equal ? "\"%s\" already has such a policy, skipping"
                           : "\"%s\" already has such a policy with other settings, skipping",
                  relation),
           is_equal ? 0 : errdetail("It is job %d, \"%s\".", present->id, present->name),
           is_equal ? 0 : errhint("Change it with alter_job(), or remove it first.")));
  return present->id;
}

void InitJobs() {
  previous_object_access = object_access_hook;
  object_access_hook = ObjectAccessed;
  HookUtility<RunOwned>();
  SetRowsRefreshedFunction(ReportJobRows);
}

}  // namespace tsext::pg

namespace {

using namespace tsext::pg;  // NOLINT(google-build-using-namespace)

[[noreturn]] void ReportNull(const char *argument) {
  ereport(ERROR,
          (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", argument)));
  pg_unreachable();
}

char *TextArgument(FunctionCallInfo fcinfo, int i) {
  return PG_ARGISNULL(i) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/// What alter_job() returns.
void PutJob(FunctionCallInfo fcinfo, const Job &job, TimestampTz next_start) {
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  Interval interval = job.schedule.interval;
  Interval max_runtime = job.max_runtime;
  Interval retry_period = job.retry_period;
  const char *check = job.check_name == nullptr
                          ? nullptr
                          : quote_qualified_identifier(job.check_schema, job.check_name);
  auto text_datum = [](const char *text) {
    return text == nullptr ? Datum(0) : PointerGetDatum(cstring_to_text(text));
  };
  Datum values[] = {Int32GetDatum(job.id),
                    IntervalPGetDatum(&interval),
                    IntervalPGetDatum(&max_runtime),
                    Int32GetDatum(job.max_retries),
                    IntervalPGetDatum(&retry_period),
                    BoolGetDatum(job.scheduled),
                    JsonbPGetDatum(job.config),
                    TimestampTzGetDatum(next_start),
                    text_datum(check),
                    BoolGetDatum(job.schedule.fixed),
                    TimestampTzGetDatum(job.schedule.initial_start),
                    text_datum(job.schedule.timezone),
                    text_datum(job.name)};
  bool nulls[] = {false,
                  false,
                  false,
                  false,
                  false,
                  false,
                  job.config == nullptr,
                  next_start == 0,
                  check == nullptr,
                  false,
                  !job.schedule.has_initial_start,
                  job.schedule.timezone == nullptr,
                  false};
  tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/// The arguments of alter_job() that are not NULL, put into the job. Returns whether its grid is
/// another.
bool AlterSchedule(FunctionCallInfo fcinfo, Job *job, TimestampTz now) {
  const bool changed =
      !PG_ARGISNULL(1) || !PG_ARGISNULL(10) || !PG_ARGISNULL(11) || !PG_ARGISNULL(12);
  if (!changed) return false;
  if (job->id == kCompactionJob) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot change the schedule of job %d", job->id),
                    errdetail("Compaction follows the setting tsext.compact_naptime.")));
  }
  if (!PG_ARGISNULL(1)) job->schedule.interval = *PG_GETARG_INTERVAL_P(1);
  if (!PG_ARGISNULL(10)) job->schedule.fixed = PG_GETARG_BOOL(10);
  if (!PG_ARGISNULL(11)) {
    job->schedule.has_initial_start = true;
    job->schedule.initial_start = PG_GETARG_TIMESTAMPTZ(11);
  } else if (job->schedule.fixed && !job->schedule.has_initial_start) {
    job->schedule.has_initial_start = true;
    job->schedule.initial_start = now;
  }
  if (!PG_ARGISNULL(12)) job->schedule.timezone = TextArgument(fcinfo, 12);
  CheckSchedule(job->schedule, now);
  return true;
}

}  // namespace

TSEXT_FUNCTION(tsext_add_job) {
  if (PG_ARGISNULL(0)) ReportNull("proc");
  if (PG_ARGISNULL(1)) ReportNull("schedule_interval");
  RefuseReadOnly("add_job()");
  NewJob job;
  char *schema;
  char *name;
  CheckJobProcedure(PG_GETARG_OID(0), &schema, &name);
  job.proc_schema = schema;
  job.proc_name = name;
  job.schedule_interval = *PG_GETARG_INTERVAL_P(1);
  if (!PG_ARGISNULL(2)) job.config = PG_GETARG_JSONB_P_COPY(2);
  job.has_initial_start = !PG_ARGISNULL(3);
  if (job.has_initial_start) job.initial_start = PG_GETARG_TIMESTAMPTZ(3);
  job.scheduled = PG_ARGISNULL(4) || PG_GETARG_BOOL(4);
  if (!PG_ARGISNULL(5)) job.check_config = PG_GETARG_OID(5);
  job.fixed_schedule = PG_ARGISNULL(6) || PG_GETARG_BOOL(6);
  job.timezone = TextArgument(fcinfo, 7);
  job.name = TextArgument(fcinfo, 8);
  PG_RETURN_INT32(AddJob(job));
}

TSEXT_FUNCTION(tsext_alter_job) {
  if (PG_ARGISNULL(0)) ReportNull("job_id");
  RefuseReadOnly("alter_job()");
  InitMaterializedSRF(fcinfo, 0);
  Job *job = JobToChange(PG_GETARG_INT32(0), !PG_ARGISNULL(8) && PG_GETARG_BOOL(8));
  if (job == nullptr) return Datum(0);
  const TimestampTz now = GetCurrentTimestamp();
  const bool new_grid = AlterSchedule(fcinfo, job, now);
  if (!PG_ARGISNULL(2)) {
    job->max_runtime = *PG_GETARG_INTERVAL_P(2);
    CheckInterval("max_runtime", job->max_runtime, true);
  }
  if (!PG_ARGISNULL(3)) {
    job->max_retries = PG_GETARG_INT32(3);
    CheckRetries(job->max_retries);
  }
  if (!PG_ARGISNULL(4)) {
    job->retry_period = *PG_GETARG_INTERVAL_P(4);
    CheckInterval("retry_period", job->retry_period, false);
  }
  const bool resumed = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5) && !job->scheduled;
  if (!PG_ARGISNULL(5)) job->scheduled = PG_GETARG_BOOL(5);
  if (!PG_ARGISNULL(6)) job->config = PG_GETARG_JSONB_P_COPY(6);
  if (!PG_ARGISNULL(9)) {
    CheckConfig(job->owner, PG_GETARG_OID(9), job->config, &job->check_schema, &job->check_name);
  } else if (!PG_ARGISNULL(6) && job->check_name != nullptr) {
    const Oid arguments[] = {JSONBOID};
    const Oid function =
        LookupFuncName(list_make2(makeString(job->check_schema), makeString(job->check_name)), 1,
                       arguments, false);
    CheckConfig(job->owner, function, job->config, &job->check_schema, &job->check_name);
  }
  if (!PG_ARGISNULL(13)) job->name = TextArgument(fcinfo, 13);
  UpdateJob(job);

  JobState state = FindJobState(job->id);
  if (!PG_ARGISNULL(7)) {
    state.next_start = PG_GETARG_TIMESTAMPTZ(7);
    // Holds although the clock was set back since the last run.
    if (ClockWasSetBack(state, now)) state.last_finish = now;
  } else if (new_grid) {
    state.next_start = job->schedule.fixed || state.last_finish == 0
                           ? FirstStart(job->schedule, now)
                           : NextStart(job->schedule, state.last_finish);
  }
  if (resumed) state.consecutive_failures = 0;
  WriteJobState(state);
  WakeSchedulerAtCommit();
  PutJob(fcinfo, *job, state.next_start);
  return Datum(0);
}

TSEXT_FUNCTION(tsext_delete_job) {
  RefuseReadOnly("delete_job()");
  Job *job = JobToChange(PG_GETARG_INT32(0), false);
  if (job->id < kFirstUserJob) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot delete the built-in job %d", job->id),
                    errhint("Pause it with alter_job(%d, scheduled => false).", job->id)));
  }
  DeleteJobRow(job);
  WakeSchedulerAtCommit();
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_job_row_written) {
  if (!CALLED_AS_TRIGGER(fcinfo)) {
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("job_row_written() is a trigger function")));
  }
  const auto *trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
  bool is_null;
  TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
  for (HeapTuple tuple : {trigger->tg_trigtuple, trigger->tg_newtuple}) {
    if (tuple == nullptr) continue;
    const Datum role = heap_getattr(tuple, kJobOwnerColumn, descriptor, &is_null);
    HoldOwner(DatumGetObjectId(role));
  }
  WakeSchedulerAtCommit();
  return PointerGetDatum(nullptr);
}

TSEXT_FUNCTION(tsext_job_next_start) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3)) PG_RETURN_NULL();
  const Schedule schedule = {*PG_GETARG_INTERVAL_P(0), PG_ARGISNULL(4) || PG_GETARG_BOOL(4), true,
                             PG_GETARG_TIMESTAMPTZ(1), TextArgument(fcinfo, 2)};
  const TimestampTz after = PG_GETARG_TIMESTAMPTZ(3);
  CheckSchedule(schedule, after);
  PG_RETURN_TIMESTAMPTZ(NextStart(schedule, after));
}
