// One range is downsampled: its rows are read, removed and replaced under one snapshot, so readers
// see the old rows or the new ones, and rows that came meanwhile stay for a later run.

#include "pg/job/downsample.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/owner_rights.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/bulk_writer.hpp"
#include "pg/table/remove_times.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {
namespace {

/// The rows of the buckets, not yet in the table.
struct Buckets {
  Tuplestorestate *rows;
  TupleDesc descriptor;
  int64_t rows_read, count;
  bool nothing_to_do;  // every bucket is as it should be already
};

ParamListInfo MakeParameters(const Downsampling &what, const RangeToDo &range) {
  const Oid time_type = what.options->time_type;
  const Datum values[] = {DatumOfTime(range.from, time_type), DatumOfTime(range.until, time_type),
                          IntervalPGetDatum(&what.bucket)};
  const Oid types[] = {time_type, time_type, INTERVALOID};
  ParamListInfo parameters = makeParamList(lengthof(values));
  for (size_t i = 0; i < lengthof(values); i++) {
    ParamExternData &parameter = parameters->params[i];
    parameter.value = values[i];
    parameter.isnull = false;
    parameter.pflags = PARAM_FLAG_CONST;
    parameter.ptype = types[i];
  }
  return parameters;
}

/// Runs the query with this snapshot, into buckets->rows.
void ReadBuckets(const Downsampling &what, const RangeToDo &range, Snapshot snapshot,
                 Buckets *buckets) {
  MemoryContext caller = CurrentMemoryContext;
  buckets->rows = tuplestore_begin_heap(false, false, work_mem);
  SPI_connect();
  PushActiveSnapshot(snapshot);
  Oid types[] = {what.options->time_type, what.options->time_type, INTERVALOID};
  const SPIPlanPtr plan =
      SPI_prepare_cursor(what.query, lengthof(types), types, CURSOR_OPT_PARALLEL_OK);
  if (plan == nullptr) elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
  const auto *source = static_cast<CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(plan)));
  MemoryContext here = MemoryContextSwitchTo(caller);
  buckets->descriptor = CreateTupleDescCopy(source->resultDesc);
  MemoryContextSwitchTo(here);

  SPIExecuteOptions options{};
  options.params = MakeParameters(what, range);
  options.read_only = true;  // with the snapshot above
  options.dest = CreateDestReceiver(DestTuplestore);
  SetTuplestoreDestReceiverParams(options.dest, buckets->rows, caller, true, nullptr, nullptr);
  const int result = SPI_execute_plan_extended(plan, &options);
  if (result < 0) elog(ERROR, "could not read buckets: %s", SPI_result_code_string(result));
  PopActiveSnapshot();
  SPI_finish();
}

/// Sums up what the query said beside the rows.
void CountBuckets(const Downsampling &what, Buckets *buckets) {
  TupleTableSlot *slot = MakeSingleTupleTableSlot(buckets->descriptor, &TTSOpsMinimalTuple);
  buckets->nothing_to_do = true;
  while (tuplestore_gettupleslot(buckets->rows, true, false, slot)) {
    if ((++buckets->count & 1023) == 0) CHECK_FOR_INTERRUPTS();
    bool is_null;
    buckets->rows_read += DatumGetInt64(slot_getattr(slot, what.column_count + 1, &is_null));
    if (!DatumGetBool(slot_getattr(slot, what.column_count + 2, &is_null)))
      buckets->nothing_to_do = false;
  }
  ExecDropSingleTupleTableSlot(slot);
  tuplestore_rescan(buckets->rows);
}

/// Writes the rows as a bulk load does. Triggers do not fire: nothing has happened that was not
/// there before.
void InsertBuckets(const Downsampling &what, const Buckets &buckets) {
  Relation relation = what.relation;
  const TupleDesc descriptor = RelationGetDescr(relation);
  const TupleConstr *constraints = descriptor->constr;
  EState *state = CreateExecutorState();
  ResultRelInfo *target = makeNode(ResultRelInfo);
  // 0: without a range table.
  InitResultRelInfo(target, relation, 0, nullptr, 0);
  ExecOpenIndices(target, false);
  BulkWriterOptions options;
  options.cid = GetCurrentCommandId(true);
  options.result_relation = target;
  options.executor_state = state;
  options.is_replacement = true;
  options.stays_hot = StaysHotBecause(relation) != nullptr;
  BulkWriter *writer = BulkWriterCreate(relation, options, CurrentMemoryContext);

  TupleTableSlot *bucket = MakeSingleTupleTableSlot(buckets.descriptor, &TTSOpsMinimalTuple);
  TupleTableSlot *row = MakeSingleTupleTableSlot(descriptor, &TTSOpsVirtual);
  while (tuplestore_gettupleslot(buckets.rows, true, false, bucket)) {
    CHECK_FOR_INTERRUPTS();
    ResetPerTupleExprContext(state);
    slot_getallattrs(bucket);
    ExecClearTuple(row);
    for (int i = 0; i < descriptor->natts; i++) {
      row->tts_values[i] = 0;
      row->tts_isnull[i] = true;
    }
    for (int i = 0; i < what.column_count; i++) {
      row->tts_values[what.columns[i] - 1] = bucket->tts_values[i];
      row->tts_isnull[what.columns[i] - 1] = bucket->tts_isnull[i];
    }
    ExecStoreVirtualTuple(row);
    row->tts_tableOid = RelationGetRelid(relation);
    if (constraints != nullptr && constraints->has_generated_stored)
      ExecComputeStoredGenerated(target, state, row, CMD_INSERT);
    if (constraints != nullptr) ExecConstraints(target, row, state);
    if (relation->rd_rel->relispartition) ExecPartitionCheck(target, row, state, true);
    BulkWriterAppend(writer, row);
  }
  BulkWriterFinish(writer);
  BulkWriterDestroy(writer);
  ExecDropSingleTupleTableSlot(row);
  ExecDropSingleTupleTableSlot(bucket);
  ExecCloseIndices(target);
  FreeExecutorState(state);
  CommandCounterIncrement();
}

void Replace(const Downsampling &what, const RangeToDo &range, Snapshot snapshot,
             const Buckets &buckets) {
  SourceGoes(what.relation, range.from, range.until, snapshot);
  const TimeRange times = {range.from, range.until};
  const int64_t removed = RemoveTimes(what.relation, &times, 1, snapshot);
  // Otherwise rows would be lost or doubled.
  if (removed != buckets.rows_read)
    elog(ERROR, "downsampling of \"%s\" read %lld rows but would remove %lld",
         RelationGetRelationName(what.relation), static_cast<long long>(buckets.rows_read),
         static_cast<long long>(removed));
  StopPoint("downsample_after_remove");
  const OwnerRights caller = TakeOwnerRights(what.relation);
  InsertBuckets(what, buckets);
  GiveBackRights(caller);
  StopPoint("downsample_after_insert");
}

}  // namespace

void CheckDownsamplingQuery(const Downsampling &what) {
  SPI_connect();
  Oid types[] = {what.options->time_type, what.options->time_type, INTERVALOID};
  if (SPI_prepare(what.query, lengthof(types), types) == nullptr)
    elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
  SPI_finish();
}

RangeResult DownsampleRange(const Downsampling &what, const RangeToDo &range) {
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext downsampling", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  PrepareSourceGoes(what.relation, range.from, range.until);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  Buckets buckets{};
  const OwnerRights rights = TakeOwnerRights(what.relation);
  ReadBuckets(what, range, snapshot, &buckets);
  GiveBackRights(rights);
  CountBuckets(what, &buckets);
  StopPoint("downsample_after_read");

  RangeResult result{};
  result.is_changed = !buckets.nothing_to_do;
  result.rows_before = buckets.rows_read;
  result.rows_after = buckets.count;
  if (result.is_changed) Replace(what, range, snapshot, buckets);
  RecordDoneRange(what, {range.from, range.until, buckets.count, {}},
                  range.follows ? &range.before : nullptr);
  tuplestore_end(buckets.rows);
  UnregisterSnapshot(snapshot);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  return result;
}

}  // namespace tsext::pg
