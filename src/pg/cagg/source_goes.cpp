// Keeping what aggregates know of rows that are about to go.

#include "pg/cagg/source_goes.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/cagg/bucket.hpp"
#include "pg/cagg/compute.hpp"
#include "pg/cagg/dirty.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/table/drop_chunks.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

/// The rows that go: of a table, or of the finished buckets of an aggregate.
struct Source {
  const ContinuousAggregate *aggregate;  // whose buckets go; nullptr: rows of a table go
  ContinuousAggregate *readers;          // the aggregates above, lower levels first
  int reader_count;
};

Source SourceOfTable(Oid base) {
  Source source{};
  source.readers = AggregatesOfBase(base, nullptr, &source.reader_count);
  return source;
}

/// Only those that read the aggregate's view, or that of one that does: sources have lower levels.
Source SourceOfAggregate(const ContinuousAggregate &aggregate) {
  Source source = SourceOfTable(aggregate.base);
  source.aggregate = &aggregate;
  auto *views = static_cast<Oid *>(palloc(sizeof(Oid) * (source.reader_count + 1)));
  int view_count = 0;
  views[view_count++] = aggregate.view;
  int used = 0;
  for (int i = 0; i < source.reader_count; i++) {
    if (std::find(views, views + view_count, source.readers[i].source) == views + view_count)
      continue;
    views[view_count++] = source.readers[i].view;
    source.readers[used++] = source.readers[i];
  }
  source.reader_count = used;
  return source;
}

/// The buckets of a reader that lose rows when those with times in [from, until) go; empty when
/// `snapshot` sees none. They end with the newest row: later ones still have all of their source.
TimeRange LosingBuckets(const Source &source, const ContinuousAggregate &reader, int64_t from,
                        int64_t until, Snapshot snapshot) {
  int64_t last;
  if (source.aggregate != nullptr) {
    const int64_t threshold = ReadThreshold(source.aggregate->materialization, snapshot);
    if (threshold <= from) return {0, 0};
    last = std::min(until, threshold) - 1;
  } else if (!NewestTime(reader, from, until, snapshot, &last)) {
    return {0, 0};
  }
  return BucketsAround(reader, from, last);
}

/// The locks on the readers, before the snapshot that says what goes is taken.
void LockReaders(Relation relation, int64_t from, int64_t until) {
  const Oid table = RelationGetRelid(relation);
  const ContinuousAggregate *aggregate = AggregateOfMaterialization(table);
  if (aggregate != nullptr) LockRelationOid(aggregate->view, ShareUpdateExclusiveLock);
  const Source source = aggregate == nullptr ? SourceOfTable(table) : SourceOfAggregate(*aggregate);
  if (source.reader_count == 0) return;
  for (int i = 0; i < source.reader_count; i++) {
    LockRelationOid(source.readers[i].view, ShareUpdateExclusiveLock);
    LockRelationOid(source.readers[i].materialization, ShareUpdateExclusiveLock);
  }
  // Nobody refreshes them any more. In the order in which writers lock them.
  PushActiveSnapshot(GetLatestSnapshot());
  for (int i = 0; i < source.reader_count; i++) {
    const ContinuousAggregate &reader = source.readers[i];
    const TimeRange losing = LosingBuckets(source, reader, from, until, GetActiveSnapshot());
    if (losing.until > ReadThreshold(reader.materialization, nullptr)) LockOutWriters(reader);
  }
  PopActiveSnapshot();
}

[[noreturn]] void RaiseRefreshed(const ContinuousAggregate &aggregate) {
  ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                  errmsg("continuous aggregate \"%s\" was refreshed concurrently",
                         get_rel_name(aggregate.view)),
                  errhint("The statement might succeed if retried.")));
}

/// Computes what is dirty in the buckets that lose rows, once and for all, and marks them.
void KeepBuckets(const ContinuousAggregate &reader, TimeRange losing, Snapshot snapshot) {
  Relation materialization = table_open(reader.materialization, ShareUpdateExclusiveLock);
  AggregateState state = ReadState(reader, snapshot);
  // A snapshot from before the locks does not see all of the materialization.
  if (ReadThreshold(reader.materialization, nullptr) != state.threshold) RaiseRefreshed(reader);
  int count;
  TimeRange *dirty = DirtyRanges(reader, state, losing, &count);
  if (state.threshold < losing.until) {
    LockOutWriters(reader);
    LogRange(reader, state.threshold, losing.from);
    WriteThreshold(reader.materialization, losing.until);
    dirty = static_cast<TimeRange *>(repalloc(dirty, sizeof(TimeRange) * (count + 1)));
    dirty[count++] = {std::max(state.threshold, losing.from), losing.until};
    count = JoinRanges(dirty, count);
    state.threshold = losing.until;
  }
  if (count > 0) (void)ComputeBuckets(reader, materialization, state, dirty, count, snapshot);
  CleanLog(reader, state, losing);
  AddGone(reader.materialization, losing.from, losing.until);
  table_close(materialization, NoLock);
}

/// Brings the readers up to date, lower levels first, and marks what loses rows.
void KeepReaders(const Source &source, int64_t from, int64_t until, Snapshot snapshot) {
  for (int i = 0; i < source.reader_count; i++) {
    const ContinuousAggregate &reader = source.readers[i];
    LockRelationOid(reader.view, ShareUpdateExclusiveLock);
    // What this transaction has done so far is seen, too: a lower level, other ranges.
    CommandCounterIncrement();
    PushCopiedSnapshot(snapshot);
    UpdateActiveSnapshotCommandId();
    const TimeRange losing = LosingBuckets(source, reader, from, until, GetActiveSnapshot());
    if (losing.from < losing.until) KeepBuckets(reader, losing, GetActiveSnapshot());
    PopActiveSnapshot();
    StopPoint("source_after_aggregate");
  }
}

void KeepSource(Relation base, int64_t from, int64_t until, Snapshot snapshot) {
  KeepReaders(SourceOfTable(RelationGetRelid(base)), from, until, snapshot);
}

/// The buckets that start in [from, until) go, and stay away.
void LetBucketsGo(const ContinuousAggregate &aggregate, int64_t from, int64_t until,
                  Snapshot snapshot) {
  KeepReaders(SourceOfAggregate(aggregate), from, until, snapshot);
  PushActiveSnapshot(snapshot);
  const TimeRange inside = BucketsInside(aggregate, from, until);
  // A bucket goes with the chunk that holds its start.
  const int64_t end = inside.until < until ? BucketEnd(aggregate, inside.until) : inside.until;
  const int64_t last = std::min(end, ReadThreshold(aggregate.materialization, snapshot));
  if (inside.from < last) AddGone(aggregate.materialization, inside.from, last);
  PopActiveSnapshot();
}

int64_t EarliestOpenBucket(Relation base, int64_t time) {
  const Source source = SourceOfTable(RelationGetRelid(base));
  int64_t earliest = kTimeMaximum;
  for (int i = 0; i < source.reader_count; i++)
    earliest = std::min(earliest, BucketStart(source.readers[i], time));
  return earliest;
}

}  // namespace

void InitSourceGoes() {
  SetSourceGoesFunctions(LockReaders, KeepSource, EarliestOpenBucket);
  SetBucketsGoFunction(LetBucketsGo);
}

}  // namespace tsext::pg
