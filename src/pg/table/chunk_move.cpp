// Chunks moved back into the hot heap.

#include "pg/base/boundary.hpp"
#include "pg/base/owner_rights.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/table/chunk_hold.hpp"
#include "pg/table/cold_scan.hpp"
#include "pg/table/compact.hpp"
#include "pg/table/hot_rows.hpp"
#include "pg/table/store.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {

namespace {

// What a heap_multi_insert takes at once.
constexpr int kInsertBatchRows = 500;
constexpr size_t kInsertBatchBytes = size_t{1} << 20;

/// Directory rows of chunks inside [from, until).
SegmentRow *SegmentsInside(Oid store, int64_t from, int64_t until, int *count) {
  int all;
  SegmentRow *rows = LoadSegments(store, kTimeMinimum, kTimeMaximum, nullptr, &all);
  *count = 0;
  for (int i = 0; i < all; i++) {
    if (rows[i].chunk_start >= from && rows[i].chunk_end <= until) rows[(*count)++] = rows[i];
  }
  return rows;
}

/// Inserts rows into the hot heap with their index entries. Row triggers do not fire: no row is new
/// to the user.
class HotWriter {
 public:
  explicit HotWriter(Relation relation) : relation_(relation) {
    state_ = CreateExecutorState();
    result_ = makeNode(ResultRelInfo);
    InitResultRelInfo(result_, relation, 1, nullptr, 0);
    ExecOpenIndices(result_, false);
    bulk_ = GetBulkInsertState();
    for (TupleTableSlot *&slot : slots_) {
      slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
    }
    memory_ = AllocSetContextCreate(CurrentMemoryContext, "tsext hot rows", ALLOCSET_DEFAULT_SIZES);
  }

  void Append(TupleTableSlot *row) {
    MemoryContext caller = MemoryContextSwitchTo(memory_);
    TupleTableSlot *slot = slots_[count_++];
    const HeapTuple tuple = ExecCopySlotHeapTuple(row);
    bytes_ += tuple->t_len;
    ExecForceStoreHeapTuple(tuple, slot, false);
    slot->tts_tableOid = RelationGetRelid(relation_);
    MemoryContextSwitchTo(caller);
    if (count_ == kInsertBatchRows || bytes_ >= kInsertBatchBytes) Flush();
  }

  void Finish() {
    Flush();
    for (TupleTableSlot *slot : slots_) ExecDropSingleTupleTableSlot(slot);
    FreeBulkInsertState(bulk_);
    ExecCloseIndices(result_);
    FreeExecutorState(state_);
    MemoryContextDelete(memory_);
  }

 private:
  void Flush() {
    if (count_ == 0) return;
    // heap_multi_insert leaves memory behind, of toasted rows as much as they have.
    MemoryContext caller = MemoryContextSwitchTo(memory_);
    heap_multi_insert(relation_, slots_, count_, GetCurrentCommandId(true), 0, bulk_);
    for (int i = 0; i < count_; i++) {
      if (result_->ri_NumIndices > 0) {
        ResetPerTupleExprContext(state_);
        list_free(ExecInsertIndexTuples(result_, slots_[i], state_, false, false, nullptr, NIL));
      }
      ExecClearTuple(slots_[i]);
    }
    count_ = 0;
    bytes_ = 0;
    MemoryContextSwitchTo(caller);
    MemoryContextReset(memory_);
    CHECK_FOR_INTERRUPTS();
  }

  Relation relation_;
  EState *state_;
  ResultRelInfo *result_;
  BulkInsertState bulk_;
  MemoryContext memory_;
  TupleTableSlot *slots_[kInsertBatchRows];
  int count_ = 0;
  size_t bytes_ = 0;
};

}  // namespace

int64_t DecompressChunk(Relation relation, int64_t chunk_start, int64_t chunk_end) {
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext decompression", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  Relation toast = table_open(relation->rd_rel->reltoastrelid, RowExclusiveLock);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

  int count;
  SegmentRow *rows = SegmentsInside(RelationGetRelid(toast), chunk_start, chunk_end, &count);
  int64_t moved = 0;
  if (count > 0) {
    // The scan's time range may touch segments of neighbours: the virtual tuple id tells whose row
    // it is.
    const OwnerRights caller_rights = TakeOwnerRights(relation);
    HotWriter writer(relation);
    TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
    ColdScan *scan =
        ColdScanBegin(relation, snapshot, nullptr, chunk_start, chunk_end, nullptr, context);
    int32_t last_seg = 0;
    bool wanted = false;
    while (ColdScanNext(scan, ForwardScanDirection, slot)) {
      const auto seg =
          static_cast<int32_t>(ItemPointerGetBlockNumberNoCheck(&slot->tts_tid) & ~kVirtualBlock);
      if (seg != last_seg) {
        last_seg = seg;
        wanted = false;
        for (int i = 0; i < count && !wanted; i++) wanted = rows[i].seg == seg;
      }
      if (!wanted) continue;
      writer.Append(slot);
      moved++;
    }
    ColdScanEnd(scan);
    ExecDropSingleTupleTableSlot(slot);
    writer.Finish();
    GiveBackRights(caller_rights);
    StopPoint("decompress_after_insert");
    for (int i = 0; i < count; i++) {
      if (!RemoveSegment(toast, &rows[i])) {
        ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                        errmsg("segment %d of \"%s\" was removed concurrently", rows[i].seg,
                               RelationGetRelationName(relation))));
      }
    }
    HoldChunk(RelationGetRelid(toast), chunk_start, chunk_end);
  }
  UnregisterSnapshot(snapshot);
  table_close(toast, NoLock);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  CommandCounterIncrement();
  return moved;
}

}  // namespace tsext::pg
