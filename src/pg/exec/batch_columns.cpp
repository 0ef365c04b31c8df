// The columns and rows of the batches of a scan.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "pg/exec/batch_scan_state.hpp"

extern "C" {
#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
}

namespace tsext::pg {

namespace {

/// Datums of dictionaries with more values are made row by row.
constexpr size_t kMaxRememberedDatums = 8192;

ScanColumn *ColumnOf(BatchScan *scan, AttrNumber attribute) {
  Assert(attribute > 0 && attribute <= scan->descriptor->natts);
  const int index = scan->index_of[attribute - 1];
  if (index < 0) elog(ERROR, "column %d is not part of the scan", attribute);
  return &scan->columns[index];
}

Vector *OwnVector(BatchScan *scan, ScanColumn *column) {
  if (column->own == nullptr) {
    if (scan->resource == nullptr)
      scan->resource = new (MemoryContextAlloc(scan->context, sizeof(ContextResource)))
          ContextResource(scan->context);
    column->own = New<Vector>(scan->context, scan->resource);
  }
  return column->own;
}

/// The vector of a column that the current segment lacks: its missing value, or NULL.
const Vector *MissingVector(BatchScan *scan, ScanColumn *column) {
  Vector *vector = OwnVector(scan, column);
  if (column->missing_filled == 0) {
    bool is_null;
    const Datum value = getmissingattr(scan->descriptor, column->attribute, &is_null);
    vector->type = column->type.type;
    vector->any_null = is_null;
    vector->nulls.fill(0);
    if (IsBytes(vector->type)) {
      void *detoasted;  // a missing value never is
      const ByteView bytes = is_null ? ByteView{} : DatumToBytes(value, column->type, &detoasted);
      std::fill_n(vector->bytes.begin(), kVectorSize, bytes);
    } else if (vector->type == PhysicalType::kFloat64) {
      std::fill_n(vector->doubles, kVectorSize, std::bit_cast<double>(value));
    } else if (vector->type == PhysicalType::kFloat32) {
      std::fill_n(vector->floats, kVectorSize, std::bit_cast<float>(static_cast<int32_t>(value)));
    } else {
      std::fill_n(vector->integers, kVectorSize, DatumToInteger(value, column->type));
    }
    column->missing_filled = kVectorSize;
  }
  vector->count = scan->rows;
  if (vector->any_null) {
    Selection all;
    all.SelectFirst(scan->rows);
    vector->nulls = all.words;
  }
  return vector;
}

/// Takes columns out of hot rows: those of the filters together, and the others together, from the
/// rows that are left.
void LoadHotColumns(BatchScan *scan, bool filtered) {
  auto *hot =
      static_cast<HotColumn *>(palloc(sizeof(HotColumn) * static_cast<size_t>(scan->column_count)));
  int count = 0;
  for (int i = 0; i < scan->column_count; i++) {
    ScanColumn *column = &scan->columns[i];
    if (column->is_filtered != filtered) continue;
    hot[count++] = {column->attribute, column->type, OwnVector(scan, column)};
    column->missing_filled = 0;
    column->vector = column->own;
  }
  HotBatchColumns(scan->hot, hot, count);
  pfree(hot);
}

/// Moves the selected values of a vector together.
void KeepValues(Vector *vector, const Selection &selection) {
  uint32_t count = 0;
  std::array<uint64_t, kVectorSize / 64> nulls{};
  bool any_null = false;
  const bool is_bytes = IsBytes(vector->type);
  selection.ForEach([&](uint32_t row) {
    if (vector->IsNull(row)) {
      nulls[count / 64] |= uint64_t{1} << (count % 64);
      any_null = true;
    }
    if (is_bytes)
      vector->bytes[count] = vector->bytes[row];
    else if (vector->type == PhysicalType::kFloat32)
      vector->floats[count] = vector->floats[row];
    else
      vector->integers[count] = vector->integers[row];  // doubles too: they share the memory
    count++;
  });
  vector->count = count;
  vector->any_null = any_null;
  vector->nulls = nulls;
}

// ---- Rows ----

/// Finds out where the values of a column come from in the current batch.
void FindSource(BatchScan *scan, ScanColumn *column) {
  column->is_row_ready = true;
  const SegmentHead &head = SegmentReaderHead(scan->reader);
  if (head.FindColumn(column->attribute) < 0) {
    column->source = RowSource::kConstant;
    column->constant =
        getmissingattr(scan->descriptor, column->attribute, &column->constant_is_null);
    return;
  }
  if (column->vector == nullptr && IsBytes(column->type.type) &&
      BatchCodes(scan, column->attribute) != nullptr) {
    const std::span<const ByteView> dictionary =
        SegmentReaderDictionary(scan->reader, column->attribute);
    if (dictionary.size() <= kMaxRememberedDatums) {
      if (column->datums == nullptr) {
        if (scan->segment_context == nullptr)
          scan->segment_context =
              AllocSetContextCreate(scan->context, "tsext dictionaries", ALLOCSET_DEFAULT_SIZES);
        column->datums = static_cast<Datum *>(
            MemoryContextAllocZero(scan->segment_context, sizeof(Datum) * dictionary.size()));
      }
      column->source = RowSource::kCode;
      return;
    }
  }
  const Vector *vector = BatchColumn(scan, column->attribute);
  switch (vector->type) {
    case PhysicalType::kFloat64:
      column->source = RowSource::kDouble;
      break;
    case PhysicalType::kFloat32:
      column->source = RowSource::kFloat;
      break;
    default:
      if (!IsBytes(vector->type))
        column->source = column->type.length == 8 ? RowSource::kInteger : RowSource::kNarrow;
      else
        column->source = column->type.length > 0 && column->is_char_aligned ? RowSource::kInPlace
                                                                            : RowSource::kBytes;
  }
}

Datum MakeBytes(MemoryContext context, ByteView bytes, const DatumClass &type) {
  MemoryContext old = MemoryContextSwitchTo(context);
  const Datum value = BytesToDatum(bytes, type);
  MemoryContextSwitchTo(old);
  return value;
}

Datum CodeDatum(BatchScan *scan, ScanColumn *column, uint32_t code) {
  Datum &value = column->datums[code];
  if (unlikely(value == 0))
    value = MakeBytes(scan->segment_context,
                      SegmentReaderDictionary(scan->reader, column->attribute)[code], column->type);
  return value;
}

void FillColdRow(BatchScan *scan, uint32_t row, TupleTableSlot *slot) {
  if (scan->row_context != nullptr) MemoryContextReset(scan->row_context);
  for (int i = 0; i < scan->column_count; i++) {
    ScanColumn *column = &scan->columns[i];
    if (!column->is_wanted) continue;
    if (unlikely(!column->is_row_ready)) FindSource(scan, column);
    const int at = column->attribute - 1;
    Datum &value = slot->tts_values[at];
    bool &is_null = slot->tts_isnull[at];
    const Vector *vector = column->vector;
    switch (column->source) {
      case RowSource::kConstant:
        value = column->constant;
        is_null = column->constant_is_null;
        continue;
      case RowSource::kCode:
        is_null = column->codes->IsNull(row);
        value = is_null ? 0 : CodeDatum(scan, column, column->codes->codes[row]);
        continue;
      case RowSource::kInteger:
        value = static_cast<Datum>(vector->integers[row]);
        break;
      case RowSource::kNarrow:
        value = IntegerToDatum(vector->integers[row], column->type);
        break;
      case RowSource::kDouble:
        value = std::bit_cast<Datum>(vector->doubles[row]);
        break;
      case RowSource::kFloat:
        value = static_cast<Datum>(std::bit_cast<int32_t>(vector->floats[row]));
        break;
      case RowSource::kInPlace:
      case RowSource::kBytes:
        if (vector->IsNull(row)) {
          value = 0;
        } else if (column->source == RowSource::kInPlace) {
          if (vector->bytes[row].size != column->type.width) RaiseWrongWidth();
          value = PointerGetDatum(vector->bytes[row].data);
        } else {
          if (scan->row_context == nullptr)
            scan->row_context =
                AllocSetContextCreate(scan->context, "tsext row", ALLOCSET_DEFAULT_SIZES);
          value = MakeBytes(scan->row_context, vector->bytes[row], column->type);
        }
        break;
    }
    is_null = vector->IsNull(row);
  }
  ItemPointerSet(&slot->tts_tid,
                 kVirtualBlock | static_cast<uint32_t>(scan->segments[scan->segment].seg),
                 static_cast<OffsetNumber>(scan->vector * kVectorSize + row + 1));
}

}  // namespace

void MakeColumns(BatchScan *scan, const Bitmapset *attributes, const Bitmapset *filtered) {
  const TupleDesc descriptor = scan->descriptor;
  const auto natts = static_cast<size_t>(descriptor->natts);
  const Bitmapset *wanted = bms_union(attributes, filtered);
  scan->columns = static_cast<ScanColumn *>(
      palloc0(sizeof(ScanColumn) * static_cast<size_t>(bms_num_members(wanted) + 1)));
  scan->index_of = static_cast<int16_t *>(palloc(sizeof(int16_t) * Max(natts, size_t{1})));
  std::fill_n(scan->index_of, natts, int16_t{-1});
  for (int member = 0; (member = bms_next_member(wanted, member)) > 0;) {
    const Form_pg_attribute form = TupleDescAttr(descriptor, member - 1);
    if (form->attisdropped) continue;
    ScanColumn *column = &scan->columns[scan->column_count];
    column->attribute = static_cast<AttrNumber>(member);
    column->type = ClassOf(form);
    column->is_filtered = bms_is_member(member, filtered);
    column->is_wanted = bms_is_member(member, attributes);
    column->is_char_aligned = form->attalign == TYPALIGN_CHAR;
    scan->index_of[member - 1] = static_cast<int16_t>(scan->column_count++);
    if (column->is_wanted) scan->last_wanted = column->attribute;
  }
}

void StartBatch(BatchScan *scan, uint32_t rows, bool is_cold) {
  scan->rows = rows;
  scan->is_cold = is_cold;
  scan->selection.SelectFirst(rows);
  for (int i = 0; i < scan->column_count; i++) {
    ScanColumn &column = scan->columns[i];
    column.vector = nullptr;
    column.codes = nullptr;
    column.codes_are_known = column.is_row_ready = false;
  }
}

void KeepSelectedRows(BatchScan *scan) {
  const uint32_t selected = scan->selection.Count();
  if (selected == scan->rows) return;
  HotBatchKeep(scan->hot, scan->selection);
  for (int i = 0; i < scan->column_count; i++)
    if (scan->columns[i].vector != nullptr) KeepValues(scan->columns[i].own, scan->selection);
  scan->counters->rows_filtered += scan->rows - selected;
  scan->rows = selected;
  scan->selection.SelectFirst(selected);
}

void FinishBatch(BatchScan *scan, Batch *batch) {
  const uint32_t selected = scan->selection.Count();
  scan->counters->rows_filtered += scan->rows - selected;
  batch->rows = scan->rows;
  batch->selection = scan->selection;
  batch->is_whole = selected == scan->rows;
  batch->is_cold = scan->is_cold;
  batch->segment = scan->is_cold ? &scan->segments[scan->segment] : nullptr;
  batch->vector = scan->is_cold ? scan->vector : 0;
}

void ForgetSegmentColumns(BatchScan *scan) {
  if (scan->segment_context != nullptr) MemoryContextReset(scan->segment_context);
  for (int i = 0; i < scan->column_count; i++) scan->columns[i].datums = nullptr;
}

const Vector *BatchColumn(BatchScan *scan, AttrNumber attribute) {
  ScanColumn *column = ColumnOf(scan, attribute);
  if (column->vector != nullptr) return column->vector;
  if (!scan->is_cold) {
    LoadHotColumns(scan, column->is_filtered);
    return column->vector;
  }
  column->vector = SegmentReaderVector(scan->reader, attribute, scan->vector);
  if (column->vector == nullptr) column->vector = MissingVector(scan, column);
  return column->vector;
}

const CodeVector *BatchCodes(BatchScan *scan, AttrNumber attribute) {
  ScanColumn *column = ColumnOf(scan, attribute);
  if (!column->codes_are_known) {
    column->codes_are_known = true;
    column->codes = scan->is_cold && IsBytes(column->type.type)
                        ? SegmentReaderCodes(scan->reader, attribute, scan->vector)
                        : nullptr;
  }
  return column->codes;
}

std::span<const ByteView> BatchDictionary(BatchScan *scan, AttrNumber attribute) {
  if (!scan->is_cold) return {};
  return SegmentReaderDictionary(scan->reader, attribute);
}

void BatchRow(BatchScan *scan, uint32_t row, TupleTableSlot *slot) {
  ExecClearTuple(slot);
  memset(slot->tts_isnull, 1, static_cast<size_t>(scan->descriptor->natts) * sizeof(bool));
  if (scan->is_cold) {
    FillColdRow(scan, row, slot);
  } else {
    HotBatchRow(scan->hot, row, scan->last_wanted, slot);
  }
  ExecStoreVirtualTuple(slot);
  slot->tts_tableOid = RelationGetRelid(scan->relation);
}

const SegmentHead &BatchHead(const BatchScan *scan) {
  return SegmentReaderHead(scan->reader);
}

const ColumnFooter *BatchFooter(const BatchScan *scan, AttrNumber attribute) {
  const SegmentHead &head = SegmentReaderHead(scan->reader);
  const int index = head.FindColumn(attribute);
  return index < 0 ? nullptr : &head.columns()[static_cast<size_t>(index)];
}

}  // namespace tsext::pg
