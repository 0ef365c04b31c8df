#include "pg/table/drop_chunks.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/set_options.hpp"
#include "pg/table/chunk_hold.hpp"
#include "pg/table/compact.hpp"
#include "pg/table/hot_rows.hpp"
#include "pg/table/remove_times.hpp"
#include "pg/table/store.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

BucketsGoFunction buckets_go = nullptr;

/// What one snapshot sees of a table.
struct Contents {
  SegmentRow *segments;
  int segment_count;
  ChunkMap map;
  ChunkRange *chunks;  // with rows, inside the wanted range; ascending
  int chunk_count;
  bool has_hot;  // one of them has hot rows
};

bool IsInside(int64_t start, int64_t end, int64_t from, int64_t until) {
  return start >= from && end <= until;
}

Contents ReadContents(Relation relation, int64_t from, int64_t until, Snapshot snapshot) {
  Contents contents{};
  const Oid store = relation->rd_rel->reltoastrelid;
  if (OidIsValid(store)) {
    contents.segments =
        LoadSegments(store, kTimeMinimum, kTimeMaximum, snapshot, &contents.segment_count);
  }
  contents.map = MakeChunkMap(GetTableOptions(relation), contents.segments, contents.segment_count);
  int hot_count;
  const HotChunk *hot = CountHotRows(relation, &contents.map, &hot_count, snapshot);

  // Both lists are in time order: name each chunk once.
  const ChunkRange *cold = contents.map.existing;
  const int cold_count = contents.map.count;
  contents.chunks =
      static_cast<ChunkRange *>(palloc(sizeof(ChunkRange) * Max(cold_count + hot_count, 1)));
  int c = 0;
  int h = 0;
  while (c < cold_count || h < hot_count) {
    ChunkRange range;
    bool is_hot = true;
    if (h == hot_count || (c < cold_count && cold[c].start <= hot[h].range.start)) {
      range = cold[c++];
      is_hot = h < hot_count && hot[h].range.start == range.start;
      if (is_hot) h++;
    } else {
      range = hot[h++].range;
    }
    if (!IsInside(range.start, range.end, from, until)) continue;
    contents.chunks[contents.chunk_count++] = range;
    contents.has_hot |= is_hot;
  }
  return contents;
}

/// The locks that telling the aggregates needs, before the snapshot is taken; none when no chunk
/// would go, as with most runs of a policy.
void LockAggregates(const DropTarget &target, int64_t from, int64_t until) {
  if (target.aggregate == nullptr && !IsFollowed(target.relation)) return;
  int count;
  const ChunkRange *chunks = ListChunks(target.relation, from, until, nullptr, &count);
  if (count > 0) PrepareSourceGoes(target.relation, chunks[0].start, chunks[count - 1].end);
}

void TellAggregatesOf(const DropTarget &target, ChunkRange range, Snapshot snapshot) {
  if (target.aggregate == nullptr)
    SourceGoes(target.relation, range.start, range.end, snapshot);
  else if (buckets_go != nullptr)
    buckets_go(*target.aggregate, range.start, range.end, snapshot);
}

/// Aggregates above lose the source of these chunks, run by run of neighbours.
void TellAggregates(const DropTarget &target, const Contents &contents, Snapshot snapshot) {
  for (int i = 0; i < contents.chunk_count;) {
    ChunkRange run = contents.chunks[i++];
    while (i < contents.chunk_count && contents.chunks[i].start == run.end)
      run.end = contents.chunks[i++].end;
    TellAggregatesOf(target, run, snapshot);
  }
}

[[noreturn]] void RowIsTaken(Relation relation) {
  ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                  errmsg("could not drop rows of table \"%s\" due to a concurrent change",
                         RelationGetRelationName(relation)),
                  errdetail("Another transaction has locked, updated or deleted one of them, and "
                            "continuous aggregates keep what the rows were."),
                  errhint("The statement might succeed if retried.")));
}

void DeleteHotRows(const DropTarget &target, ChunkMap *map, int64_t from, int64_t until,
                   Snapshot snapshot) {
  Relation relation = target.relation;
  const bool is_told = target.aggregate != nullptr || IsFollowed(relation);
  const CommandId cid = GetCurrentCommandId(true);
  HotScan scan = HotScanBegin(relation, snapshot);
  int64_t seen = 0;
  while (TupleTableSlot *slot = HotScanNext(&scan)) {
    if ((++seen & 1023) == 0) CHECK_FOR_INTERRUPTS();
    int64_t time;
    if (!RowTime(map->options, slot, &time)) continue;
    const ChunkRange range = FindChunk(map, time);
    if (!IsInside(range.start, range.end, from, until)) continue;
    TM_FailureData failure;
    const TM_Result result = heap_delete(relation, &slot->tts_tid, cid, InvalidSnapshot,
                                         /*wait=*/false, &failure, /*changingPart=*/false);
    // What another transaction is changing stays for the next call. But a bucket that has the row,
    // and that nobody computes again, would be wrong for ever.
    if (result != TM_Ok && is_told) RowIsTaken(relation);
  }
  HotScanEnd(&scan);
}

}  // namespace

void SetBucketsGoFunction(BucketsGoFunction function) {
  buckets_go = function;
}

void RequireNoReferences(Relation relation) {
  const TriggerDesc *triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; i++) {
    if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) != RI_TRIGGER_PK) continue;
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot drop chunks of \"%s\": a foreign key references it",
                           RelationGetRelationName(relation)),
                    errhint("Use DELETE, which checks the referencing rows.")));
  }
}

DropTarget OpenForDrop(Oid relation_id, const char *operation) {
  DropTarget target{};
  target.aggregate = AggregateOfView(relation_id);
  if (target.aggregate == nullptr) target.aggregate = AggregateOfMaterialization(relation_id);
  Oid table_id = relation_id;
  if (target.aggregate != nullptr) {
    table_id = target.aggregate->materialization;
    // Refreshes of the view lock it first, too.
    table_close(OpenOwnedTable(target.aggregate->view, ShareUpdateExclusiveLock), NoLock);
  }
  target.relation = OpenForCompaction(table_id, operation);
  if (GetTableOptions(target.relation)->time_attribute == InvalidAttrNumber) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("table \"%s\" has no time column", RelationGetRelationName(target.relation)),
             errhint("Name one with tsext.set_options(relation, time_column => …).")));
  }
  RequireNoReferences(target.relation);
  // Segments of a table that may have none any more (it was published meanwhile): nobody downstream
  // would hear of it.
  if (const char *reason = StaysHotBecause(target.relation);
      reason != nullptr && HasSegments(target.relation->rd_rel->reltoastrelid, nullptr)) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot drop compressed chunks of \"%s\"",
                           RelationGetRelationName(target.relation)),
                    errdetail("The table stays hot: %s.", reason),
                    errhint("Make its rows hot with decompress_chunk() first.")));
  }
  return target;
}

ChunkRange *ListChunks(Relation relation, int64_t from, int64_t until, Snapshot snapshot,
                       int *count) {
  Snapshot registered = RegisterSnapshot(snapshot != nullptr ? snapshot : GetLatestSnapshot());
  const Contents contents = ReadContents(relation, from, until, registered);
  UnregisterSnapshot(registered);
  *count = contents.chunk_count;
  return contents.chunks;
}

void DropChunks(const DropTarget &target, int64_t from, int64_t until,
                void (*dropped)(int64_t start, int64_t end, void *state), void *state) {
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext drop_chunks", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  Relation relation = target.relation;
  const Oid store = relation->rd_rel->reltoastrelid;
  LockAggregates(target, from, until);
  // After the locks. What is told to aggregates, reported and deleted is what this one sees.
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  Contents contents = ReadContents(relation, from, until, snapshot);
  TellAggregates(target, contents, snapshot);
  StopPoint("retention_after_aggregates");

  MemoryContextSwitchTo(caller);
  for (int i = 0; i < contents.chunk_count; i++)
    dropped(contents.chunks[i].start, contents.chunks[i].end, state);
  MemoryContextSwitchTo(context);

  if (OidIsValid(store)) {
    Relation toast = table_open(store, RowExclusiveLock);
    for (int i = 0; i < contents.segment_count; i++) {
      const SegmentRow &segment = contents.segments[i];
      if (!IsInside(segment.chunk_start, segment.chunk_end, from, until)) continue;
      CHECK_FOR_INTERRUPTS();
      (void)RemoveSegment(toast, &segment);
    }
    table_close(toast, NoLock);
    // Not of [from, until): a chunk that reaches over its border keeps its hold.
    for (int i = 0; i < contents.chunk_count; i++)
      ReleaseHolds(store, contents.chunks[i].start, contents.chunks[i].end);
  }
  StopPoint("drop_after_segments");
  if (contents.has_hot) DeleteHotRows(target, &contents.map, from, until, snapshot);

  UnregisterSnapshot(snapshot);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  CommandCounterIncrement();
}

bool FindOldPart(Relation relation, int64_t until, ChunkRange *part) {
  const TableOptions *options = GetTableOptions(relation);
  const Oid store = relation->rd_rel->reltoastrelid;
  if (!options->interval_is_auto || !OidIsValid(store)) return false;
  const int64_t cut = ChunkForTime(options, options->chunk_interval, until, nullptr, 0).start;
  int count;
  const SegmentRow *segments = LoadSegments(store, kTimeMinimum, kTimeMaximum, nullptr, &count);
  int64_t oldest = kTimeMaximum;
  int64_t newest = kTimeMinimum;
  for (int i = 0; i < count; i++) {
    const SegmentRow &segment = segments[i];
    if (segment.chunk_start >= cut || segment.chunk_end <= cut) continue;
    // -infinity belongs to no chunk.
    *part = {std::max(segment.chunk_start, kTimeMinimum + 1), cut};
    oldest = std::min(oldest, segment.tmin);
    newest = std::max(newest, segment.tmax);
  }
  if (oldest >= cut) return false;
  // Unsigned: spans of integer times overflow.
  const uint64_t old_span = static_cast<uint64_t>(cut) - static_cast<uint64_t>(oldest);
  const uint64_t rest =
      newest < cut ? 0 : static_cast<uint64_t>(newest) - static_cast<uint64_t>(cut);
  return old_span >= rest / 16;
}

bool DropOldPart(const DropTarget &target, int64_t until) {
  ChunkRange part;
  if (!FindOldPart(target.relation, until, &part)) return false;
  PrepareSourceGoes(target.relation, part.start, part.end);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  TellAggregatesOf(target, part, snapshot);
  StopPoint("retention_after_aggregates");
  const TimeRange range = {part.start, part.end};
  (void)RemoveTimes(target.relation, &range, 1, snapshot);
  UnregisterSnapshot(snapshot);
  return true;
}

}  // namespace tsext::pg
