// Rows of segments, one at a time.
//
// Values are produced column by column, a vector at a time, into arrays of Datums; handing out a
// row is then one copy a column. Only the vectors of wanted attributes are decoded.

#include "pg/table/cold_scan.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/table/cold_tuple.hpp"

extern "C" {
#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
}

namespace tsext::pg {
namespace {

/// Pass-by-reference values of a vector are made all at once up to this size, else row by row.
constexpr size_t kVectorBytesAtOnce = size_t{1} << 20;
constexpr uint32_t kNoVector = UINT32_MAX;

/// One wanted attribute.
struct ScanColumn {
  AttrNumber attribute;
  DatumClass type;
  bool is_char_aligned;  // values may lie anywhere
  const Vector *vector;  // nullptr: the segment does not have the attribute
  bool is_row_by_row;    // Datums are made when a row is handed out
  Datum values[kVectorSize];
  bool nulls[kVectorSize];
};

void FillMissing(ScanColumn *column, TupleDesc descriptor, uint32_t count) {
  bool is_null;
  const Datum value = getmissingattr(descriptor, column->attribute, &is_null);
  for (uint32_t i = 0; i < count; i++) column->values[i] = value;
  memset(column->nulls, is_null ? 1 : 0, count);
}

void FillNulls(ScanColumn *column, const Vector &vector) {
  if (!vector.any_null) {
    memset(column->nulls, 0, vector.count);
    return;
  }
  for (uint32_t i = 0; i < vector.count; i++)
    column->nulls[i] = ((vector.nulls[i / 64] >> (i % 64)) & 1) != 0;
}

void FillIntegers(ScanColumn *column, const Vector &vector) {
  const DatumClass type = column->type;
  if (type.length == 8) {
    memcpy(column->values, vector.integers, vector.count * sizeof(Datum));
    return;
  }
  for (uint32_t i = 0; i < vector.count; i++)
    column->values[i] = IntegerToDatum(vector.integers[i], type);
}

void FillFloats(ScanColumn *column, const Vector &vector) {
  if (vector.type == PhysicalType::kFloat64) {
    memcpy(column->values, vector.doubles, vector.count * sizeof(Datum));
    return;
  }
  for (uint32_t i = 0; i < vector.count; i++)
    column->values[i] = static_cast<Datum>(std::bit_cast<int32_t>(vector.floats[i]));
}

/// Fixed-length values that need no alignment are used where the decoder put them.
bool IsUsedInPlace(const ScanColumn *column) {
  return column->type.length > 0 && column->is_char_aligned;
}

void FillBytes(ScanColumn *column, const Vector &vector, MemoryContext context) {
  if (IsUsedInPlace(column)) {
    for (uint32_t i = 0; i < vector.count; i++) {
      if (!column->nulls[i] && vector.bytes[i].size != column->type.width) RaiseWrongWidth();
      column->values[i] = PointerGetDatum(vector.bytes[i].data);
    }
    return;
  }
  size_t total = 0;
  for (uint32_t i = 0; i < vector.count; i++)
    total += MAXALIGN(BytesDatumSize(vector.bytes[i], column->type));
  column->is_row_by_row = total > kVectorBytesAtOnce;
  if (column->is_row_by_row) return;

  auto *at = static_cast<char *>(MemoryContextAlloc(context, total));
  // A dictionary gives equal values the same address: tags are made once, not once a row.
  struct {
    ByteView bytes;
    Datum value;
  } made[64] = {};
  for (uint32_t i = 0; i < vector.count; i++) {
    if (column->nulls[i]) {
      column->values[i] = 0;
      continue;
    }
    const ByteView bytes = vector.bytes[i];
    auto &last = made[(reinterpret_cast<uintptr_t>(bytes.data) >> 2) % lengthof(made)];
    if (bytes.data != last.bytes.data || bytes.size != last.bytes.size || last.value == 0) {
      last = {bytes, PlaceBytesDatum(bytes, column->type, at)};
      at += MAXALIGN(BytesDatumSize(bytes, column->type));
    }
    column->values[i] = last.value;
  }
}

/// Stores a row whose values are in the slot's own arrays (the slot was cleared before).
void StoreRow(TupleTableSlot *slot, const ItemPointerData &tid, Oid table) {
  if (!TTS_IS_VIRTUAL(slot)) {
    StoreColdTuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull, &tid, table,
                   slot);
    return;
  }
  ExecStoreVirtualTuple(slot);
  slot->tts_tid = tid;
  slot->tts_tableOid = table;
}

ItemPointerData VirtualTid(int32_t seg, uint32_t row) {
  ItemPointerData tid;
  ItemPointerSet(&tid, kVirtualBlock | static_cast<uint32_t>(seg),
                 static_cast<OffsetNumber>(row + 1));
  return tid;
}

}  // namespace

struct ColdScan {
  Relation relation;
  Snapshot snapshot;
  MemoryContext context;         // everything
  MemoryContext vector_context;  // values of the current vectors
  MemoryContext row_context;     // values of the current row
  SegmentReader *reader;         // nullptr until there is a segment to read
  SegmentRow *segments;
  int segment_count;
  int64_t from, to;  // times the caller is interested in
  pg_atomic_uint32 *cursor;
  const Bitmapset *attributes;
  // How rows look to the caller, a copy of the first slot's descriptor; nullptr until then. ALTER
  // TABLE scans with a slot of the old row type when the relation has the new one already.
  TupleDesc descriptor;
  ScanColumn **columns;
  int column_count;

  // Where the scan stands: before the first segment (-1), in one, or behind the last
  // (segment_count).
  bool is_started;
  int segment;
  int64_t row;              // of the row last handed out
  uint32_t vector;          // the one whose values are in the columns, or kNoVector
  const uint64_t *deleted;  // bitmap of the segment's deleted rows, or nullptr
  int time_column;          // of the segment, when vectors can be passed by for their times; or -1
  int64_t met_vector;       // the last one whose times were looked at, -1: none
};

namespace {

/// Looks at the first slot that comes along.
void AddColumns(ColdScan *scan, TupleDesc slot_descriptor) {
  MemoryContext old = MemoryContextSwitchTo(scan->context);
  const TupleDesc descriptor = CreateTupleDescCopyConstr(slot_descriptor);
  scan->columns = static_cast<ScanColumn **>(
      palloc(static_cast<size_t>(Max(descriptor->natts, 1)) * sizeof(void *)));
  for (int i = 0; i < descriptor->natts; i++) {
    const auto attribute = static_cast<AttrNumber>(i + 1);
    const Form_pg_attribute form = TupleDescAttr(descriptor, i);
    if (form->attisdropped) continue;
    if (scan->attributes != nullptr && !bms_is_member(attribute, scan->attributes)) continue;
    auto *column = static_cast<ScanColumn *>(palloc(sizeof(ScanColumn)));
    column->attribute = attribute;
    column->type = ClassOf(form);
    column->is_char_aligned = form->attalign == TYPALIGN_CHAR;
    column->vector = nullptr;
    column->is_row_by_row = false;
    scan->columns[scan->column_count++] = column;
  }
  scan->descriptor = descriptor;
  MemoryContextSwitchTo(old);
}

void MakeReader(ColdScan *scan) {
  scan->reader = SegmentReaderCreate(scan->relation, scan->snapshot, scan->context);
  SegmentReaderUseDescriptor(scan->reader, scan->descriptor);
  int64_t total = 0;
  for (int i = 0; i < scan->segment_count; i++) total += scan->segments[i].nbytes;
  if (total / BLCKSZ > NBuffers / 4) SegmentReaderUseRing(scan->reader);
}

/// Moves to the next segment in `direction`; false at the end of the list.
bool NextSegment(ColdScan *scan, ScanDirection direction) {
  scan->vector = kNoVector;
  if (scan->cursor != nullptr) {
    Assert(ScanDirectionIsForward(direction));
    const uint32_t next = pg_atomic_fetch_add_u32(scan->cursor, 1);
    scan->segment = static_cast<int>(Min(next, static_cast<uint32_t>(scan->segment_count)));
  } else {
    scan->segment += ScanDirectionIsForward(direction) ? 1 : -1;
  }
  if (scan->segment < 0 || scan->segment >= scan->segment_count) return false;
  const SegmentRow *segment = &scan->segments[scan->segment];
  if (scan->reader == nullptr) MakeReader(scan);
  SegmentReaderOpen(scan->reader, segment);
  // Deleted rows are skipped in NextRow. Nothing deletes rows of segments yet (cold UPDATE and
  // DELETE are refused), so no segment has any: their bitmap will be read from tsext.tombstone
  // here.
  scan->deleted = nullptr;
  const SegmentHead &head = SegmentReaderHead(scan->reader);
  const bool reaches_out = segment->tmin < scan->from || segment->tmax > scan->to;
  scan->time_column = reaches_out ? head.FindColumn(head.time_attribute()) : -1;
  scan->met_vector = -1;
  scan->row = ScanDirectionIsForward(direction) ? -1 : segment->nrows;
  return true;
}

/// Whether no row of the vector that `row` lies in has a time that the caller wants.
bool IsOutOfTime(ColdScan *scan, int64_t row) {
  const int64_t vector = row / kVectorSize;
  if (scan->time_column < 0 || vector == scan->met_vector) return false;
  const VectorFooter footer =
      SegmentReaderHead(scan->reader)
          .Vector(static_cast<uint32_t>(scan->time_column), static_cast<uint32_t>(vector));
  if (footer.has_range && (footer.max_integer < scan->from || footer.min_integer > scan->to))
    return true;
  scan->met_vector = vector;
  return false;
}

bool IsDeleted(const ColdScan *scan, int64_t row) {
  return scan->deleted != nullptr && ((scan->deleted[row / 64] >> (row % 64)) & 1) != 0;
}

/// Moves to the next row in `direction`; false at the end.
bool NextRow(ColdScan *scan, ScanDirection direction) {
  const int step = ScanDirectionIsForward(direction) ? 1 : -1;
  if (!scan->is_started) {
    scan->is_started = true;
    scan->segment = step > 0 ? -1 : scan->segment_count;
    if (!NextSegment(scan, direction)) return false;
  } else if (scan->segment < 0 || scan->segment >= scan->segment_count) {
    // At one end: the other direction goes on from there.
    if (scan->segment_count == 0 || (scan->segment < 0) != (step > 0)) return false;
    if (!NextSegment(scan, direction)) return false;
  }
  while (true) {
    scan->row += step;
    while (scan->row < 0 || scan->row >= scan->segments[scan->segment].nrows) {
      if (!NextSegment(scan, direction)) return false;
      scan->row += step;
    }
    if (IsOutOfTime(scan, scan->row)) {
      // To the vector's last row in this direction; the step from there leaves it.
      const int64_t first = scan->row / kVectorSize * kVectorSize;
      scan->row =
          step > 0 ? std::min<int64_t>(first + kVectorSize, scan->segments[scan->segment].nrows) - 1
                   : first;
      continue;
    }
    if (!IsDeleted(scan, scan->row)) return true;
  }
}

/// Decodes vector `index` of every wanted column.
void LoadVector(ColdScan *scan, uint32_t index) {
  CHECK_FOR_INTERRUPTS();
  MemoryContextReset(scan->vector_context);
  const uint32_t count = SegmentReaderHead(scan->reader).VectorRows(index);
  scan->vector = kNoVector;
  for (int i = 0; i < scan->column_count; i++) {
    ScanColumn *column = scan->columns[i];
    column->is_row_by_row = false;
    column->vector = SegmentReaderVector(scan->reader, column->attribute, index);
    if (column->vector == nullptr) {
      FillMissing(column, scan->descriptor, count);
      continue;
    }
    FillNulls(column, *column->vector);
    if (IsBytes(column->vector->type)) {
      FillBytes(column, *column->vector, scan->vector_context);
    } else if (IsFloat(column->vector->type)) {
      FillFloats(column, *column->vector);
    } else {
      FillIntegers(column, *column->vector);
    }
  }
  scan->vector = index;
}

/// Puts row `row` of the loaded vectors into a slot's arrays.
void FillSlot(ColdScan *scan, uint32_t row, TupleTableSlot *slot) {
  const auto natts = static_cast<size_t>(slot->tts_tupleDescriptor->natts);
  if (static_cast<size_t>(scan->column_count) < natts)
    memset(slot->tts_isnull, 1, natts * sizeof(bool));
  MemoryContextReset(scan->row_context);
  for (int i = 0; i < scan->column_count; i++) {
    const ScanColumn *column = scan->columns[i];
    const int at = column->attribute - 1;
    slot->tts_isnull[at] = column->nulls[row];
    if (likely(!column->is_row_by_row)) {
      slot->tts_values[at] = column->values[row];
    } else if (!column->nulls[row]) {
      MemoryContext old = MemoryContextSwitchTo(scan->row_context);
      slot->tts_values[at] = BytesToDatum(column->vector->bytes[row], column->type);
      MemoryContextSwitchTo(old);
    }
  }
}

}  // namespace

ColdScan *ColdScanBegin(Relation relation, Snapshot snapshot, const Bitmapset *attributes,
                        int64_t from, int64_t to, pg_atomic_uint32 *cursor, MemoryContext context) {
  MemoryContext own = AllocSetContextCreate(context, "tsext cold scan", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old = MemoryContextSwitchTo(own);
  auto *scan = static_cast<ColdScan *>(palloc0(sizeof(ColdScan)));
  scan->relation = relation;
  scan->snapshot = snapshot;
  scan->context = own;
  scan->vector_context = AllocSetContextCreate(own, "tsext vectors", ALLOCSET_DEFAULT_SIZES);
  scan->row_context = AllocSetContextCreate(own, "tsext row", ALLOCSET_DEFAULT_SIZES);
  scan->from = from;
  scan->to = to;
  scan->cursor = cursor;
  scan->segment = -1;
  scan->vector = kNoVector;
  scan->segments =
      LoadSegments(relation->rd_rel->reltoastrelid, from, to, snapshot, &scan->segment_count);
  if (attributes != nullptr) scan->attributes = bms_copy(attributes);
  MemoryContextSwitchTo(old);
  return scan;
}

bool ColdScanNext(ColdScan *scan, ScanDirection direction, TupleTableSlot *slot) {
  ExecClearTuple(slot);
  if (scan->segment_count == 0 || ScanDirectionIsNoMovement(direction)) return false;
  if (scan->descriptor == nullptr) AddColumns(scan, slot->tts_tupleDescriptor);
  if (!NextRow(scan, direction)) return false;
  const auto row = static_cast<uint32_t>(scan->row);
  if (scan->vector != row / kVectorSize) LoadVector(scan, row / kVectorSize);
  FillSlot(scan, row % kVectorSize, slot);
  StoreRow(slot, VirtualTid(scan->segments[scan->segment].seg, row),
           RelationGetRelid(scan->relation));
  return true;
}

void ColdScanRescan(ColdScan *scan) {
  scan->is_started = false;
  scan->segment = -1;
  scan->vector = kNoVector;
}

void ColdScanEnd(ColdScan *scan) {
  if (scan->reader != nullptr) SegmentReaderClose(scan->reader);
  MemoryContextDelete(scan->context);
}

bool ColdFetchRow(Relation relation, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot) {
  ExecClearTuple(slot);
  const auto seg = static_cast<int32_t>(ItemPointerGetBlockNumberNoCheck(tid) & ~kVirtualBlock);
  const int64_t row = int64_t{ItemPointerGetOffsetNumberNoCheck(tid)} - 1;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext cold fetch", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old = MemoryContextSwitchTo(context);
  const SegmentRow *segment = LoadSegment(relation->rd_rel->reltoastrelid, seg, snapshot);
  const bool found = segment != nullptr && row >= 0 && row < segment->nrows;
  if (found) {
    SegmentReader *reader = SegmentReaderCreate(relation, snapshot, context);
    SegmentReaderUseDescriptor(reader, slot->tts_tupleDescriptor);
    SegmentReaderOpen(reader, segment);
    for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
      slot->tts_values[i] = SegmentReaderValue(reader, static_cast<AttrNumber>(i + 1),
                                               static_cast<uint32_t>(row), &slot->tts_isnull[i]);
    StoreRow(slot, *tid, RelationGetRelid(relation));
    ExecMaterializeSlot(slot);  // the values go with `context`
    SegmentReaderClose(reader);
  }
  MemoryContextSwitchTo(old);
  MemoryContextDelete(context);
  return found;
}

}  // namespace tsext::pg
