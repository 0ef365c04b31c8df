#include "pg/job/job_table.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_shdepend.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace tsext::pg {

namespace {

namespace job_column {
enum : AttrNumber {
  kId = 1,
  kName,
  kOwner,
  kProcSchema,
  kProcName,
  kRelation,
  kScheduleInterval,
  kMaxRuntime,
  kMaxRetries,
  kRetryPeriod,
  kScheduled,
  kFixedSchedule,
  kInitialStart,
  kTimezone,
  kConfig,
  kCheckSchema,
  kCheckName
};
constexpr int kCount = kCheckName;
}  // namespace job_column

namespace state_column {
enum : AttrNumber {
  kJob = 1,
  kNextStart,
  kLastStart,
  kLastFinish,
  kLastSuccess,
  kLastOutcome,
  kRuns,
  kFailures,
  kCrashes,
  kConsecutiveFailures
};
constexpr int kCount = kConsecutiveFailures;
}  // namespace state_column

namespace run_column {
enum : AttrNumber {
  kId = 1,
  kJob,
  kJobName,
  kOwner,
  kPid,
  kStarted,
  kFinished,
  kOutcome,
  kSqlState,
  kMessage,
  kRows
};
constexpr int kCount = kRows;
}  // namespace run_column

constexpr int kMaxColumns = 32;  // a later version of the tables may have more than are known here
static_assert(job_column::kCount <= kMaxColumns && state_column::kCount <= kMaxColumns &&
              run_column::kCount <= kMaxColumns);

/// The values of a row that is read or written; column numbers begin with 1.
struct Row {
  Datum values[kMaxColumns];
  bool nulls[kMaxColumns];

  void Set(AttrNumber column, Datum value) {
    values[column - 1] = value;
    nulls[column - 1] = false;
  }
  void SetText(AttrNumber column, const char *text) {
    nulls[column - 1] = text == nullptr;
    if (text != nullptr) values[column - 1] = PointerGetDatum(cstring_to_text(text));
  }
  void SetName(AttrNumber column, const char *name) {
    nulls[column - 1] = name == nullptr;
    if (name == nullptr) return;
    auto *copy = static_cast<NameData *>(palloc0(sizeof(NameData)));
    namestrcpy(copy, name);
    values[column - 1] = NameGetDatum(copy);
  }
  void SetTime(AttrNumber column, TimestampTz time) {
    nulls[column - 1] = time == 0;
    values[column - 1] = TimestampTzGetDatum(time);
  }
  void SetInterval(AttrNumber column, const Interval &interval) {
    auto *copy = static_cast<Interval *>(palloc(sizeof(Interval)));
    *copy = interval;
    Set(column, IntervalPGetDatum(copy));
  }
  bool IsNull(AttrNumber column) const { return nulls[column - 1]; }
  Datum Get(AttrNumber column) const { return values[column - 1]; }
  char *Text(AttrNumber column) const {
    return IsNull(column) ? nullptr : TextDatumGetCString(Get(column));
  }
  char *NameText(AttrNumber column) const {
    return IsNull(column) ? nullptr : pstrdup(DatumGetName(Get(column))->data);
  }
  TimestampTz Time(AttrNumber column) const {
    return IsNull(column) ? 0 : DatumGetTimestampTz(Get(column));
  }
};

/// Calls visit(row, tuple) for the rows whose `column` equals `value`, all when column is 0, by an
/// index when it exists. SnapshotSelf: what is committed now and what this transaction has written.
template <typename Visit>
void ForEachRow(Relation table, const char *index, AttrNumber column, RegProcedure equal,
                Datum value, Visit &&visit) {
  if (RelationGetDescr(table)->natts > kMaxColumns)
    elog(ERROR, "table \"%s\" has too many columns", RelationGetRelationName(table));
  const Oid schema = RelationGetNamespace(table);
  const Oid index_id = index != nullptr ? get_relname_relid(index, schema) : InvalidOid;
  ScanKeyData key;
  if (column != 0) ScanKeyInit(&key, column, BTEqualStrategyNumber, equal, value);
  SysScanDesc scan = systable_beginscan(table, index_id, OidIsValid(index_id), SnapshotSelf,
                                        column != 0 ? 1 : 0, &key);
  while (HeapTuple tuple = systable_getnext(scan)) {
    Row row;
    heap_deform_tuple(tuple, RelationGetDescr(table), row.values, row.nulls);
    visit(row, tuple);
  }
  systable_endscan(scan);
}

Job *JobOf(const Row &row, HeapTuple tuple) {
  using namespace job_column;  // NOLINT(google-build-using-namespace)
  auto *job = static_cast<Job *>(palloc0(sizeof(Job)));
  job->id = DatumGetInt32(row.Get(kId));
  job->name = row.Text(kName);
  job->owner = DatumGetObjectId(row.Get(kOwner));
  job->proc_schema = row.NameText(kProcSchema);
  job->proc_name = row.NameText(kProcName);
  job->relation = row.IsNull(kRelation) ? InvalidOid : DatumGetObjectId(row.Get(kRelation));
  job->schedule.interval = *DatumGetIntervalP(row.Get(kScheduleInterval));
  job->schedule.fixed = DatumGetBool(row.Get(kFixedSchedule));
  job->schedule.has_initial_start = !row.IsNull(kInitialStart);
  job->schedule.initial_start = row.Time(kInitialStart);
  job->schedule.timezone = row.Text(kTimezone);
  job->max_runtime = *DatumGetIntervalP(row.Get(kMaxRuntime));
  job->max_retries = DatumGetInt32(row.Get(kMaxRetries));
  job->retry_period = *DatumGetIntervalP(row.Get(kRetryPeriod));
  job->scheduled = DatumGetBool(row.Get(kScheduled));
  if (!row.IsNull(kConfig)) job->config = DatumGetJsonbPCopy(row.Get(kConfig));
  job->check_schema = row.NameText(kCheckSchema);
  job->check_name = row.NameText(kCheckName);
  job->tid = tuple->t_self;
  return job;
}

HeapTuple TupleOf(Relation table, const Job &job) {
  using namespace job_column;  // NOLINT(google-build-using-namespace)
  Row row{};
  row.Set(kId, Int32GetDatum(job.id));
  row.SetText(kName, job.name);
  row.Set(kOwner, ObjectIdGetDatum(job.owner));
  row.SetName(kProcSchema, job.proc_schema);
  row.SetName(kProcName, job.proc_name);
  row.nulls[kRelation - 1] = !OidIsValid(job.relation);
  row.values[kRelation - 1] = ObjectIdGetDatum(job.relation);
  row.SetInterval(kScheduleInterval, job.schedule.interval);
  row.SetInterval(kMaxRuntime, job.max_runtime);
  row.Set(kMaxRetries, Int32GetDatum(job.max_retries));
  row.SetInterval(kRetryPeriod, job.retry_period);
  row.Set(kScheduled, BoolGetDatum(job.scheduled));
  row.Set(kFixedSchedule, BoolGetDatum(job.schedule.fixed));
  row.nulls[kInitialStart - 1] = !job.schedule.has_initial_start;
  row.values[kInitialStart - 1] = TimestampTzGetDatum(job.schedule.initial_start);
  row.SetText(kTimezone, job.schedule.timezone);
  row.nulls[kConfig - 1] = job.config == nullptr;
  row.values[kConfig - 1] = JsonbPGetDatum(job.config);
  row.SetName(kCheckSchema, job.check_schema);
  row.SetName(kCheckName, job.check_name);
  return heap_form_tuple(RelationGetDescr(table), row.values, row.nulls);
}

void DeleteState(int job_id) {
  Relation table = table_open(CatalogRelation("job_state"), RowExclusiveLock);
  ForEachRow(table, "job_state_pkey", state_column::kJob, F_INT4EQ, Int32GetDatum(job_id),
             [&](const Row &, HeapTuple tuple) { CatalogTupleDelete(table, &tuple->t_self); });
  table_close(table, NoLock);
}

// Subobjects in locks on the table of jobs: 0 jobs, 1 the policies of a relation, 2 owners.
constexpr uint16 kOwnerLock = 2;

/// Whether the role has privileges on the table of jobs that it was granted: then its entry in
/// pg_shdepend is theirs.
bool IsInAcl(Oid table_id, Oid role) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table_id));
  if (!HeapTupleIsValid(tuple)) return false;
  bool is_null;
  const Datum acl = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &is_null);
  bool found = false;
  if (!is_null) {
    Oid *members;
    const int count = aclmembers(DatumGetAclP(acl), &members);
    for (int i = 0; i < count; i++) found |= members[i] == role;
  }
  ReleaseSysCache(tuple);
  return found;
}

/// InvalidOid: there is no extension, or DROP EXTENSION … CASCADE has been at the table already.
Oid FindJobTable() {
  // Somebody else's schema of this name is not ours to read.
  const Oid schema =
      OidIsValid(get_extension_oid("tsext", true)) ? get_namespace_oid("tsext", true) : InvalidOid;
  return OidIsValid(schema) ? get_relname_relid("job", schema) : InvalidOid;
}

/// The ids of jobs whose `column` is `value`.
List *JobIds(const char *index, AttrNumber column, Oid value) {
  const Oid table_id = FindJobTable();
  if (!OidIsValid(table_id)) return NIL;
  List *ids = NIL;
  Relation table = table_open(table_id, AccessShareLock);
  ForEachRow(table, index, column, F_OIDEQ, ObjectIdGetDatum(value),
             [&](const Row &row, HeapTuple) {
               ids = lappend_int(ids, DatumGetInt32(row.Get(job_column::kId)));
             });
  table_close(table, AccessShareLock);
  return ids;
}

int DeleteJobs(List *ids) {
  int count = 0;
  ListCell *cell;
  foreach (cell, ids) {
    LockJob(lfirst_int(cell));
    Job *job = FindJob(lfirst_int(cell));
    if (job == nullptr) continue;
    DeleteJobRow(job);
    count++;
  }
  return count;
}

bool OwnsJobs(Oid table_id, Oid owner) {
  bool owns_jobs = false;
  Relation table = table_open(table_id, RowExclusiveLock);
  ForEachRow(table, nullptr, job_column::kOwner, F_OIDEQ, ObjectIdGetDatum(owner),
             [&](const Row &, HeapTuple) { owns_jobs = true; });
  table_close(table, NoLock);
  return owns_jobs;
}

/// Returns how many had another owner.
int GiveJobs(List *ids, Oid to) {
  int count = 0;
  List *before = NIL;
  ListCell *cell;
  foreach (cell, ids) {
    LockJob(lfirst_int(cell));
    Job *job = FindJob(lfirst_int(cell));
    if (job == nullptr || job->owner == to) continue;
    before = list_append_unique_oid(before, job->owner);
    job->owner = to;
    UpdateJob(job);
    count++;
  }
  foreach (cell, before) HoldOwner(lfirst_oid(cell));
  if (count > 0) HoldOwner(to);
  return count;
}

JobRun *RunOf(const Row &row, HeapTuple tuple) {
  using namespace run_column;  // NOLINT(google-build-using-namespace)
  auto *run = static_cast<JobRun *>(palloc0(sizeof(JobRun)));
  run->id = DatumGetInt64(row.Get(kId));
  run->job = DatumGetInt32(row.Get(kJob));
  run->job_name = row.Text(kJobName);
  run->owner = row.NameText(kOwner);
  run->pid = row.IsNull(kPid) ? 0 : DatumGetInt32(row.Get(kPid));
  run->started = row.Time(kStarted);
  run->finished = row.Time(kFinished);
  run->outcome = row.Text(kOutcome);
  run->rows = -1;
  run->tid = tuple->t_self;
  return run;
}

HeapTuple TupleOf(Relation table, const JobRun &run) {
  using namespace run_column;  // NOLINT(google-build-using-namespace)
  Row row{};
  row.Set(kId, Int64GetDatum(run.id));
  row.Set(kJob, Int32GetDatum(run.job));
  row.SetText(kJobName, run.job_name);
  row.SetName(kOwner, run.owner);
  row.nulls[kPid - 1] = run.pid == 0;
  row.values[kPid - 1] = Int32GetDatum(run.pid);
  row.SetTime(kStarted, run.started);
  row.SetTime(kFinished, run.finished);
  row.SetText(kOutcome, run.outcome);
  row.SetText(kSqlState, run.sqlstate);
  row.SetText(kMessage, run.message);
  row.nulls[kRows - 1] = run.rows < 0;
  row.values[kRows - 1] = Int64GetDatum(run.rows);
  return heap_form_tuple(RelationGetDescr(table), row.values, row.nulls);
}

}  // namespace

void LockJob(int job_id) {
  LockDatabaseObject(CatalogRelation("job"), static_cast<Oid>(job_id), 0, ExclusiveLock);
}

bool TryLockJob(int job_id) {
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, CatalogRelation("job"), static_cast<Oid>(job_id), 0);
  return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

Job *FindJob(int job_id) {
  Relation table = table_open(CatalogRelation("job"), AccessShareLock);
  Job *found = nullptr;
  ForEachRow(table, "job_pkey", job_column::kId, F_INT4EQ, Int32GetDatum(job_id),
             [&](const Row &row, HeapTuple tuple) { found = JobOf(row, tuple); });
  table_close(table, AccessShareLock);
  return found;
}

List *LoadJobs() {
  List *jobs = NIL;
  Relation table = table_open(CatalogRelation("job"), AccessShareLock);
  ForEachRow(table, nullptr, 0, 0, 0,
             [&](const Row &row, HeapTuple tuple) { jobs = lappend(jobs, JobOf(row, tuple)); });
  table_close(table, AccessShareLock);
  return jobs;
}

void InsertJob(Job *job) {
  Relation table = table_open(CatalogRelation("job"), RowExclusiveLock);
  HeapTuple tuple = TupleOf(table, *job);
  CatalogTupleInsert(table, tuple);
  job->tid = tuple->t_self;
  table_close(table, NoLock);
  HoldOwner(job->owner);
  CommandCounterIncrement();  // alter_job(add_job(...)) is one command
}

void UpdateJob(Job *job) {
  Relation table = table_open(CatalogRelation("job"), RowExclusiveLock);
  HeapTuple tuple = TupleOf(table, *job);
  CatalogTupleUpdate(table, &job->tid, tuple);
  job->tid = tuple->t_self;
  table_close(table, NoLock);
  CommandCounterIncrement();
}

void DeleteJobRow(Job *job) {
  Relation table = table_open(CatalogRelation("job"), RowExclusiveLock);
  CatalogTupleDelete(table, &job->tid);
  table_close(table, NoLock);
  DeleteState(job->id);
  HoldOwner(job->owner);
}

JobState FindJobState(int job_id) {
  using namespace state_column;  // NOLINT(google-build-using-namespace)
  JobState state{};
  state.job = job_id;
  Relation table = table_open(CatalogRelation("job_state"), AccessShareLock);
  ForEachRow(table, "job_state_pkey", kJob, F_INT4EQ, Int32GetDatum(job_id),
             [&](const Row &row, HeapTuple tuple) {
               state.next_start = row.Time(kNextStart);
               state.last_start = row.Time(kLastStart);
               state.last_finish = row.Time(kLastFinish);
               state.last_success = row.Time(kLastSuccess);
               state.last_outcome = row.Text(kLastOutcome);
               state.runs = DatumGetInt64(row.Get(kRuns));
               state.failures = DatumGetInt64(row.Get(kFailures));
               state.crashes = DatumGetInt64(row.Get(kCrashes));
               state.consecutive_failures = DatumGetInt32(row.Get(kConsecutiveFailures));
               state.exists = true;
               state.tid = tuple->t_self;
             });
  table_close(table, AccessShareLock);
  return state;
}

void WriteJobState(const JobState &state) {
  using namespace state_column;  // NOLINT(google-build-using-namespace)
  Row row{};
  row.Set(kJob, Int32GetDatum(state.job));
  row.SetTime(kNextStart, state.next_start);
  row.SetTime(kLastStart, state.last_start);
  row.SetTime(kLastFinish, state.last_finish);
  row.SetTime(kLastSuccess, state.last_success);
  row.SetText(kLastOutcome, state.last_outcome);
  row.Set(kRuns, Int64GetDatum(state.runs));
  row.Set(kFailures, Int64GetDatum(state.failures));
  row.Set(kCrashes, Int64GetDatum(state.crashes));
  row.Set(kConsecutiveFailures, Int32GetDatum(state.consecutive_failures));
  Relation table = table_open(CatalogRelation("job_state"), RowExclusiveLock);
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(table), row.values, row.nulls);
  if (state.exists) {
    ItemPointerData tid = state.tid;
    CatalogTupleUpdate(table, &tid, tuple);
  } else {
    CatalogTupleInsert(table, tuple);
  }
  table_close(table, NoLock);
  CommandCounterIncrement();
}

void InsertJobRun(JobRun *run) {
  // A role may have default_transaction_read_only; its runs are recorded all the same.
  const bool is_read_only = XactReadOnly;
  XactReadOnly = false;
  run->id = nextval_internal(CatalogRelation("job_run_id"), false);
  XactReadOnly = is_read_only;
  Relation table = table_open(CatalogRelation("job_run"), RowExclusiveLock);
  HeapTuple tuple = TupleOf(table, *run);
  CatalogTupleInsert(table, tuple);
  table_close(table, NoLock);
}

void FinishJobRun(const JobRun &run) {
  Relation table = table_open(CatalogRelation("job_run"), RowExclusiveLock);
  ForEachRow(table, "job_run_pkey", run_column::kId, F_INT8EQ, Int64GetDatum(run.id),
             [&](const Row &row, HeapTuple tuple) {
               if (!row.IsNull(run_column::kFinished)) return;
               JobRun finished = *RunOf(row, tuple);
               finished.finished = run.finished;
               finished.outcome = run.outcome;
               finished.sqlstate = run.sqlstate;
               finished.message = run.message;
               finished.rows = run.rows;
               CatalogTupleUpdate(table, &finished.tid, TupleOf(table, finished));
             });
  table_close(table, NoLock);
}

List *UnfinishedRuns() {
  List *runs = NIL;
  Relation table = table_open(CatalogRelation("job_run"), AccessShareLock);
  ScanKeyData key;
  ScanKeyEntryInitialize(&key, SK_ISNULL | SK_SEARCHNULL, run_column::kFinished, InvalidStrategy,
                         InvalidOid, InvalidOid, InvalidOid, Datum(0));
  SysScanDesc scan =
      systable_beginscan(table, CatalogRelation("job_run_finished"), true, SnapshotSelf, 1, &key);
  while (HeapTuple tuple = systable_getnext(scan)) {
    Row row;
    heap_deform_tuple(tuple, RelationGetDescr(table), row.values, row.nulls);
    runs = lappend(runs, RunOf(row, tuple));
  }
  systable_endscan(scan);
  table_close(table, AccessShareLock);
  return runs;
}

void DeleteOldRuns(TimestampTz before) {
  Relation table = table_open(CatalogRelation("job_run"), RowExclusiveLock);
  ScanKeyData key;
  ScanKeyInit(&key, run_column::kFinished, BTLessStrategyNumber, F_TIMESTAMPTZ_LT,
              TimestampTzGetDatum(before));
  SysScanDesc scan =
      systable_beginscan(table, CatalogRelation("job_run_finished"), true, SnapshotSelf, 1, &key);
  while (HeapTuple tuple = systable_getnext(scan)) {
    CHECK_FOR_INTERRUPTS();
    CatalogTupleDelete(table, &tuple->t_self);
  }
  systable_endscan(scan);
  table_close(table, NoLock);
}

void HoldOwner(Oid owner) {
  const Oid table_id = CatalogRelation("job");
  if (IsInAcl(table_id, owner)) return;
  bool owns_jobs = OwnsJobs(table_id, owner);
  // Who adds a job relies on the entry that is there: nobody removes it meanwhile.
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, table_id, owner, kOwnerLock);
  (void)LockAcquire(&tag, owns_jobs ? ShareLock : ExclusiveLock, false, false);
  if (!owns_jobs) owns_jobs = OwnsJobs(table_id, owner);

  Relation catalog = table_open(SharedDependRelationId, RowExclusiveLock);
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], Anum_pg_shdepend_dbid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(MyDatabaseId));
  ScanKeyInit(&keys[1], Anum_pg_shdepend_classid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(RelationRelationId));
  ScanKeyInit(&keys[2], Anum_pg_shdepend_objid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(table_id));
  SysScanDesc scan =
      systable_beginscan(catalog, SharedDependDependerIndexId, true, SnapshotSelf, 3, keys);
  bool is_held = false;
  while (HeapTuple tuple = systable_getnext(scan)) {
    const auto *form = reinterpret_cast<Form_pg_shdepend>(GETSTRUCT(tuple));
    if (form->refclassid != AuthIdRelationId || form->refobjid != owner ||
        form->deptype != SHARED_DEPENDENCY_ACL)
      continue;
    if (!owns_jobs || is_held) CatalogTupleDelete(catalog, &tuple->t_self);
    is_held = true;
  }
  systable_endscan(scan);
  table_close(catalog, RowExclusiveLock);
  if (!owns_jobs || is_held) return;
  ObjectAddress depender = {RelationRelationId, table_id, 0};
  ObjectAddress referenced = {AuthIdRelationId, owner, 0};
  recordSharedDependencyOn(&depender, &referenced, SHARED_DEPENDENCY_ACL);
}

int DeleteJobsOfRelation(Oid relation) {
  return DeleteJobs(JobIds("job_relation", job_column::kRelation, relation));
}

int DeleteJobsOfOwner(Oid owner) {
  const int count = DeleteJobs(JobIds(nullptr, job_column::kOwner, owner));
  // Two that delete the last jobs at the same time both leave the entry to the other.
  if (OidIsValid(FindJobTable())) HoldOwner(owner);
  return count;
}

int ReassignJobs(Oid from, Oid to) {
  return GiveJobs(JobIds(nullptr, job_column::kOwner, from), to);
}

int GiveJobsOfRelation(Oid relation, Oid to) {
  return GiveJobs(JobIds("job_relation", job_column::kRelation, relation), to);
}

}  // namespace tsext::pg
