#include "pg/table/compact.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/base/read_only.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/set_options.hpp"
#include "pg/table/chunk_hold.hpp"
#include "pg/table/hot_rows.hpp"
#include "pg/table/merge.hpp"
#include "pg/table/row_buffer.hpp"
#include "pg/table/segment_writer.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// A background transaction ends after so many rows or so long.
constexpr int64_t kRowsPerTransaction = 1000000;
constexpr int64 kTimePerTransactionUs = 5 * USECS_PER_SEC;
// In the background, rows stay hot until so many of a chunk are there or the chunk is over.
constexpr int64_t kFewRows = 4096;

// The table whose merges gave way to a waiter last time: they come before the next move of rows.
Oid merge_first = InvalidOid;

/// Whether an UPDATE or DELETE waits for a row that this transaction moves.
bool RowIsWaitedFor() {
  const TransactionId xid = GetTopTransactionIdIfAny();
  if (!TransactionIdIsValid(xid)) return false;
  LOCKTAG tag;
  SET_LOCKTAG_TRANSACTION(tag, xid);
  return LockHasWaiters(&tag, ExclusiveLock, false);
}

/// Whether somebody waits for this transaction to end: DDL or a vacuum, too.
bool SomebodyWaits(Relation relation) {
  return LockHasWaitersRelation(relation, ShareUpdateExclusiveLock) || RowIsWaitedFor();
}

/// One compaction of hot rows.
struct Compaction {
  Relation relation;
  const TableOptions *options;
  const CompactRequest *request;
  CompactResult *result;
  RowBuffer *buffer;
  Level level;            // of the rows in the buffer
  TransactionId horizon;  // background: only rows that every snapshot sees
  int64 started_us;       // monotonic
};

bool TookItsTime(const Compaction &compaction) {
  return MonotonicMicroseconds() - compaction.started_us >= kTimePerTransactionUs;
}

/// Whether a row may be moved as far as its header tells. heap_delete() decides about xmax.
bool MayMove(const Compaction &compaction, HeapTuple tuple) {
  const HeapTupleHeader header = tuple->t_data;
  if (HeapTupleHeaderXminFrozen(header)) return true;
  const TransactionId xmin = HeapTupleHeaderGetRawXmin(header);
  // Rows of the caller's own transaction: a rollback to a savepoint could not take them out of a
  // segment again.
  if (TransactionIdIsCurrentTransactionId(xmin)) return false;
  return !compaction.request->background || TransactionIdPrecedes(xmin, compaction.horizon);
}

void WriteBuffer(Compaction *compaction) {
  if (RowBufferRows(compaction->buffer) == 0) return;
  StopPoint("compact_after_delete");
  WriteSegmentsOptions how;
  how.level = compaction->level;
  how.cid = GetCurrentCommandId(true);
  const WriteSegmentsResult written =
      WriteSegments(compaction->relation, compaction->buffer, compaction->options, how);
  if (written.left_count > 0) {
    elog(ERROR, "compaction of \"%s\" left %lld deleted rows unwritten",
         RelationGetRelationName(compaction->relation), static_cast<long long>(written.left_count));
  }
  compaction->result->segments_written += written.segments;
  compaction->result->bytes_after += written.bytes;
  RowBufferReset(compaction->buffer);
  // The next batch must see the chunks that this one made.
  CommandCounterIncrement();
  StopPoint("compact_after_write");
}

/// Which chunks are moved, with the level of their codecs.
struct ChosenChunk {
  ChunkRange range;
  Level level;
};

Level LevelOfChunk(const Compaction &compaction, int64_t chunk_end) {
  switch (compaction.request->level) {
    case CompactLevel::kHot:
      return Level::kHot;
    case CompactLevel::kCold:
      return Level::kCold;
    case CompactLevel::kAsSettings:
      break;
  }
  return cold_after_s >= 0 && EndedAgo(compaction.options, chunk_end, cold_after_s) ? Level::kCold
                                                                                    : Level::kHot;
}

/// The background worker's choice: chunks that reached compact_rows, or have at least a few rows
/// and got old, or are over.
bool ReachedThreshold(const Compaction &compaction, const HotChunk &chunk, bool heap_is_large) {
  if (chunk.rows >= compact_rows || heap_is_large) return true;
  if (EndedAgo(compaction.options, chunk.range.end, compact_age_s)) return true;
  return chunk.rows >= kFewRows;
}

ChosenChunk *ChooseChunks(const Compaction &compaction, ChunkMap *map, int *chosen) {
  int count;
  HotChunk *chunks = CountHotRows(compaction.relation, map, &count);
  const bool heap_is_large =
      static_cast<int64_t>(RelationGetNumberOfBlocks(compaction.relation)) * (BLCKSZ / 1024) >
      compact_bytes_kb;
  auto *result = static_cast<ChosenChunk *>(palloc(sizeof(ChosenChunk) * Max(count, 1)));
  *chosen = 0;
  for (int i = 0; i < count; i++) {
    const ChunkRange &range = chunks[i].range;
    if (range.start < compaction.request->from || range.end > compaction.request->until) continue;
    if (compaction.request->background &&
        ((!compaction.request->any_size &&
          !ReachedThreshold(compaction, chunks[i], heap_is_large)) ||
         ChunkIsOnHold(compaction.relation->rd_rel->reltoastrelid, range.start, range.end))) {
      continue;
    }
    result[(*chosen)++] = {range, LevelOfChunk(compaction, range.end)};
  }
  return result;
}

const ChosenChunk *FindChosen(const ChosenChunk *chosen, int count, const ChosenChunk *last,
                              int64_t time) {
  const auto holds = [time](const ChosenChunk &chunk) {
    return time >= chunk.range.start && (time < chunk.range.end || chunk.range.end == kTimeMaximum);
  };
  if (last != nullptr && holds(*last)) return last;
  const ChosenChunk *end = chosen + count;
  const ChosenChunk *after = std::upper_bound(
      chosen, end, time, [](int64_t t, const ChosenChunk &chunk) { return t < chunk.range.start; });
  if (after == chosen || !holds(*(after - 1))) return nullptr;
  return after - 1;
}

/// Deletes the row under the scan and adds what was deleted to the buffer. Encoding exactly what
/// was deleted is the whole protocol: heap's xmax is the lock. False: somebody has the row, it
/// stays hot.
bool MoveRow(Compaction *compaction, TupleTableSlot *slot, CommandId cid) {
  TM_FailureData failure;
  // The mark "moved" makes a concurrent UPDATE or DELETE that waits for us fail with 40001 instead
  // of losing its write.
  if (heap_delete(compaction->relation, &slot->tts_tid, cid, InvalidSnapshot, /*wait=*/false,
                  &failure,
                  /*changingPart=*/true) != TM_Ok) {
    return false;
  }
  const HeapTuple tuple = reinterpret_cast<BufferHeapTupleTableSlot *>(slot)->base.tuple;
  compaction->result->rows_moved++;
  compaction->result->bytes_before += tuple->t_len;
  RowBufferAppend(compaction->buffer, slot);
  return true;
}

/// Moves the rows of chosen chunks; every pass over the heap handles one level, so that a buffer
/// has one.
void MoveRows(Compaction *compaction, const ChosenChunk *chosen, int count, Level level) {
  bool any = false;
  for (int i = 0; i < count; i++) any |= chosen[i].level == level;
  if (!any) return;

  compaction->level = level;
  const CommandId cid = GetCurrentCommandId(true);
  const ChosenChunk *last = nullptr;
  HotScan scan = HotScanBegin(compaction->relation);
  int64_t seen = 0;
  while (TupleTableSlot *slot = HotScanNext(&scan)) {
    if ((++seen & 1023) == 0) {
      CHECK_FOR_INTERRUPTS();
      if (compaction->request->background &&
          (compaction->result->rows_moved >= kRowsPerTransaction || TookItsTime(*compaction) ||
           SomebodyWaits(compaction->relation))) {
        compaction->result->more = true;
        break;
      }
    }
    int64_t time;
    if (!RowTime(compaction->options, slot, &time)) continue;
    last = FindChosen(chosen, count, last, time);
    if (last == nullptr || last->level != level) continue;
    if (!MayMove(*compaction, reinterpret_cast<BufferHeapTupleTableSlot *>(slot)->base.tuple))
      continue;
    if (MoveRow(compaction, slot, cid) && RowBufferMemory(compaction->buffer) >= BulkMemoryBytes())
      WriteBuffer(compaction);
  }
  HotScanEnd(&scan);
  WriteBuffer(compaction);
}

/// Called now and then while segments are merged after a move of rows.
void GiveWay() {
  if (RowIsWaitedFor()) {
    ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("merging segments gives way")));
  }
}

struct MergeCall {
  Relation relation;
  const TableOptions *options;
  const MergeGroup *group;
  CompactResult *result;
};

void MergeOneGroup(void *state) {
  const auto *call = static_cast<MergeCall *>(state);
  MergeSegments(call->relation, call->options, *call->group, call->result,
                call->result->rows_moved > 0 ? GiveWay : nullptr);
}

/// Merges until all is done, or somebody waits, or a background transaction has lasted long enough.
/// Segments that cannot be read stay as they are and keep nobody from the others.
void Merge(Compaction *compaction) {
  // What was written before may have chosen the segment-by columns.
  CommandCounterIncrement();
  Relation relation = compaction->relation;
  CompactResult *result = compaction->result;
  const CompactRequest &request = *compaction->request;
  const TableOptions *options = GetTableOptions(relation);
  int count;
  const SegmentRow *segments =
      LoadSegments(relation->rd_rel->reltoastrelid, kTimeMinimum, kTimeMaximum, nullptr, &count);
  int group_count;
  const MergeGroup *groups = PlanMerges(options, segments, count, request, &group_count);
  for (int i = 0; i < group_count; i++) {
    if (request.background ? SomebodyWaits(relation) || TookItsTime(*compaction)
                           : result->rows_moved > 0 && RowIsWaitedFor()) {
      result->more = true;
      break;
    }
    CHECK_FOR_INTERRUPTS();
    MergeCall call{relation, options, &groups[i], result};
    ErrorData *error = TrySubtransaction(MergeOneGroup, &call);
    if (error == nullptr) continue;
    if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE) {
      result->more = true;
      break;
    }
    if (error->sqlerrcode != ERRCODE_DATA_CORRUPTED) ReThrowError(error);
    error->elevel = WARNING;
    ThrowErrorData(error);
  }
  if (result->more) merge_first = RelationGetRelid(relation);
}

}  // namespace

CompactResult CompactRelation(Relation relation, const CompactRequest &request) {
  CompactResult result;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext compaction", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  const Oid store = relation->rd_rel->reltoastrelid;

  Compaction compaction{};
  compaction.relation = relation;
  compaction.options = GetTableOptions(relation);
  compaction.request = &request;
  compaction.result = &result;
  compaction.horizon = GetOldestNonRemovableTransactionId(relation);
  compaction.started_us = MonotonicMicroseconds();
  compaction.buffer = RowBufferCreate(relation, compaction.options, context);

  int segment_count;
  const SegmentRow *segments =
      LoadSegments(store, kTimeMinimum, kTimeMaximum, nullptr, &segment_count);
  ChunkMap map = MakeChunkMap(compaction.options, segments, segment_count);
  if (!request.background) ReleaseHolds(store, request.from, request.until);

  if (merge_first == RelationGetRelid(relation)) {
    merge_first = InvalidOid;
    Merge(&compaction);
    CommandCounterIncrement();
    segments = LoadSegments(store, kTimeMinimum, kTimeMaximum, nullptr, &segment_count);
    map = MakeChunkMap(compaction.options, segments, segment_count);
  }

  int chosen_count = 0;
  const ChosenChunk *chosen =
      request.move_rows ? ChooseChunks(compaction, &map, &chosen_count) : nullptr;
  if (!result.more) MoveRows(&compaction, chosen, chosen_count, Level::kHot);
  if (!result.more) MoveRows(&compaction, chosen, chosen_count, Level::kCold);
  RowBufferDestroy(compaction.buffer);
  if (!result.more) Merge(&compaction);
  if (result.segments_written > 0) FoldStoreTotal(store);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  return result;
}

Relation OpenForCompaction(Oid relation_id, const char *operation) {
  RefuseReadOnly(operation);
  if (IsolationUsesXactSnapshot()) {
    ereport(ERROR,
            (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
             errmsg("cannot run %s in a REPEATABLE READ or SERIALIZABLE transaction", operation),
             errdetail("The transaction's snapshot could not see the rows it moves as they were."),
             errhint("Run it in a READ COMMITTED transaction.")));
  }
  Relation relation = OpenOwnedTable(relation_id, ShareUpdateExclusiveLock);
  if (!IsTsextRelation(relation)) {
    ereport(
        ERROR,
        (errcode(ERRCODE_WRONG_OBJECT_TYPE),
         errmsg("\"%s\" is not a tsext table", RelationGetRelationName(relation)),
         errhint("Convert it with ALTER TABLE … SET ACCESS METHOD tsext or create_hypertable().")));
  }
  return relation;
}

}  // namespace tsext::pg
