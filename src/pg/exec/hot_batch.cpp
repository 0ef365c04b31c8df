// Hot rows in batches.

#include "pg/exec/hot_batch.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "pg/table/delegation.hpp"
#include "pg/table/scan.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "storage/bufmgr.h"
}

namespace tsext::pg {

namespace {

/// Pages a batch may keep pinned; fewer where shared_buffers is tiny.
constexpr int kMaxPins = 32;
/// Rows with values in the TOAST table that one batch may have: each value may take a gigabyte.
constexpr uint32_t kMaxToastedRows = 16;

}  // namespace

struct HotBatch {
  TableScanDesc scan;  // heap's own descriptor
  TupleDesc descriptor;
  MemoryContext values;  // detoasted values of the batch
  TupleTableSlot *slot;
  bool is_pending;  // `slot` has a row that did not fit the last batch
  bool is_at_end;
  int max_pins;
  int pin_count;
  Buffer pins[kMaxPins];
  uint32_t count;
  uint32_t toasted_count;
  HeapTupleData rows[kVectorSize];
};

namespace {

/// Adds the row in batch->slot; false when the batch is full without it.
bool AddRow(HotBatch *batch) {
  const auto *slot = reinterpret_cast<BufferHeapTupleTableSlot *>(batch->slot);
  const HeapTupleData *tuple = slot->base.tuple;
  const bool is_toasted = HeapTupleHasExternal(tuple);
  if (batch->count == kVectorSize || (is_toasted && batch->toasted_count == kMaxToastedRows))
    return false;
  if (batch->pin_count == 0 || batch->pins[batch->pin_count - 1] != slot->buffer) {
    if (batch->pin_count == batch->max_pins) return false;
    IncrBufferRefCount(slot->buffer);
    batch->pins[batch->pin_count++] = slot->buffer;
  }
  batch->rows[batch->count++] = *tuple;
  batch->toasted_count += is_toasted ? 1 : 0;
  return true;
}

/// Walks over a tuple: visit(attribute index, value, is_null) for the first `natts` attributes that
/// wanted(attribute index) is true for.
template <typename Wanted, typename Visit>
void DeformTuple(const HeapTupleData &tuple, TupleDesc descriptor, int natts, const Wanted &wanted,
                 const Visit &visit) {
  const HeapTupleHeader header = tuple.t_data;
  const bool has_nulls = HeapTupleHasNulls(&tuple);
  const bits8 *null_bits = header->t_bits;
  const int stored = std::min<int>(HeapTupleHeaderGetNatts(header), natts);
  char *at = reinterpret_cast<char *>(header) + header->t_hoff;
  uint32 offset = 0;
  int i = 0;
  for (; i < stored; i++) {
    if (has_nulls && att_isnull(i, null_bits)) {
      if (wanted(i)) visit(i, Datum{0}, true);
      continue;
    }
    const Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    offset = static_cast<uint32>(
        att_align_pointer(offset, attribute->attalign, attribute->attlen, at + offset));
    if (wanted(i)) visit(i, fetchatt(attribute, at + offset), false);
    offset = static_cast<uint32>(att_addlength_pointer(offset, attribute->attlen, at + offset));
  }
  // Columns that were added after the row was written.
  for (; i < natts; i++) {
    if (!wanted(i)) continue;
    bool is_null;
    const Datum value = getmissingattr(descriptor, i + 1, &is_null);
    visit(i, value, is_null);
  }
}

void SetValue(const HotColumn &column, uint32_t row, Datum value, bool is_null) {
  Vector &vector = *column.vector;
  if (is_null) {
    vector.nulls[row / 64] |= uint64_t{1} << (row % 64);
    vector.any_null = true;
    value = 0;
  }
  switch (column.type.type) {
    case PhysicalType::kFloat64:
      vector.doubles[row] = std::bit_cast<double>(value);
      return;
    case PhysicalType::kFloat32:
      vector.floats[row] = std::bit_cast<float>(static_cast<int32_t>(value));
      return;
    default:
      break;
  }
  if (IsInteger(column.type.type)) {
    vector.integers[row] = DatumToInteger(value, column.type);
  } else if (is_null) {
    vector.bytes[row] = {};
  } else {
    void *detoasted;  // goes with the batch
    vector.bytes[row] = DatumToBytes(value, column.type, &detoasted);
  }
}

/// Makes all rows NULL.
void ClearVector(const HotColumn &column, uint32_t count) {
  Vector &vector = *column.vector;
  Selection all;
  all.SelectFirst(count);
  vector.any_null = true;
  vector.nulls = all.words;
  if (IsBytes(column.type.type)) {
    std::fill_n(vector.bytes.begin(), count, ByteView{});
  } else {
    std::fill_n(vector.integers, count, int64_t{0});  // floats too: they share the memory
  }
}

}  // namespace

HotBatch *HotBatchCreate(Relation relation, TableScanDesc scan, MemoryContext context) {
  auto *batch = static_cast<HotBatch *>(MemoryContextAlloc(context, sizeof(HotBatch)));
  batch->scan = HeapScanOf(scan);
  batch->descriptor = RelationGetDescr(relation);
  batch->values = AllocSetContextCreate(context, "tsext hot values", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old = MemoryContextSwitchTo(context);
  batch->slot = MakeSingleTupleTableSlot(batch->descriptor, &TTSOpsBufferHeapTuple);
  MemoryContextSwitchTo(old);
  batch->is_pending = batch->is_at_end = false;
  batch->max_pins = std::clamp(NBuffers / 64, 1, kMaxPins);
  batch->pin_count = 0;
  batch->count = batch->toasted_count = 0;
  return batch;
}

uint32_t HotBatchNext(HotBatch *batch) {
  CHECK_FOR_INTERRUPTS();
  for (int i = 0; i < batch->pin_count; i++) ReleaseBuffer(batch->pins[i]);
  batch->pin_count = 0;
  batch->count = batch->toasted_count = 0;
  MemoryContextReset(batch->values);
  if (batch->is_pending) AddRow(batch);
  batch->is_pending = false;
  while (!batch->is_at_end) {
    if (!Heap()->scan_getnextslot(batch->scan, ForwardScanDirection, batch->slot)) {
      batch->is_at_end = true;  // heap would start again
    } else if (!AddRow(batch)) {
      batch->is_pending = true;
      break;
    }
  }
  return batch->count;
}

void HotBatchColumns(HotBatch *batch, const HotColumn *columns, int count,
                     const Selection &selection) {
  if (count == 0) return;
  const int natts = columns[count - 1].attribute;
  auto *index_of = static_cast<int16_t *>(palloc(sizeof(int16_t) * static_cast<size_t>(natts)));
  std::fill_n(index_of, natts, int16_t{-1});
  for (int i = 0; i < count; i++) index_of[columns[i].attribute - 1] = static_cast<int16_t>(i);

  const bool is_whole = selection.Count() == batch->count;
  for (int i = 0; i < count; i++) {
    Vector &vector = *columns[i].vector;
    vector.type = columns[i].type.type;
    vector.count = batch->count;
    vector.any_null = false;
    vector.nulls.fill(0);
    if (!is_whole) ClearVector(columns[i], batch->count);
  }
  MemoryContext old = MemoryContextSwitchTo(batch->values);
  selection.ForEach([&](uint32_t row) {
    DeformTuple(
        batch->rows[row], batch->descriptor, natts, [&](int i) { return index_of[i] >= 0; },
        [&](int i, Datum value, bool is_null) {
          const HotColumn &column = columns[index_of[i]];
          if (!is_whole) column.vector->nulls[row / 64] &= ~(uint64_t{1} << (row % 64));
          SetValue(column, row, value, is_null);
        });
  });
  MemoryContextSwitchTo(old);
  pfree(index_of);
}

void HotBatchRow(HotBatch *batch, uint32_t row, AttrNumber last_attribute, TupleTableSlot *slot) {
  DeformTuple(
      batch->rows[row], batch->descriptor, last_attribute, [](int) { return true; },
      [&](int i, Datum value, bool is_null) {
        slot->tts_values[i] = value;
        slot->tts_isnull[i] = is_null;
      });
  slot->tts_tid = batch->rows[row].t_self;
}

void HotBatchRelease(HotBatch *batch) {
  for (int i = 0; i < batch->pin_count; i++) ReleaseBuffer(batch->pins[i]);
  batch->pin_count = 0;
  batch->count = 0;
  batch->is_pending = batch->is_at_end = false;
  ExecClearTuple(batch->slot);
  MemoryContextReset(batch->values);
}

void HotBatchEnd(HotBatch *batch) {
  HotBatchRelease(batch);
  ExecDropSingleTupleTableSlot(batch->slot);
}

}  // namespace tsext::pg
