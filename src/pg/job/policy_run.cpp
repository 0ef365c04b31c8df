// The procedures of policies. Each commits between its steps, so that no lock is held longer than a
// step and a kill loses one step at most: the next run finds what is left to do.

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/set_options.hpp"
#include "pg/job/job.hpp"
#include "pg/job/job_run.hpp"
#include "pg/job/job_table.hpp"
#include "pg/job/policy.hpp"
#include "pg/job/policy_offset.hpp"
#include "pg/table/compact.hpp"
#include "pg/table/drop_chunks.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

/// One run of a policy. Lives, with all it points to, in the memory of its SPI connection, which
/// outlasts the transactions.
struct Run {
  Oid relation_id;
  const Jsonb *config;
};

/// Connects a procedure that may commit. Errors with 2D000 inside a transaction block or function.
Run BeginRun(FunctionCallInfo fcinfo, const char *procedure) {
  if (IsAtomicCall(fcinfo)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
                    errmsg("a policy cannot run inside a transaction block or function"),
                    errdetail("It commits between its steps."),
                    errhint("Use CALL run_job(…) on its own.")));
  }
  RefuseReadOnly("running a policy");
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("job_id and config must not be NULL")));
  }
  SPI_connect_ext(SPI_OPT_NONATOMIC);
  const int job_id = PG_GETARG_INT32(0);
  const Job *job = FindJob(job_id);
  if (job == nullptr || !OidIsValid(job->relation) || strcmp(job->proc_name, procedure) != 0) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("job %d is not a job of tsext.%s", job_id, procedure)));
  }
  const Run run = {job->relation,
                   reinterpret_cast<Jsonb *>(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(1)))};
  // Each step is a whole transaction.
  SPI_commit();
  return run;
}

void EndRun() {
  SPI_finish();
}

/// What one transaction of a run does. The commit that follows needs all snapshots popped.
template <typename Step>
void InTransaction(Step &&step) {
  CHECK_FOR_INTERRUPTS();
  // Chunks are dropped and moved under latest snapshots, whatever default_transaction_isolation is.
  XactIsoLevel = XACT_READ_COMMITTED;
  PushActiveSnapshot(GetTransactionSnapshot());
  step();
  PopActiveSnapshot();
  SPI_commit();
}

PolicyOffset RequiredOffset(const Run &run, const char *key, Oid time_type) {
  const PolicyOffset offset = OffsetOfConfig(run.config, key, time_type, OffsetSign::kPositive);
  if (offset.is_null) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("the config of the job lacks \"%s\"", key)));
  }
  return offset;
}

/// The text of a time as an SQL literal of the widest type of its kind; NULL where the type ends.
const char *TimeLiteral(int64_t time, Oid time_type) {
  int64_t minimum;
  int64_t maximum;
  TimeTypeRange(time_type, &minimum, &maximum);
  if (time < minimum || time > maximum || time == kTimeMinimum || time == kTimeMaximum)
    return "NULL";
  const Oid type = IsIntegerTimeType(time_type) ? INT8OID : time_type;
  return psprintf("%s::%s", quote_literal_cstr(TimeText(time, time_type)),
                  format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY));
}

/// Refreshes a continuous aggregate, which takes transactions of its own.
void Refresh(Oid view, int64_t from, int64_t until, Oid time_type) {
  const char *command = psprintf(
      "CALL %s.refresh_continuous_aggregate(%u::pg_catalog.regclass, %s, %s)", ExtensionSchema(),
      view, TimeLiteral(from, time_type), TimeLiteral(until, time_type));
  SPIExecuteOptions options{};
  options.allow_nonatomic = true;
  SPI_execute_extended(command, &options);
}

// ---- retention ----

/// What is to go, found out before anything is done.
struct Retention {
  int64_t age;       // now less drop_after
  int64_t until;     // chunks that end by then go
  bool is_of_table;  // not of an aggregate's buckets
  bool is_empty;     // there are none, as far as that was looked for
  const ContinuousAggregate *above;
  int above_count;
  Oid time_type;
};

Retention PlanRetention(const Run &run) {
  const PolicyRelation relation = OpenPolicyRelation(run.relation_id, AccessShareLock);
  Retention plan{};
  plan.time_type = relation.time_type;
  plan.age = plan.until = TimeBeforeNow(
      relation.base, RequiredOffset(run, "drop_after", relation.time_type), "drop_after");
  plan.is_of_table = relation.aggregate == nullptr;
  if (plan.is_of_table && plan.age > kTimeMinimum) {
    plan.above = AggregatesOfBase(RelationGetRelid(relation.base), nullptr, &plan.above_count);
    // Only buckets that were over by then lose rows.
    plan.until = std::min(plan.age, SourceLimit(relation.base, plan.age));
  }
  // Nothing is refreshed for nothing. Without aggregates dropping finds out by itself.
  if (plan.above_count > 0) {
    int count;
    (void)ListChunks(relation.table, kTimeMinimum, plan.until, nullptr, &count);
    ChunkRange part;
    plan.is_empty = count == 0 && !FindOldPart(relation.table, plan.until, &part);
  }
  ClosePolicyRelation(relation);
  return plan;
}

/// Brings the aggregates above up to date, so that dropping need not do it while it holds its
/// locks. Those of other owners are left to it.
void RefreshAbove(const Retention &plan) {
  for (int i = 0; i < plan.above_count; i++) {
    if (TsextOwnsRelation(plan.above[i].view, GetUserId()))
      Refresh(plan.above[i].view, kTimeMinimum, plan.age, plan.time_type);
  }
}

/// An aggregate may have been made meanwhile, with a bucket that still takes rows.
int64_t UntilNow(const Retention &plan, const DropTarget &target) {
  return plan.is_of_table ? std::min(plan.until, SourceLimit(target.relation, plan.age))
                          : plan.until;
}

void CountDropped(int64_t, int64_t, void *state) {
  ++*static_cast<int64_t *>(state);
}

void RunRetention(const Run &run) {
  Retention plan;
  InTransaction([&] { plan = PlanRetention(run); });
  ReportJobRows(0);
  if (plan.is_empty) return;
  RefreshAbove(plan);
  (void)TakeReportedRows();  // of the refreshes: what counts here is chunks
  StopPoint("retention_after_refresh");
  int64_t chunks = 0;
  InTransaction([&] {
    const DropTarget target = OpenForDrop(run.relation_id, "a retention policy");
    DropChunks(target, kTimeMinimum, UntilNow(plan, target), CountDropped, &chunks);
    table_close(target.relation, NoLock);
    StopPoint("retention_after_drop");
  });
  InTransaction([&] {
    const DropTarget target = OpenForDrop(run.relation_id, "a retention policy");
    if (DropOldPart(target, UntilNow(plan, target))) chunks++;
    table_close(target.relation, NoLock);
    StopPoint("retention_after_part");
  });
  ReportJobRows(chunks);
}

// ---- columnstore ----

void RunColumnstore(const Run &run) {
  bool more = true;
  while (more) {
    InTransaction([&] {
      const PolicyRelation relation = OpenPolicyRelation(run.relation_id, AccessShareLock);
      CompactRequest request;
      request.until =
          TimeBeforeNow(relation.base, RequiredOffset(run, "after", relation.time_type), "after");
      request.level = CompactLevel::kCold;
      request.background = true;
      request.any_size = true;
      const Oid table_id = RelationGetRelid(relation.table);
      ClosePolicyRelation(relation);
      Relation table = OpenForCompaction(table_id, "a columnstore policy");
      CompactResult result;
      if (const char *reason = StaysHotBecause(table); reason != nullptr) {
        ereport(NOTICE,
                (errmsg("table \"%s\" stays hot: %s", RelationGetRelationName(table), reason)));
      } else {
        result = CompactRelation(table, request);
      }
      table_close(table, NoLock);
      ReportJobRows(result.segments_written);
      // What gave way without a step ahead is left for the next run.
      more = result.more && result.segments_written > 0;
    });
  }
}

// ---- refresh ----

void RunRefresh(const Run &run) {
  Oid view = InvalidOid;
  Oid time_type = InvalidOid;
  int64_t from = kTimeMinimum;
  int64_t until = kTimeMaximum;
  InTransaction([&] {
    const PolicyRelation relation = OpenPolicyRelation(run.relation_id, AccessShareLock);
    if (relation.aggregate == nullptr) {
      ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                      errmsg("\"%s\" is not a continuous aggregate",
                             RelationGetRelationName(relation.table))));
    }
    view = relation.aggregate->view;
    time_type = relation.time_type;
    const PolicyOffset start =
        OffsetOfConfig(run.config, "start_offset", time_type, OffsetSign::kPositive);
    const PolicyOffset end =
        OffsetOfConfig(run.config, "end_offset", time_type, OffsetSign::kNotNegative);
    if (!start.is_null) from = TimeBeforeNow(relation.base, start, "start_offset");
    if (!end.is_null) until = TimeBeforeNow(relation.base, end, "end_offset");
    ClosePolicyRelation(relation);
  });
  if (from < until) Refresh(view, from, until, time_type);
}

}  // namespace

}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_policy_retention) {
  RunRetention(BeginRun(fcinfo, kRetentionProcedure));
  EndRun();
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_policy_columnstore) {
  RunColumnstore(BeginRun(fcinfo, kColumnstoreProcedure));
  EndRun();
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_policy_refresh) {
  RunRefresh(BeginRun(fcinfo, kRefreshProcedure));
  EndRun();
  PG_RETURN_VOID();
}
