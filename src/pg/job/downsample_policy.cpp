// tsext.downsample(), add_downsampling_policy() and what its jobs run.

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/catalog/set_options.hpp"
#include "pg/job/downsample.hpp"
#include "pg/job/job.hpp"
#include "pg/job/job_table.hpp"
#include "pg/job/policy.hpp"
#include "pg/job/policy_offset.hpp"
#include "pg/table/compact.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

constexpr char kProcedure[] = "policy_downsample";

[[noreturn]] void MustNotBeNull(const char *name) {
  ereport(ERROR,
          (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("\"%s\" must not be NULL", name)));
}

void RequireArgument(FunctionCallInfo fcinfo, int index, const char *name) {
  if (PG_ARGISNULL(index)) MustNotBeNull(name);
}

/// Arguments bucket, aggregates and weight_column, the first at this index.
DownsampleSpec *SpecArguments(FunctionCallInfo fcinfo, int first) {
  RequireArgument(fcinfo, first, "bucket");
  RequireArgument(fcinfo, first + 1, "aggregates");
  char *weight = PG_ARGISNULL(first + 2) ? nullptr : NameStr(*PG_GETARG_NAME(first + 2));
  return MakeDownsampleSpec(PG_GETARG_INTERVAL_P(first), PG_GETARG_JSONB_P(first + 1),
                            weight == nullptr ? nullptr : pstrdup(weight));
}

int64_t Now(Oid time_type) {
  Interval nothing{};
  return TimeArgument(IntervalPGetDatum(&nothing), INTERVALOID, time_type, "now");
}

/// Only whole buckets before a time, and none of which a continuous aggregate above needs rows for
/// a bucket that has not ended by `settled`.
int64_t Cutoff(const Downsampling &what, int64_t time, int64_t settled) {
  time = Min(time, SourceLimit(what.relation, settled));
  return time == kTimeMinimum || time == kTimeMaximum ? time : StartOfBucket(what, time);
}

// ---------------------------------------------------------------------------------------------
// Running

struct Sum {
  int ranges = 0;
  int64_t rows_before = 0, rows_after = 0;
  int failed = 0;
  ErrorData *error = nullptr;  // the first
};

struct RangeCall {
  const Downsampling *what;
  const RangeToDo *range;
  RangeResult result;
};

void CallRange(void *state) {
  auto *call = static_cast<RangeCall *>(state);
  call->result = DownsampleRange(*call->what, *call->range);
}

/// Errors that the next run will hardly meet again: somebody was at the same rows or aggregates.
bool IsBusy(const ErrorData *error) {
  return error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
         error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
         error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/// One range, in a subtransaction: its failure leaves the others alone. The error, if any, is in
/// the current memory context. A cancellation goes on.
ErrorData *TryRange(const Downsampling &what, const RangeToDo &range, Sum *sum) {
  RangeCall call{&what, &range, {}};
  ErrorData *error = TrySubtransaction(CallRange, &call);
  if (error != nullptr) {
    if (error->sqlerrcode == ERRCODE_QUERY_CANCELED) ReThrowError(error);
    sum->failed++;
    if (sum->error == nullptr) sum->error = error;
  } else if (call.result.is_changed) {
    sum->ranges++;
    sum->rows_before += call.result.rows_before;
    sum->rows_after += call.result.rows_after;
  }
  return error;
}

void RunByHand(const Downsampling &what, int64_t cutoff, Sum *sum) {
  int count;
  const RangeToDo *ranges = PlanDownsampling(what, cutoff, &count);
  for (int i = 0; i < count; i++) {
    CHECK_FOR_INTERRUPTS();
    ErrorData *error = TryRange(what, ranges[i], sum);
    if (error == nullptr) continue;
    if (!IsBusy(error)) ReThrowError(error);
    error->elevel = WARNING;
    ThrowErrorData(error);
  }
}

// ---------------------------------------------------------------------------------------------
// The policy. Its config: {"after": …, "bucket": …, "aggregates": {…}, "weight_column": …}

Jsonb *MakeConfig(const Interval &after, const Interval &bucket, Jsonb *aggregates,
                  const char *weight_column) {
  StringInfoData json;
  initStringInfo(&json);
  appendStringInfoChar(&json, '{');
  AppendOffset(&json, "after", {false, false, after, 0});
  appendStringInfoString(&json, ", ");
  AppendOffset(&json, "bucket", {false, false, bucket, 0});
  appendStringInfoString(&json, ", ");
  if (weight_column != nullptr) {
    appendStringInfoString(&json, "\"weight_column\": ");
    escape_json(&json, weight_column);
    appendStringInfoString(&json, ", ");
  }
  appendStringInfo(&json, "\"aggregates\": %s}",
                   JsonbToCString(nullptr, &aggregates->root, VARSIZE(aggregates)));
  return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

const JsonbValue *ConfigValue(Jsonb *config, const char *key) {
  return getKeyJsonValueFromContainer(&config->root, key, static_cast<int>(strlen(key)), nullptr);
}

char *ConfigText(Jsonb *config, const char *key) {
  const JsonbValue *value = ConfigValue(config, key);
  if (value == nullptr || value->type == jbvNull) return nullptr;
  if (value->type != jbvString)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"%s\" in the config of a downsampling job must be text", key)));
  return pnstrdup(value->val.string.val, value->val.string.len);
}

Interval ConfigInterval(Jsonb *config, const char *key) {
  char *text = ConfigText(config, key);
  if (text == nullptr)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"%s\" is missing from the config of a downsampling job", key)));
  const Datum interval = DirectFunctionCall3(interval_in, CStringGetDatum(text),
                                             ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
  RequirePositive(DatumGetIntervalP(interval), key);
  return *DatumGetIntervalP(interval);
}

struct Policy {
  Interval after;
  DownsampleSpec *spec;
};

void CheckKeys(Jsonb *config) {
  if (!JB_ROOT_IS_OBJECT(config))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("the config of a downsampling job must be a JSON object")));
  JsonbIterator *iterator = JsonbIteratorInit(&config->root);
  JsonbValue value;
  JsonbIteratorToken token;
  while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE) {
    if (token != WJB_KEY) continue;
    const char *key = pnstrdup(value.val.string.val, value.val.string.len);
    bool is_known = false;
    for (const char *known : {"after", "bucket", "aggregates", "weight_column"})
      is_known = is_known || strcmp(key, known) == 0;
    if (!is_known)
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("unknown key \"%s\" in the config of a downsampling job", key),
                      errhint("The keys are after, bucket, aggregates and weight_column.")));
  }
}

Policy PolicyOfConfig(Jsonb *config) {
  CheckKeys(config);
  Policy policy;
  policy.after = ConfigInterval(config, "after");
  const Interval bucket = ConfigInterval(config, "bucket");
  JsonbValue *aggregates = const_cast<JsonbValue *>(ConfigValue(config, "aggregates"));
  if (aggregates == nullptr)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"aggregates\" is missing from the config of a downsampling job")));
  policy.spec = MakeDownsampleSpec(&bucket, JsonbValueToJsonb(aggregates),
                                   ConfigText(config, "weight_column"));
  return policy;
}

int64_t CutoffOfPolicy(const Downsampling &what, const Interval &after) {
  const int64_t time =
      TimeArgument(IntervalPGetDatum(&after), INTERVALOID, what.options->time_type, "after");
  return Cutoff(what, time, time);
}

/// A day for buckets of a day and more, else an hour or the bucket, whichever is longer.
Interval DefaultSchedule(const Interval &bucket) {
  Interval schedule{};
  if (bucket.month != 0 || bucket.day != 0)
    schedule.day = 1;
  else
    schedule.time = Max(bucket.time, USECS_PER_HOUR);
  return schedule;
}

/// Locks the table and reads its state anew, in the current transaction.
Downsampling *OpenForDownsampling(Oid relation_id, const Policy &policy) {
  return PrepareDownsampling(OpenForCompaction(relation_id, "downsampling"), *policy.spec);
}

/// An error; but where it would undo the other ranges, rows that others have are only warned of.
void ReportLeftRanges(const char *table, const Sum &sum, int count, bool is_atomic) {
  const ErrorData *error = sum.error;
  ereport(is_atomic && IsBusy(error) ? WARNING : ERROR,
          (errcode(error->sqlerrcode),
           errmsg("could not downsample %d of %d ranges of table \"%s\": %s", sum.failed, count,
                  table, error->message),
           error->detail == nullptr ? 0 : errdetail_internal("%s", error->detail),
           errhint("The other ranges are done; the next run tries these again.")));
}

/// A new transaction, unless the call is inside of one; whatever default_transaction_isolation is.
void BeginStep(bool is_atomic) {
  if (is_atomic) return;
  SPI_commit();
  XactIsoLevel = XACT_READ_COMMITTED;
}

/// A run of the job: each range is a step.
void RunPolicy(Oid relation_id, const Policy &policy, bool is_atomic) {
  Sum sum;
  int count;
  BeginStep(is_atomic);
  PushActiveSnapshot(GetTransactionSnapshot());
  Downsampling *what = OpenForDownsampling(relation_id, policy);
  const int64_t cutoff = CutoffOfPolicy(*what, policy.after);
  const RangeToDo *ranges = PlanDownsampling(*what, cutoff, &count);
  const char *table = pstrdup(RelationGetRelationName(what->relation));
  table_close(what->relation, NoLock);
  PopActiveSnapshot();
  for (int i = 0; i < count; i++) {
    BeginStep(is_atomic);
    CHECK_FOR_INTERRUPTS();
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "tsext range", ALLOCSET_DEFAULT_SIZES);
    PushActiveSnapshot(GetTransactionSnapshot());
    MemoryContext caller = MemoryContextSwitchTo(context);
    what = OpenForDownsampling(relation_id, policy);
    MemoryContextSwitchTo(caller);
    const Sum before = sum;
    // A continuous aggregate may have been made meanwhile, with a bucket that has not ended.
    if (ranges[i].until <= CutoffOfPolicy(*what, policy.after))
      (void)TryRange(*what, ranges[i], &sum);
    ReportJobRows(sum.rows_before - before.rows_before);
    table_close(what->relation, NoLock);
    PopActiveSnapshot();
    MemoryContextDelete(context);
  }
  if (sum.failed == 0) return;
  BeginStep(is_atomic);
  ReportLeftRanges(table, sum, count, is_atomic);
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_downsample) {
  RequireArgument(fcinfo, 0, "relation");
  RequireArgument(fcinfo, 1, "older_than");
  const DownsampleSpec *spec = SpecArguments(fcinfo, 2);
  Relation relation = OpenForCompaction(PG_GETARG_OID(0), "tsext.downsample()");
  const Downsampling *what = PrepareDownsampling(relation, *spec);
  const int64_t time = TimeArgument(PG_GETARG_DATUM(1), get_fn_expr_argtype(fcinfo->flinfo, 1),
                                    what->options->time_type, "older_than");
  Sum sum;
  RunByHand(*what, Cutoff(*what, time, Now(what->options->time_type)), &sum);
  table_close(relation, NoLock);

  TupleDesc descriptor;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
    elog(ERROR, "return type must be a row type");
  Datum values[] = {Int32GetDatum(sum.ranges), Int64GetDatum(sum.rows_before),
                    Int64GetDatum(sum.rows_after)};
  bool nulls[lengthof(values)] = {};
  PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

TSEXT_FUNCTION(tsext_add_downsampling_policy) {
  RefuseReadOnly("add_downsampling_policy()");
  RequireArgument(fcinfo, 0, "relation");
  RequireArgument(fcinfo, 1, "after");
  const Interval after = *PG_GETARG_INTERVAL_P(1);
  RequirePositive(&after, "after");
  const DownsampleSpec *spec = SpecArguments(fcinfo, 2);
  Relation relation = OpenOwnedTable(PG_GETARG_OID(0), AccessShareLock);
  LockPolicies(PG_GETARG_OID(0));
  RequireTsext(relation);
  RequireNotTemporary(relation);
  const Downsampling *what = PrepareDownsampling(relation, *spec);
  // What could not be done later is refused now.
  (void)CutoffOfPolicy(*what, after);
  CheckDownsamplingQuery(*what);

  NewJob job;
  job.proc_schema = "tsext";
  job.proc_name = kProcedure;
  job.relation = RelationGetRelid(relation);
  job.check_config = PolicyCheckFunction(kProcedure);
  job.config = MakeConfig(after, spec->bucket, PG_GETARG_JSONB_P(3), spec->weight_column);
  job.schedule_interval =
      PG_ARGISNULL(6) ? DefaultSchedule(spec->bucket) : *PG_GETARG_INTERVAL_P(6);
  int id = CheckNewPolicy(job, !PG_ARGISNULL(5) && PG_GETARG_BOOL(5));
  if (id == 0) id = AddJob(job);
  table_close(relation, NoLock);
  PG_RETURN_INT32(id);
}

TSEXT_FUNCTION(tsext_remove_downsampling_policy) {
  const bool if_exists = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
  if (RemovePolicy(fcinfo, "relation", kProcedure, "downsampling", if_exists)) {
    Relation relation = table_open(PG_GETARG_OID(0), NoLock);
    ForgetDoneRanges(relation->rd_rel->reltoastrelid);
    table_close(relation, NoLock);
  }
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_policy_downsample_check) {
  (void)PolicyOfConfig(PG_GETARG_JSONB_P(0));
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_policy_downsample) {
  RequireArgument(fcinfo, 0, "job_id");
  RequireArgument(fcinfo, 1, "config");
  const Job *job = FindJob(PG_GETARG_INT32(0));
  if (job == nullptr || !OidIsValid(job->relation) || strcmp(job->proc_name, kProcedure) != 0)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("job %d is no downsampling policy", PG_GETARG_INT32(0))));
  const bool is_atomic = IsAtomicCall(fcinfo);
  SPI_connect_ext(is_atomic ? 0 : SPI_OPT_NONATOMIC);
  RunPolicy(job->relation, PolicyOfConfig(PG_GETARG_JSONB_P(1)), is_atomic);
  SPI_finish();
  return static_cast<Datum>(0);
}
