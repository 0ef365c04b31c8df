// From buffered rows to segments: plan chunks, sort each, cut, gather columns, encode, store, enter
// in the directory. See "Bulk writing" in README.md.

#include "pg/table/segment_writer.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tsext/segment.hpp"
#include "tsext/sort_key.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/chunk_plan.hpp"
#include "pg/table/row_columns.hpp"
#include "pg/table/row_sort.hpp"
#include "pg/table/segment_by.hpp"
#include "pg/table/store.hpp"

extern "C" {
#include "utils/inval.h"
}

namespace tsext::pg {
namespace {

// Bounds of what one segment may take in memory while it is encoded: bytes of gathered columns, and
// of strings that are not in a dictionary (the encoder holds them twice more).
constexpr size_t kGatherLimit = size_t{48} * 1024 * 1024;
constexpr size_t kPayloadLimit = size_t{24} * 1024 * 1024;
// A dictionary much larger than a segment is cut down to the values the segment has.
constexpr uint32_t kLargeDictionary = 16384;

/// A part of a chunk's sorted rows that becomes one segment.
struct Cut {
  const ChunkRows *chunk;
  uint32_t from, count;
};

/// Where a column's values are gathered before they are encoded.
struct Gathered {
  void *values;          // int64_t, double, float, uint32_t or ByteView
  uint64_t *nulls;       // nullptr when the buffer has no NULL in this column
  uint32_t *local_code;  // large dictionaries: code in this segment + 1, 0 = not met yet
  ByteView *local_entries;
};

struct Writer {
  Relation relation;
  Relation toast;
  RowBuffer *buffer;
  const WriteSegmentsOptions *how;
  SortColumns sort;
  RowSorter *sorter;
  uint32_t segment_rows;  // at most
  SegmentColumn *columns;
  Gathered *gathered;
  int16_t *sort_key;
  int sort_key_count;
  ByteBuffer *bytes;
  WriteSegmentsResult result;
  int64_t tmin, tmax;  // of all segments
};

template <typename T>
T *AllocateArray(size_t count) {
  return static_cast<T *>(
      MemoryContextAllocHuge(CurrentMemoryContext, sizeof(T) * std::max<size_t>(count, 1)));
}

// ---------------------------------------------------------------------------------------------
// Sort columns

/// The columns of the table's options, or of what was chosen before; chosen now when open.
void DecideSegmentBy(Writer *writer, Relation owner, const TableOptions *options) {
  RowBuffer *buffer = writer->buffer;
  SortColumns &sort = writer->sort;
  sort.order_by_count = options->order_by_count;
  std::copy_n(options->order_by, options->order_by_count, sort.order_by);
  if (options->segment_by_is_given || options->segment_by_count > 0) {
    sort.segment_by_count = options->segment_by_count;
    std::copy_n(options->segment_by, options->segment_by_count, sort.segment_by);
    return;
  }
  if (!buffer->segment_by_chosen) {
    const SegmentByChoice choice = ChooseSegmentBy(buffer, options);
    buffer->segment_by_count = choice.count;
    std::copy_n(choice.attributes, choice.count, buffer->segment_by);
    buffer->segment_by_chosen = choice.is_certain;
    if (choice.is_certain && choice.count > 0)
      RememberSegmentBy(owner, choice.count, choice.attributes);
  }
  sort.segment_by_count = buffer->segment_by_count;
  std::copy_n(buffer->segment_by, buffer->segment_by_count, sort.segment_by);
}

/// Attribute numbers of the sort key as the segment names them.
void SetSortKey(Writer *writer) {
  const SortColumns &sort = writer->sort;
  writer->sort_key = AllocateArray<int16_t>(2 * kMaxSortColumns + 1);
  int count = 0;
  for (int i = 0; i < sort.segment_by_count; i++) writer->sort_key[count++] = sort.segment_by[i];
  for (int i = 0; i < sort.order_by_count; i++) writer->sort_key[count++] = sort.order_by[i];
  if (sort.order_by_count == 0 && writer->buffer->time_column >= 0)
    writer->sort_key[count++] = writer->buffer->TimeAttribute();
  writer->sort_key_count = count;
}

/// The columns MakeKey takes, for the directory.
int32_t FlagsOfKey(const Writer *writer) {
  int16_t attributes[2] = {0, 0};
  int count = 0;
  for (int i = 0; i < writer->sort.segment_by_count && count < 2; i++) {
    if (writer->buffer->HasColumn(writer->sort.segment_by[i]))
      attributes[count++] = writer->sort.segment_by[i];
  }
  return KeyFlags(attributes[0], attributes[1]);
}

/// The segment-by values of a row as order-preserving bytes; nullptr without segment-by columns.
bytea *MakeKey(const Writer *writer, uint32_t row) {
  if (writer->sort.segment_by_count == 0) return nullptr;
  SortKey key;
  for (int i = 0; i < writer->sort.segment_by_count; i++) {
    if (!writer->buffer->HasColumn(writer->sort.segment_by[i])) continue;
    const BufferColumn &column = writer->buffer->Column(writer->sort.segment_by[i]);
    if (column.IsNull(row))
      key.AppendNull();
    else if (IsBytes(column.type.type))
      key.AppendBytes(column.Bytes(row));
    else if (column.type.type == PhysicalType::kFloat64)
      key.AppendOrdered(OrderedDouble(std::bit_cast<double>(column.Integer(row))));
    else if (column.type.type == PhysicalType::kFloat32)
      key.AppendOrdered(
          OrderedDouble(std::bit_cast<float>(static_cast<int32_t>(column.Integer(row)))));
    else
      key.AppendOrdered(OrderedInteger(column.Integer(row)));
  }
  auto *result = static_cast<bytea *>(palloc(VARHDRSZ + key.view().size));
  SET_VARSIZE(result, VARHDRSZ + key.view().size);
  memcpy(VARDATA(result), key.view().data, key.view().size);
  return result;
}

// ---------------------------------------------------------------------------------------------
// Cutting

/// How many of the `rest` rows at `rows` make the next segment: balanced, at most segment_rows. A
/// border between two series nearby is taken when that costs no additional segment.
uint32_t NextCut(const Writer *writer, const uint32_t *rows, uint32_t rest) {
  const uint32_t limit = writer->segment_rows;
  if (rest <= limit) return rest;
  const uint32_t segments = (rest + limit - 1) / limit;
  const uint32_t ideal = (rest + segments - 1) / segments;
  // The rest must still fit into one segment less.
  const uint64_t fits = uint64_t{segments - 1} * limit;
  const uint32_t least = rest > fits ? static_cast<uint32_t>(rest - fits) : 1;
  if (writer->sorter->series != nullptr) {
    const uint32_t low = std::max(least, ideal - ideal / 8);
    const uint32_t high = std::min(limit, rest - 1);
    const auto is_border = [&](uint32_t at) {
      return at >= low && at <= high &&
             writer->sorter->SeriesOf(rows[at - 1]) != writer->sorter->SeriesOf(rows[at]);
    };
    for (uint32_t distance = 0; distance <= ideal / 8; distance++) {
      if (is_border(ideal - distance)) return ideal - distance;
      if (is_border(ideal + distance)) return ideal + distance;
    }
  }
  const uint32_t whole_vectors = (ideal + kVectorSize - 1) / kVectorSize * kVectorSize;
  return std::min(whole_vectors, limit);
}

/// Shortens a cut whose strings would make too large a segment.
uint32_t LimitPayload(const Writer *writer, const uint32_t *rows, uint32_t count) {
  int64_t total = 0;
  for (int i = 0; i < writer->buffer->column_count; i++)
    if (writer->buffer->columns[i].kind == CellKind::kPointer)
      total += writer->buffer->columns[i].arena_bytes;
  if (total <= static_cast<int64_t>(kPayloadLimit)) return count;
  size_t payload = 0;
  for (uint32_t at = 0; at < count; at++) {
    for (int i = 0; i < writer->buffer->column_count; i++) {
      const BufferColumn &column = writer->buffer->columns[i];
      if (column.kind == CellKind::kPointer && !column.IsNull(rows[at]))
        payload += column.Bytes(rows[at]).size;
    }
    if (payload > kPayloadLimit && at > 0) return at;
  }
  return count;
}

uint32_t GatheredWidth(const BufferColumn &column) {
  switch (column.kind) {
    case CellKind::kCode:
      return sizeof(uint32_t);
    case CellKind::kPointer:
      return sizeof(ByteView);
    default:
      return column.type.type == PhysicalType::kFloat32 ? sizeof(float) : sizeof(int64_t);
  }
}

/// Rows a segment may have so that very wide tables do not gather gigabytes.
uint32_t RowsPerSegment(const RowBuffer *buffer) {
  size_t width = 0;
  for (int i = 0; i < buffer->column_count; i++) width += GatheredWidth(buffer->columns[i]);
  const size_t rows = kGatherLimit / std::max<size_t>(width, 1) / kVectorSize * kVectorSize;
  return static_cast<uint32_t>(std::clamp<size_t>(rows, kVectorSize, kMaxSegmentRows));
}

/// Cuts all chunks. The first segment of each chunk comes first: once their directory rows are in,
/// other writers see the chunks and the lock on the ranges can go.
Cut *CutChunks(Writer *writer, const ChunkPlan &plan, int *count) {
  int64_t capacity = plan.count;
  for (int i = 0; i < plan.count; i++) capacity += plan.chunks[i].count / kVectorSize;
  auto *cuts = AllocateArray<Cut>(static_cast<size_t>(capacity));
  int used = plan.count;
  for (int i = 0; i < plan.count; i++) {
    const ChunkRows &chunk = plan.chunks[i];
    for (uint32_t from = 0; from < chunk.count;) {
      const uint32_t rest = chunk.count - from;
      const uint32_t size =
          LimitPayload(writer, chunk.rows + from, NextCut(writer, chunk.rows + from, rest));
      if (from != 0 && used == capacity) {
        capacity *= 2;
        cuts = static_cast<Cut *>(repalloc_huge(cuts, sizeof(Cut) * capacity));
      }
      cuts[from == 0 ? i : used++] = {&chunk, from, size};
      from += size;
    }
  }
  *count = used;
  return cuts;
}

// ---------------------------------------------------------------------------------------------
// Gathering

template <typename Cell, typename Value>
void GatherCells(const BufferColumn &column, const uint32_t *rows, uint32_t count, Value *values) {
  // Rows of a series lie far apart: without prefetching each is a cache miss.
  constexpr uint32_t kAhead = 32;
  std::byte *const *blocks = column.blocks;
  const auto cell = [blocks](uint32_t row) {
    return reinterpret_cast<const Cell *>(blocks[row >> kBlockShift]) + (row & kBlockMask);
  };
  const uint32_t prefetched = count > kAhead ? count - kAhead : 0;
  for (uint32_t i = 0; i < prefetched; i++) {
    __builtin_prefetch(cell(rows[i + kAhead]));
    values[i] = static_cast<Value>(+*cell(rows[i]));
  }
  for (uint32_t i = prefetched; i < count; i++) values[i] = static_cast<Value>(+*cell(rows[i]));
}

void GatherIntegers(const BufferColumn &column, const uint32_t *rows, uint32_t count,
                    int64_t *values) {
  switch (column.cell_width) {
    case 1:
      return GatherCells<int8_t>(column, rows, count, values);
    case 2:
      return GatherCells<int16_t>(column, rows, count, values);
    case 4:
      return GatherCells<int32_t>(column, rows, count, values);
    default:
      return GatherCells<int64_t>(column, rows, count, values);
  }
}

void GatherCodes(const BufferColumn &column, const uint32_t *rows, uint32_t count,
                 uint32_t *values) {
  switch (column.cell_width) {
    case 1:
      return GatherCells<uint8_t>(column, rows, count, values);
    case 2:
      return GatherCells<uint16_t>(column, rows, count, values);
    default:
      return GatherCells<uint32_t>(column, rows, count, values);
  }
}

/// Renumbers codes in the order they are met; returns the number of distinct ones.
uint32_t LocalizeCodes(const BufferColumn &column, const Gathered &gathered, uint32_t count) {
  auto *codes = static_cast<uint32_t *>(gathered.values);
  memset(gathered.local_code, 0, sizeof(uint32_t) * column.entry_count);
  uint32_t distinct = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t &local = gathered.local_code[codes[i]];
    if (local == 0) {
      gathered.local_entries[distinct++] = column.entries[codes[i]];
      local = distinct;
    }
    codes[i] = local - 1;
  }
  return distinct;
}

void GatherNulls(const BufferColumn &column, const uint32_t *rows, uint32_t count,
                 uint64_t *nulls) {
  memset(nulls, 0, sizeof(uint64_t) * ((count + 63) / 64));
  for (uint32_t i = 0; i < count; i++)
    nulls[i / 64] |= uint64_t{column.IsNull(rows[i])} << (i % 64);
}

void GatherColumn(const BufferColumn &column, const Gathered &gathered, const uint32_t *rows,
                  uint32_t count, ColumnView *view) {
  static const ByteView nothing = {};
  view->type = column.type.type;
  view->width = column.type.width;
  view->count = count;
  view->nulls = nullptr;
  if (gathered.nulls != nullptr) {
    GatherNulls(column, rows, count, gathered.nulls);
    view->nulls = gathered.nulls;
  }
  if (column.kind == CellKind::kCode) {
    auto *codes = static_cast<uint32_t *>(gathered.values);
    GatherCodes(column, rows, count, codes);
    view->codes = {codes, count};
    if (column.entry_count == 0)
      view->dictionary = {&nothing, 1};  // every row is NULL and has code 0
    else if (gathered.local_code == nullptr)
      view->dictionary = {column.entries, column.entry_count};
    else
      view->dictionary = {gathered.local_entries, LocalizeCodes(column, gathered, count)};
  } else if (column.kind == CellKind::kPointer) {
    auto *bytes = static_cast<ByteView *>(gathered.values);
    for (uint32_t i = 0; i < count; i++)
      bytes[i] = column.IsNull(rows[i]) ? ByteView{} : column.Bytes(rows[i]);
    view->bytes = {bytes, count};
  } else if (column.type.type == PhysicalType::kFloat64) {
    auto *doubles = static_cast<double *>(gathered.values);
    GatherCells<double>(column, rows, count, doubles);
    view->doubles = {doubles, count};
  } else if (column.type.type == PhysicalType::kFloat32) {
    // As bits: a conversion of a signalling NaN would change it.
    GatherCells<uint32_t>(column, rows, count, static_cast<uint32_t *>(gathered.values));
    view->floats = {static_cast<float *>(gathered.values), count};
  } else {
    auto *integers = static_cast<int64_t *>(gathered.values);
    GatherIntegers(column, rows, count, integers);
    view->integers = {integers, count};
  }
}

void SetUpGathering(Writer *writer) {
  const RowBuffer *buffer = writer->buffer;
  const size_t rows = writer->segment_rows;
  writer->columns = AllocateArray<SegmentColumn>(buffer->column_count);
  writer->gathered = AllocateArray<Gathered>(buffer->column_count);
  for (int i = 0; i < buffer->column_count; i++) {
    const BufferColumn &column = buffer->columns[i];
    writer->columns[i] = SegmentColumn();
    writer->columns[i].attribute = column.attribute;
    Gathered &gathered = writer->gathered[i];
    gathered = {};
    gathered.values = AllocateArray<std::byte>(rows * GatheredWidth(column));
    if (column.null_count > 0) gathered.nulls = AllocateArray<uint64_t>((rows + 63) / 64);
    if (column.kind == CellKind::kCode && column.entry_count > kLargeDictionary) {
      gathered.local_code = AllocateArray<uint32_t>(column.entry_count);
      gathered.local_entries = AllocateArray<ByteView>(rows);
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Writing

void SetTimeRange(const RowBuffer *buffer, const uint32_t *rows, uint32_t count, SegmentRow *row) {
  row->tmin = kTimeMinimum;
  row->tmax = kTimeMaximum;
  if (buffer->time_column < 0) return;
  const BufferColumn &times = buffer->columns[buffer->time_column];
  row->tmin = row->tmax = times.Integer(rows[0]);
  for (uint32_t i = 1; i < count; i++) {
    const int64_t time = times.Integer(rows[i]);
    row->tmin = std::min(row->tmin, time);
    row->tmax = std::max(row->tmax, time);
  }
}

void Encode(Writer *writer, const uint32_t *rows, uint32_t count, Oid value_id) {
  const RowBuffer *buffer = writer->buffer;
  for (int i = 0; i < buffer->column_count; i++)
    GatherColumn(buffer->columns[i], writer->gathered[i], rows, count, &writer->columns[i].values);
  SegmentInput input;
  input.value_id = value_id;
  input.attribute_count = static_cast<int16_t>(buffer->descriptor->natts);
  input.time_attribute = buffer->TimeAttribute();
  input.level = writer->how->level;
  input.columns = {writer->columns, static_cast<size_t>(buffer->column_count)};
  input.sort_key = {writer->sort_key, static_cast<size_t>(writer->sort_key_count)};
  writer->bytes->clear();
  const Status status = WriteSegment(input, *writer->bytes);
  if (!status.ok())
    ereport(ERROR, (errcode(SqlState(status.code())),
                    errmsg("could not write a segment of table \"%s\"",
                           RelationGetRelationName(writer->relation)),
                    errdetail_internal("%s.", status.message())));
}

void WriteCut(Writer *writer, const Cut &cut) {
  CHECK_FOR_INTERRUPTS();
  if (writer->how->between != nullptr) writer->how->between();
  const uint32_t *rows = cut.chunk->rows + cut.from;
  SegmentRow row = {};
  row.store = RelationGetRelid(writer->toast);
  row.chunk_start = cut.chunk->range.start;
  row.chunk_end = cut.chunk->range.end;
  row.level = static_cast<int16_t>(writer->how->level);
  row.nrows = static_cast<int32_t>(cut.count);
  SetTimeRange(writer->buffer, rows, cut.count, &row);
  row.key_lo = MakeKey(writer, rows[0]);
  row.key_hi = MakeKey(writer, rows[cut.count - 1]);
  row.flags = FlagsOfKey(writer);
  row.value_id = StoreNewValueId(writer->toast);
  Encode(writer, rows, cut.count, row.value_id);

  StopPoint("write_before_store");
  StoreAppend(writer->toast, &row, writer->bytes->data(), writer->bytes->size(), writer->how->cid);
  StopPoint("write_after_store");
  InsertSegment(&row, writer->how->cid);
  StopPoint("write_after_directory");

  writer->result.segments++;
  writer->result.rows += cut.count;
  writer->result.bytes += static_cast<int64_t>(writer->bytes->size());
  writer->tmin = std::min(writer->tmin, row.tmin);
  writer->tmax = std::max(writer->tmax, row.tmax);
}

/// Nobody else can write to a relation that this transaction made.
bool IsOurs(Relation relation) {
  return relation->rd_createSubid != InvalidSubTransactionId;
}

/// Plans the chunks and takes the lock that the plan needs; *lock = NoLock when none.
ChunkPlan PlanAndLock(Writer *writer, const TableOptions *options, LOCKMODE *lock) {
  const Oid store = RelationGetRelid(writer->toast);
  *lock = NoLock;
  if (writer->how->fixed_chunk)
    return PlanFixedChunk(writer->buffer, {writer->how->chunk_start, writer->how->chunk_end});
  if (!IsOurs(writer->relation)) *lock = ShareLock;
  for (;;) {
    if (*lock != NoLock) LockChunkRanges(writer->relation, *lock);
    int range_count;
    const ChunkRange *ranges = LoadChunkRanges(store, &range_count);
    const ChunkPlan plan =
        PlanChunks(writer->buffer, options, ranges, range_count, writer->how->minimum_rows);
    if (!plan.has_new || *lock != ShareLock) return plan;
    UnlockChunkRanges(writer->relation, *lock);
    *lock = ExclusiveLock;
    for (int i = 0; i < plan.count; i++) pfree(plan.chunks[i].rows);
    pfree(plan.left);
  }
}

}  // namespace

WriteSegmentsResult WriteSegments(Relation relation, RowBuffer *buffer, const TableOptions *options,
                                  const WriteSegmentsOptions &how) {
  const MemoryContext caller = CurrentMemoryContext;
  const MemoryContext context =
      AllocSetContextCreate(caller, "tsext segment writer", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(context);
  auto *writer = static_cast<Writer *>(palloc0(sizeof(Writer)));
  writer->relation = relation;
  writer->buffer = buffer;
  writer->how = &how;
  writer->tmin = kTimeMaximum;
  writer->tmax = kTimeMinimum;
  if (!OidIsValid(relation->rd_rel->reltoastrelid))
    elog(ERROR, "table \"%s\" has no TOAST relation", RelationGetRelationName(relation));
  writer->toast = table_open(relation->rd_rel->reltoastrelid, RowExclusiveLock);

  LOCKMODE lock;
  const ChunkPlan plan = PlanAndLock(writer, options, &lock);
  if (plan.count > 0) {
    // Plans made while nothing was cold read hot rows only: they must be made anew.
    if (!HasSegments(RelationGetRelid(writer->toast), nullptr)) CacheInvalidateRelcache(relation);
    DecideSegmentBy(writer, how.owner != nullptr ? how.owner : relation, options);
    SetSortKey(writer);
    writer->sorter = RowSorterCreate(buffer, writer->sort);
    for (int i = 0; i < plan.count; i++) {
      CHECK_FOR_INTERRUPTS();
      SortRows(writer->sorter, plan.chunks[i].rows, plan.chunks[i].count);
    }
    writer->segment_rows = RowsPerSegment(buffer);
    SetUpGathering(writer);
    writer->bytes = New<ByteBuffer>(context, New<ContextResource>(context, context));
    int cut_count;
    const Cut *cuts = CutChunks(writer, plan, &cut_count);
    for (int i = 0; i < cut_count; i++) {
      WriteCut(writer, cuts[i]);
      if (i == plan.count - 1 && lock != NoLock) UnlockChunkRanges(relation, lock);
    }
    AddStoreTotal(RelationGetRelid(writer->toast), writer->result.rows, writer->result.bytes,
                  writer->result.segments, writer->tmin, writer->tmax);
  } else if (lock != NoLock) {
    UnlockChunkRanges(relation, lock);
  }

  WriteSegmentsResult result = writer->result;
  if (plan.left_count > 0) {
    result.left =
        static_cast<int64_t *>(MemoryContextAllocHuge(caller, sizeof(int64_t) * plan.left_count));
    std::copy_n(plan.left, plan.left_count, result.left);
    result.left_count = plan.left_count;
  }
  table_close(writer->toast, NoLock);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  return result;
}

}  // namespace tsext::pg
