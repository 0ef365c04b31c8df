// add_…_policy() and remove_…_policy(): check what was asked for and make or delete the job.

#include "pg/job/policy.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/catalog/set_options.hpp"
#include "pg/job/job.hpp"
#include "pg/job/policy_offset.hpp"
#include "pg/table/drop_chunks.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "storage/lock.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

void RequireNotTemporary(Relation relation) {
  if (relation->rd_rel->relpersistence != RELPERSISTENCE_TEMP) return;
  ereport(ERROR,
          (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
           errmsg("temporary table \"%s\" cannot have a policy", RelationGetRelationName(relation)),
           errdetail("Jobs run in sessions of their own.")));
}

PolicyRelation OpenPolicyRelation(Oid relation_id, LOCKMODE lock) {
  PolicyRelation opened{};
  opened.relation_id = relation_id;
  Relation named = OpenOwnedTable(relation_id, lock);
  opened.aggregate = AggregateOfView(relation_id);
  if (opened.aggregate == nullptr) opened.aggregate = AggregateOfMaterialization(relation_id);
  if (opened.aggregate != nullptr) {
    table_close(named, NoLock);
    opened.table = table_open(opened.aggregate->materialization, AccessShareLock);
    opened.base = table_open(opened.aggregate->base, AccessShareLock);
  } else {
    if (named->rd_rel->relkind == RELKIND_VIEW) {
      ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                      errmsg("view \"%s\" is not a continuous aggregate",
                             RelationGetRelationName(named))));
    }
    if (named->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
      ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                      errmsg("\"%s\" is a partitioned table", RelationGetRelationName(named)),
                      errhint("Add the policy to its partitions, or drop old partitions.")));
    }
    RequireTsext(named);
    opened.table = opened.base = named;
  }
  opened.time_type = GetTableOptions(opened.base)->time_type;
  if (!OidIsValid(opened.time_type)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("table \"%s\" has no time column", RelationGetRelationName(opened.base)),
                    errhint("Name one with tsext.set_options(relation, time_column => …).")));
  }
  RequireNotTemporary(opened.base);
  return opened;
}

void ClosePolicyRelation(const PolicyRelation &relation) {
  if (relation.base != relation.table) table_close(relation.base, NoLock);
  table_close(relation.table, NoLock);
}

void LockPolicies(Oid relation_id) {
  LOCKTAG tag;
  // Jobs themselves are locked with subobject 0.
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, CatalogRelation("job"), relation_id, 1);
  (void)LockAcquire(&tag, ExclusiveLock, false, false);
}

Oid PolicyCheckFunction(const char *procedure) {
  const Oid arguments[] = {JSONBOID};
  return LookupFuncName(
      list_make2(makeString(pstrdup("tsext")), makeString(psprintf("%s_check", procedure))), 1,
      arguments, false);
}

namespace {

Oid RelationArgument(FunctionCallInfo fcinfo, const char *name) {
  if (PG_ARGISNULL(0))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", name)));
  return PG_GETARG_OID(0);
}

bool FlagArgument(FunctionCallInfo fcinfo, int index) {
  return !PG_ARGISNULL(index) && PG_GETARG_BOOL(index);
}

[[noreturn]] void MissingOffset(const char *name) {
  ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("\"%s\" must be given", name),
                  errhint("Give an interval, such as '30 days', or an integer when the time column "
                          "is of an integer type.")));
}

// How often a policy runs when nothing is said.
constexpr Interval kDaily = {.time = 0, .day = 1, .month = 0};
constexpr Interval kTwiceADay = {.time = 12 * USECS_PER_HOUR, .day = 0, .month = 0};

/// The schedule, from the arguments at these positions.
void SetSchedule(NewJob *job, FunctionCallInfo fcinfo, int interval, int start, int timezone) {
  if (!PG_ARGISNULL(interval)) job->schedule_interval = *PG_GETARG_INTERVAL_P(interval);
  if (!PG_ARGISNULL(start)) {
    job->has_initial_start = true;
    job->initial_start = PG_GETARG_TIMESTAMPTZ(start);
  }
  if (!PG_ARGISNULL(timezone)) job->timezone = text_to_cstring(PG_GETARG_TEXT_PP(timezone));
}

Jsonb *JsonbOfText(const char *text) {
  return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

NewJob NewPolicy(const char *procedure, Oid relation_id, const char *config) {
  NewJob job;
  job.proc_schema = "tsext";
  job.proc_name = procedure;
  job.relation = relation_id;
  job.config = JsonbOfText(config);
  job.check_config = PolicyCheckFunction(procedure);
  return job;
}

int AddPolicy(const NewJob &job, bool if_not_exists) {
  const int existing = CheckNewPolicy(job, if_not_exists);
  return existing != 0 ? existing : AddJob(job);
}

/// A policy with one offset: retention, columnstore. Arguments: relation, offset, if_not_exists,
/// schedule_interval, initial_start, timezone.
int AddAgePolicy(FunctionCallInfo fcinfo, const char *procedure, const char *relation_name,
                 const char *offset_name, const char *key, const Interval &schedule_interval,
                 void (*check)(const PolicyRelation &)) {
  RefuseReadOnly("adding a policy");
  const Oid relation_id = RelationArgument(fcinfo, relation_name);
  const PolicyRelation relation = OpenPolicyRelation(relation_id, AccessShareLock);
  LockPolicies(relation_id);
  const PolicyOffset offset =
      OffsetArgument(fcinfo, 1, relation.time_type, offset_name, OffsetSign::kPositive);
  if (offset.is_null) MissingOffset(offset_name);
  check(relation);
  // What could not be done later is refused now.
  (void)TimeBeforeNow(relation.base, offset, offset_name);

  StringInfoData config;
  initStringInfo(&config);
  appendStringInfoChar(&config, '{');
  AppendOffset(&config, key, offset);
  appendStringInfoChar(&config, '}');
  NewJob job = NewPolicy(procedure, relation_id, config.data);
  job.schedule_interval = schedule_interval;
  SetSchedule(&job, fcinfo, 3, 4, 5);
  const int id = AddPolicy(job, FlagArgument(fcinfo, 2));
  ClosePolicyRelation(relation);
  return id;
}

void CheckRetention(const PolicyRelation &relation) {
  RequireNoReferences(relation.table);
}

void CheckColumnstore(const PolicyRelation &relation) {
  const char *reason = StaysHotBecause(relation.table);
  if (reason == nullptr) return;
  ereport(WARNING, (errmsg("the policy will do nothing for table \"%s\"",
                           RelationGetRelationName(relation.table)),
                    errdetail("The table stays hot: %s.", reason)));
}

/// Errors when fewer than two buckets lie between the offsets, or between start_offset and now:
/// with one, a window that starts inside a bucket would hold no whole one.
void CheckWindow(const ContinuousAggregate &aggregate, const PolicyOffset &start,
                 const PolicyOffset &end) {
  if (start.is_null) return;
  bool fits;
  if (start.is_integer) {
    const int64_t width =
        DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(aggregate.bucket_width)));
    // As quotients: the difference of two int64 that are not negative does not overflow.
    fits = (start.integer - end.integer) / 2 >= width;
  } else {
    Datum width = DirectFunctionCall3(interval_in, CStringGetDatum(aggregate.bucket_width),
                                      ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
    Interval from = start.interval;
    Interval until = end.interval;
    Datum least = DirectFunctionCall2(interval_pl, IntervalPGetDatum(&until), width);
    least = DirectFunctionCall2(interval_pl, least, width);
    fits = DatumGetBool(DirectFunctionCall2(interval_ge, IntervalPGetDatum(&from), least));
  }
  if (fits) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("the window between start_offset and end_offset is too small"),
                  errdetail("It must hold two buckets of %s.", aggregate.bucket_width),
                  errhint("Give a larger start_offset, or NULL for everything.")));
}

int AddRefreshPolicy(FunctionCallInfo fcinfo) {
  RefuseReadOnly("adding a policy");
  const Oid view_id = RelationArgument(fcinfo, "continuous_aggregate");
  const PolicyRelation relation = OpenPolicyRelation(view_id, AccessShareLock);
  LockPolicies(view_id);
  if (relation.aggregate == nullptr) {
    ereport(ERROR,
            (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a continuous aggregate",
                                                        RelationGetRelationName(relation.table))));
  }
  const PolicyOffset start =
      OffsetArgument(fcinfo, 1, relation.time_type, "start_offset", OffsetSign::kPositive);
  const PolicyOffset end =
      OffsetArgument(fcinfo, 2, relation.time_type, "end_offset", OffsetSign::kNotNegative);
  if (PG_ARGISNULL(3))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("schedule_interval must not be NULL")));
  CheckWindow(*relation.aggregate, start, end);
  if (!start.is_null) (void)TimeBeforeNow(relation.base, start, "start_offset");
  if (!end.is_null) (void)TimeBeforeNow(relation.base, end, "end_offset");

  StringInfoData config;
  initStringInfo(&config);
  appendStringInfoChar(&config, '{');
  AppendOffset(&config, "start_offset", start);
  appendStringInfoString(&config, ", ");
  AppendOffset(&config, "end_offset", end);
  appendStringInfoChar(&config, '}');
  NewJob job = NewPolicy(kRefreshProcedure, relation.aggregate->view, config.data);
  SetSchedule(&job, fcinfo, 3, 5, 6);
  const int id = AddPolicy(job, FlagArgument(fcinfo, 4));
  ClosePolicyRelation(relation);
  return id;
}

}  // namespace

bool RemovePolicy(FunctionCallInfo fcinfo, const char *relation_name, const char *procedure,
                  const char *kind, bool if_exists) {
  RefuseReadOnly("removing a policy");
  const Oid relation_id = RelationArgument(fcinfo, relation_name);
  Relation relation = OpenOwnedTable(relation_id, AccessShareLock);
  LockPolicies(relation_id);
  const int id = FindPolicy(procedure, relation_id);
  if (id != 0) {
    DeleteJob(id);
  } else {
    ereport(if_exists ? NOTICE : ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT),
             errmsg("\"%s\" has no %s policy%s", RelationGetRelationName(relation), kind,
                    if_exists ? ", skipping" : "")));
  }
  table_close(relation, NoLock);
  return id != 0;
}

}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_add_retention_policy) {
  PG_RETURN_INT32(AddAgePolicy(fcinfo, kRetentionProcedure, "relation", "drop_after", "drop_after",
                               kDaily, CheckRetention));
}

TSEXT_FUNCTION(tsext_remove_retention_policy) {
  RemovePolicy(fcinfo, "relation", kRetentionProcedure, "retention", FlagArgument(fcinfo, 1));
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_add_columnstore_policy) {
  PG_RETURN_INT32(AddAgePolicy(fcinfo, kColumnstoreProcedure, "hypertable", "after", "after",
                               kTwiceADay, CheckColumnstore));
}

TSEXT_FUNCTION(tsext_add_compression_policy) {
  PG_RETURN_INT32(AddAgePolicy(fcinfo, kColumnstoreProcedure, "hypertable", "compress_after",
                               "after", kTwiceADay, CheckColumnstore));
}

TSEXT_FUNCTION(tsext_remove_columnstore_policy) {
  RemovePolicy(fcinfo, "hypertable", kColumnstoreProcedure, "columnstore", FlagArgument(fcinfo, 1));
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_add_continuous_aggregate_policy) {
  PG_RETURN_INT32(AddRefreshPolicy(fcinfo));
}

TSEXT_FUNCTION(tsext_remove_continuous_aggregate_policy) {
  RemovePolicy(fcinfo, "continuous_aggregate", kRefreshProcedure, "refresh",
               FlagArgument(fcinfo, 1) || FlagArgument(fcinfo, 2));
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_policy_retention_check) {
  const ConfigKey keys[] = {{"drop_after", OffsetSign::kPositive, false}};
  CheckPolicyConfig(PG_GETARG_JSONB_P(0), keys, 1);
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_policy_columnstore_check) {
  const ConfigKey keys[] = {{"after", OffsetSign::kPositive, false}};
  CheckPolicyConfig(PG_GETARG_JSONB_P(0), keys, 1);
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_policy_refresh_check) {
  const ConfigKey keys[] = {{"start_offset", OffsetSign::kPositive, true},
                            {"end_offset", OffsetSign::kNotNegative, true}};
  CheckPolicyConfig(PG_GETARG_JSONB_P(0), keys, 2);
  PG_RETURN_VOID();
}
