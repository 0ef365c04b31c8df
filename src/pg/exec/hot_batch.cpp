// Hot rows in batches.

#include "pg/exec/hot_batch.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "pg/table/delegation.hpp"
#include "pg/table/scan.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
}

namespace tsext::pg {

namespace {

/// Pages a batch may keep pinned; fewer where shared_buffers is tiny.
constexpr int kMaxPins = 32;
/// Rows with values in the TOAST table that one batch may have: each value may take a gigabyte.
constexpr uint32_t kMaxToastedRows = 16;
/// Attributes whose NULLs are looked at together.
constexpr int kWordAttributes = 64;
/// How many rows ahead of the one that is looked at memory is asked for.
constexpr int kRowsAhead = 8;
constexpr int kAttributeWords = (MaxHeapAttributeNumber + kWordAttributes - 1) / kWordAttributes;

}  // namespace

struct HotBatch {
  TableScanDesc scan;  // heap's own descriptor
  TupleDesc descriptor;
  MemoryContext values;  // detoasted values of the batch
  TupleTableSlot *slot;  // heap's last row
  // The visible rows of heap's current page that no batch has had yet.
  int page_next, page_end;
  bool is_at_end;
  int max_pins;
  int pin_count;
  Buffer pins[kMaxPins];
  uint32_t count;
  uint32_t toasted_count;
  HeapTupleData rows[kVectorSize];
};

namespace {

HeapScanDesc HeapOf(const HotBatch *batch) {
  return reinterpret_cast<HeapScanDesc>(batch->scan);
}

/// Makes heap find out which rows of the next page are visible, all at once, and takes them over
/// from it: asked for one by one each would cost several times as much. False at the end.
bool NextPage(HotBatch *batch) {
  if (!Heap()->scan_getnextslot(batch->scan, ForwardScanDirection, batch->slot)) return false;
  HeapScanDesc heap = HeapOf(batch);
  if ((heap->rs_base.rs_flags & SO_ALLOW_PAGEMODE) == 0)
    elog(ERROR, "a scan of hot rows has no MVCC snapshot");
  batch->page_next = heap->rs_cindex;
  batch->page_end = heap->rs_ntuples;
  // Heap is to go on behind them. It has counted the first one.
  pgstat_count_index_tuples(heap->rs_base.rs_rd, batch->page_end - batch->page_next - 1);
  heap->rs_cindex = heap->rs_ntuples - 1;
  return true;
}

/// Adds rows of the current page; false when the batch is full before the page is at its end.
bool AddRows(HotBatch *batch) {
  const HeapScanDesc heap = HeapOf(batch);
  const Page page = BufferGetPage(heap->rs_cbuf);
  if (batch->pin_count == batch->max_pins) return false;
  IncrBufferRefCount(heap->rs_cbuf);
  batch->pins[batch->pin_count++] = heap->rs_cbuf;
  for (; batch->page_next < batch->page_end; batch->page_next++) {
    if (batch->count == kVectorSize) return false;
    if (batch->page_next + kRowsAhead < batch->page_end) {
      const OffsetNumber ahead = heap->rs_vistuples[batch->page_next + kRowsAhead];
      __builtin_prefetch(PageGetItem(page, PageGetItemId(page, ahead)));
    }
    const OffsetNumber offset = heap->rs_vistuples[batch->page_next];
    const ItemId item = PageGetItemId(page, offset);
    HeapTupleData &row = batch->rows[batch->count];
    row.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    row.t_len = ItemIdGetLength(item);
    row.t_tableOid = RelationGetRelid(heap->rs_base.rs_rd);
    ItemPointerSet(&row.t_self, heap->rs_cblock, offset);
    if (HeapTupleHasExternal(&row)) {
      if (batch->toasted_count == kMaxToastedRows) return false;
      batch->toasted_count++;
    }
    batch->count++;
  }
  return true;
}

uint64_t LowBits(int count) {
  return count >= kWordAttributes ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

/// Which of the attributes first .. stored - 1 a tuple has a value of, as bits; of 64 of them.
uint64_t PresentAttributes(const HeapTupleData &tuple, int first, int stored) {
  const int count = stored - first;
  if (count <= 0) return 0;
  if (!HeapTupleHasNulls(&tuple)) return LowBits(count);
  const size_t at = offsetof(HeapTupleHeaderData, t_bits) + static_cast<size_t>(first) / 8;
  const auto *bytes = reinterpret_cast<const char *>(tuple.t_data) + at;
  uint64_t present = 0;
  if (at + sizeof present <= tuple.t_len)  // a copy of fixed size is one instruction
    memcpy(&present, bytes, sizeof present);
  else
    memcpy(&present, bytes, static_cast<size_t>(std::min(count, kWordAttributes) + 7) / 8);
  return present & LowBits(count);
}

/// Walks over a tuple: visit(attribute index, value, is_null) for those of the first `natts`
/// attributes that `wanted` has, as bits in words of 64.
template <typename Visit>
void DeformTuple(const HeapTupleData &tuple, TupleDesc descriptor, int natts,
                 const uint64_t *wanted, const Visit &visit) {
  const int stored = std::min<int>(HeapTupleHeaderGetNatts(tuple.t_data), natts);
  char *at = reinterpret_cast<char *>(tuple.t_data) + tuple.t_data->t_hoff;
  uint32 offset = 0;
  for (int first = 0; first < natts; first += kWordAttributes) {
    const uint64_t asked = wanted[first / kWordAttributes] & LowBits(natts - first);
    const uint64_t present = PresentAttributes(tuple, first, stored);
    for (uint64_t rest = present; rest != 0; rest &= rest - 1) {
      const int bit = std::countr_zero(rest);
      const Form_pg_attribute attribute = TupleDescAttr(descriptor, first + bit);
      offset = static_cast<uint32>(
          att_align_pointer(offset, attribute->attalign, attribute->attlen, at + offset));
      if (((asked >> bit) & 1) != 0) visit(first + bit, fetchatt(attribute, at + offset), false);
      offset = static_cast<uint32>(att_addlength_pointer(offset, attribute->attlen, at + offset));
    }
    for (uint64_t rest = asked & ~present; rest != 0; rest &= rest - 1) {
      const int index = first + std::countr_zero(rest);
      bool is_null = true;
      // Of columns that were added after the row was written.
      const Datum value = index < stored ? 0 : getmissingattr(descriptor, index + 1, &is_null);
      visit(index, value, is_null);
    }
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

/// Where a column lies in every tuple that has it and all columns before it: they are of fixed
/// length. -1: not so.
int FixedOffset(TupleDesc descriptor, int index) {
  int offset = 0;
  for (int i = 0;; i++) {
    const Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (attribute->attlen <= 0 || i == kWordAttributes) return -1;
    offset = static_cast<int>(att_align_nominal(offset, attribute->attalign));
    if (i == index) return offset;
    offset += attribute->attlen;
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
  batch->page_next = batch->page_end = 0;
  batch->is_at_end = false;
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
  for (;;) {
    if (batch->page_next < batch->page_end && !AddRows(batch)) break;
    if (batch->is_at_end || !NextPage(batch)) {
      batch->is_at_end = true;  // heap would start again
      break;
    }
  }
  return batch->count;
}

void HotBatchKeep(HotBatch *batch, const Selection &selection) {
  uint32_t count = 0;
  selection.ForEach([&](uint32_t row) { batch->rows[count++] = batch->rows[row]; });
  batch->count = count;
}

void HotBatchColumns(HotBatch *batch, const HotColumn *columns, int count) {
  if (count == 0) return;
  const TupleDesc descriptor = batch->descriptor;
  const int natts = columns[count - 1].attribute;
  int16_t index_of[MaxHeapAttributeNumber];
  uint64_t wanted[kAttributeWords] = {};
  for (int i = 0; i < count; i++) {
    const int attribute = columns[i].attribute - 1;
    index_of[attribute] = static_cast<int16_t>(i);
    wanted[attribute / kWordAttributes] |= uint64_t{1} << (attribute % kWordAttributes);
    Vector &vector = *columns[i].vector;
    vector.type = columns[i].type.type;
    vector.count = batch->count;
    vector.any_null = false;
    vector.nulls.fill(0);
  }
  MemoryContext old = MemoryContextSwitchTo(batch->values);
  // Mostly it is the time alone that is asked for, and it comes first in the table.
  const int offset = count == 1 ? FixedOffset(descriptor, natts - 1) : -1;
  for (uint32_t row = 0; row < batch->count; row++) {
    const HeapTupleData &tuple = batch->rows[row];
    if (offset >= 0) {
      const int stored = std::min<int>(HeapTupleHeaderGetNatts(tuple.t_data), natts);
      if (PresentAttributes(tuple, 0, stored) == LowBits(natts)) {
        const char *at = reinterpret_cast<char *>(tuple.t_data) + tuple.t_data->t_hoff + offset;
        SetValue(columns[0], row, fetchatt(TupleDescAttr(descriptor, natts - 1), at), false);
        continue;
      }
    }
    DeformTuple(tuple, descriptor, natts, wanted, [&](int i, Datum value, bool is_null) {
      SetValue(columns[index_of[i]], row, value, is_null);
    });
  }
  MemoryContextSwitchTo(old);
}

void HotBatchRow(HotBatch *batch, uint32_t row, AttrNumber last_attribute, TupleTableSlot *slot) {
  uint64_t all[kAttributeWords];
  std::fill(std::begin(all), std::end(all), ~uint64_t{0});
  DeformTuple(batch->rows[row], batch->descriptor, last_attribute, all,
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
  batch->page_next = batch->page_end = 0;
  batch->is_at_end = false;
  ExecClearTuple(batch->slot);
  MemoryContextReset(batch->values);
}

void HotBatchEnd(HotBatch *batch) {
  HotBatchRelease(batch);
  ExecDropSingleTupleTableSlot(batch->slot);
}

}  // namespace tsext::pg
