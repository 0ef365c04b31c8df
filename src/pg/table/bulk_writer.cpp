#include "pg/table/bulk_writer.hpp"

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/table/row_buffer.hpp"
#include "pg/table/segment_writer.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {
namespace {

// Chunks with fewer rows and bytes are not worth a segment: compaction gathers them with later
// ones.
constexpr int64_t kLeastRows = 4096;
constexpr int64_t kLeastBytes = int64_t{16} * 1024 * 1024;
// In the middle of a statement more rows of the same chunk will come: so many times more are asked.
constexpr int32_t kMidwayFactor = 8;

constexpr int kHotBatchRows = 1000;
constexpr size_t kHotBatchBytes = size_t{256} * 1024;

}  // namespace

struct BulkWriter {
  MemoryContext context;
  Relation relation;
  BulkWriterOptions options;
  TableOptions *table_options;
  bool is_followed;
  RowBuffer *buffer;
  size_t memory_limit;
  // Rows behind those of a full buffer while a parallel query gives them; nullptr: none.
  Tuplestorestate *waiting;
  // Rows for the hot heap.
  BulkInsertState insert_state;
  TupleTableSlot *slots[kHotBatchRows];
  TupleTableSlot *row_slot;  // a row of the buffer
  int slot_count;
  size_t slot_bytes;
};

namespace {

void FlushHotRows(BulkWriter *writer) {
  if (writer->slot_count == 0) return;
  const BulkWriterOptions &options = writer->options;
  if (writer->insert_state == nullptr) {
    // The caller's context may be one of a single row.
    const MemoryContext caller = MemoryContextSwitchTo(writer->context);
    writer->insert_state = GetBulkInsertState();
    MemoryContextSwitchTo(caller);
  }
  // multi_insert may leak memory.
  const MemoryContext batch =
      AllocSetContextCreate(writer->context, "tsext hot rows", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old_context = MemoryContextSwitchTo(batch);
  // Heap's own function: what rows touch was noted when they were appended.
  GetHeapamTableAmRoutine()->multi_insert(writer->relation, writer->slots, writer->slot_count,
                                          options.cid, options.insert_options,
                                          writer->insert_state);
  for (int i = 0; i < writer->slot_count; i++) {
    if (options.result_relation != nullptr && options.result_relation->ri_NumIndices > 0)
      list_free(ExecInsertIndexTuples(options.result_relation, writer->slots[i],
                                      options.executor_state, false, false, nullptr, NIL));
    ExecClearTuple(writer->slots[i]);
  }
  MemoryContextSwitchTo(old_context);
  MemoryContextDelete(batch);
  writer->slot_count = 0;
  writer->slot_bytes = 0;
}

void AppendHotRow(BulkWriter *writer, TupleTableSlot *row) {
  const MemoryContext old_context = MemoryContextSwitchTo(writer->context);
  TupleTableSlot *&slot = writer->slots[writer->slot_count];
  if (slot == nullptr) slot = table_slot_create(writer->relation, nullptr);
  ExecCopySlot(slot, row);
  writer->slot_count++;
  bool free_tuple;
  const HeapTuple tuple = ExecFetchSlotHeapTuple(slot, false, &free_tuple);
  writer->slot_bytes += tuple->t_len;
  if (free_tuple) heap_freetuple(tuple);
  MemoryContextSwitchTo(old_context);
  if (writer->slot_count == kHotBatchRows || writer->slot_bytes >= kHotBatchBytes)
    FlushHotRows(writer);
}

/// Rows that are worth a segment: wide rows are sooner.
int32_t LeastRows(const BulkWriter *writer) {
  const int64_t rows = RowBufferRows(writer->buffer);
  if (rows == 0) return kLeastRows;
  const int64_t row_bytes = static_cast<int64_t>(RowBufferMemory(writer->buffer)) / rows;
  return static_cast<int32_t>(
      std::clamp<int64_t>(kLeastBytes / std::max<int64_t>(row_bytes, 1), 1, kLeastRows));
}

WriteSegmentsResult Write(BulkWriter *writer, int32_t minimum_rows) {
  WriteSegmentsOptions how;
  how.cid = writer->options.cid;
  how.minimum_rows = minimum_rows;
  how.owner = writer->options.owner;
  const WriteSegmentsResult result =
      WriteSegments(writer->relation, writer->buffer, writer->table_options, how);
  if (result.rows > 0) {
    pgstat_count_heap_insert(writer->relation, result.rows);
    // What heap_insert() would do: SERIALIZABLE readers of the table conflict with this write.
    CheckForSerializableConflictIn(writer->relation, nullptr, InvalidBlockNumber);
  }
  return result;
}

void AppendLeftRows(BulkWriter *writer, const WriteSegmentsResult &result) {
  for (int64_t i = 0; i < result.left_count; i++) {
    CHECK_FOR_INTERRUPTS();
    RowBufferGetRow(writer->buffer, result.left[i], writer->row_slot);
    AppendHotRow(writer, writer->row_slot);
  }
  ExecClearTuple(writer->row_slot);
}

/// Keeps a row for BulkWriterFinish. In parallel mode (CREATE TABLE AS over a parallel query)
/// nothing may be written but rows of the heap: neither sequences nor commands advance.
void AppendWaitingRow(BulkWriter *writer, TupleTableSlot *slot) {
  if (writer->waiting == nullptr) {
    const MemoryContext old_context = MemoryContextSwitchTo(writer->context);
    writer->waiting = tuplestore_begin_heap(false, false, work_mem);
    MemoryContextSwitchTo(old_context);
  }
  tuplestore_puttupleslot(writer->waiting, slot);
}

/// Makes room: writes chunks with many rows; the others' rows stay, if that makes room.
void FlushMidway(BulkWriter *writer) {
  const MemoryContext old_context = MemoryContextSwitchTo(writer->context);
  for (const int32_t factor : {kMidwayFactor, 1}) {
    WriteSegmentsResult result = Write(writer, LeastRows(writer) * factor);
    const bool is_enough = result.left_count <= RowBufferRows(writer->buffer) / 2;
    if (!is_enough && factor == 1) {
      AppendLeftRows(writer, result);
      result.left_count = 0;
    }
    if (result.left_count == 0)
      RowBufferReset(writer->buffer);
    else if (result.rows > 0)
      RowBufferKeep(writer->buffer, result.left, result.left_count);
    if (result.left != nullptr) pfree(result.left);
    if (is_enough) break;
  }
  MemoryContextSwitchTo(old_context);
}

/// Takes the rows that had to wait.
void AppendWaitingRows(BulkWriter *writer) {
  Tuplestorestate *waiting = writer->waiting;
  if (waiting == nullptr) return;
  writer->waiting = nullptr;
  TupleTableSlot *slot =
      MakeSingleTupleTableSlot(RelationGetDescr(writer->relation), &TTSOpsMinimalTuple);
  while (tuplestore_gettupleslot(waiting, true, false, slot)) {
    CHECK_FOR_INTERRUPTS();
    BulkWriterAppend(writer, slot);
  }
  ExecDropSingleTupleTableSlot(slot);
  tuplestore_end(waiting);
}

}  // namespace

BulkWriter *BulkWriterCreate(Relation relation, const BulkWriterOptions &options,
                             MemoryContext parent) {
  const MemoryContext context =
      AllocSetContextCreate(parent, "tsext bulk writer", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old_context = MemoryContextSwitchTo(context);
  auto *writer = static_cast<BulkWriter *>(palloc0(sizeof(BulkWriter)));
  writer->context = context;
  writer->relation = relation;
  writer->options = options;
  writer->table_options = GetTableOptions(options.owner != nullptr ? options.owner : relation);
  writer->is_followed = !options.is_replacement && IsFollowed(relation);
  writer->buffer = RowBufferCreate(relation, writer->table_options, context);
  writer->memory_limit = BulkMemoryBytes();
  writer->row_slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
  writer->row_slot->tts_tableOid = RelationGetRelid(relation);
  MemoryContextSwitchTo(old_context);
  return writer;
}

void BulkWriterAppend(BulkWriter *writer, TupleTableSlot *slot) {
  if (unlikely(writer->options.stays_hot || !RowBufferTakes(writer->buffer, slot))) {
    if (writer->is_followed) TouchRow(writer->relation, slot, writer->options.cid);
    AppendHotRow(writer, slot);
    return;
  }
  if (unlikely(RowBufferMemory(writer->buffer) > writer->memory_limit)) {
    if (IsInParallelMode()) {
      AppendWaitingRow(writer, slot);
      return;
    }
    FlushMidway(writer);
  }
  if (writer->is_followed) TouchRow(writer->relation, slot, writer->options.cid);
  RowBufferAppend(writer->buffer, slot);
}

void BulkWriterFinish(BulkWriter *writer) {
  AppendWaitingRows(writer);
  const MemoryContext old_context = MemoryContextSwitchTo(writer->context);
  const WriteSegmentsResult result = Write(writer, LeastRows(writer));
  AppendLeftRows(writer, result);
  FlushHotRows(writer);
  RowBufferReset(writer->buffer);
  MemoryContextSwitchTo(old_context);
}

void BulkWriterDestroy(BulkWriter *writer) {
  if (writer->insert_state != nullptr) FreeBulkInsertState(writer->insert_state);
  for (TupleTableSlot *slot : writer->slots)
    if (slot != nullptr) ExecDropSingleTupleTableSlot(slot);
  ExecDropSingleTupleTableSlot(writer->row_slot);
  MemoryContextDelete(writer->context);
}

}  // namespace tsext::pg
