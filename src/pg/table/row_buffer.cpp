// Filling a RowBuffer. Its inside is described in row_columns.hpp.

#include "pg/table/row_buffer.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/table/row_columns.hpp"

extern "C" {
#include "access/detoast.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "utils/date.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

constexpr uint32_t kFirstCapacity = 1024;  // rows of the first block before it grows
constexpr size_t kArenaBlock = size_t{256} * 1024;
// What sorting keeps a row: its number twice and its series; and for rows out of order also their
// times, twice, and their number once more.
constexpr size_t kSortBytes = 12;
constexpr size_t kDisorderBytes = 20;

void *AllocateData(RowBuffer *buffer, size_t size) {
  buffer->memory += size;
  return MemoryContextAllocHuge(buffer->data_context, size);
}

void *GrowData(RowBuffer *buffer, void *old, size_t old_size, size_t size) {
  if (old == nullptr) return AllocateData(buffer, size);
  buffer->memory += size - old_size;
  return repalloc_huge(old, size);
}

// ---------------------------------------------------------------------------------------------
// Blocks

uint32_t BlockSize(const RowBuffer *buffer, int32_t block) {
  return block + 1 < buffer->block_count ? kBlockRows : buffer->capacity;
}

void GrowLastBlock(RowBuffer *buffer) {
  const int32_t last = buffer->block_count - 1;
  const uint32_t capacity = std::min(buffer->capacity * 4, kBlockRows);
  for (int i = 0; i < buffer->column_count; i++) {
    BufferColumn &column = buffer->columns[i];
    column.blocks[last] = static_cast<std::byte *>(
        GrowData(buffer, column.blocks[last], size_t{buffer->capacity} * column.cell_width,
                 size_t{capacity} * column.cell_width));
  }
  buffer->capacity = capacity;
}

void AddBlock(RowBuffer *buffer) {
  if (buffer->row_count >= int64_t{UINT32_MAX} - kBlockRows)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("cannot buffer more than %u rows", UINT32_MAX)));
  if (buffer->block_count == buffer->block_capacity) {
    const int32_t capacity = std::max(8, buffer->block_capacity * 2);
    for (int i = 0; i < buffer->column_count; i++) {
      BufferColumn &column = buffer->columns[i];
      const size_t old_size = sizeof(void *) * buffer->block_capacity;
      const size_t size = sizeof(void *) * capacity;
      column.blocks = static_cast<std::byte **>(GrowData(buffer, column.blocks, old_size, size));
      column.null_blocks =
          static_cast<uint64_t **>(GrowData(buffer, column.null_blocks, old_size, size));
    }
    buffer->block_capacity = capacity;
  }
  const uint32_t capacity = buffer->block_count == 0 ? kFirstCapacity : kBlockRows;
  for (int i = 0; i < buffer->column_count; i++) {
    BufferColumn &column = buffer->columns[i];
    column.blocks[buffer->block_count] =
        static_cast<std::byte *>(AllocateData(buffer, size_t{capacity} * column.cell_width));
    column.null_blocks[buffer->block_count] = nullptr;
  }
  buffer->capacity = capacity;
  buffer->block_count++;
  buffer->position = 0;
}

/// Makes sure that the last block has room for a row.
void NeedRoom(RowBuffer *buffer) {
  if (likely(buffer->position < buffer->capacity)) return;
  if (buffer->capacity != 0 && buffer->capacity < kBlockRows)
    GrowLastBlock(buffer);
  else
    AddBlock(buffer);
}

void SetNull(RowBuffer *buffer, BufferColumn *column, int32_t block, uint32_t at) {
  uint64_t *&nulls = column->null_blocks[block];
  if (nulls == nullptr) {
    constexpr size_t kSize = kBlockRows / 8;
    buffer->memory += kSize;
    nulls = static_cast<uint64_t *>(MemoryContextAllocZero(buffer->data_context, kSize));
  }
  nulls[at / 64] |= uint64_t{1} << (at % 64);
  column->null_count++;
  memset(column->blocks[block] + size_t{at} * column->cell_width, 0, column->cell_width);
}

inline void StoreCell(std::byte *cells, uint32_t at, uint8_t width, uint64_t value) {
  switch (width) {
    case 1:
      reinterpret_cast<uint8_t *>(cells)[at] = static_cast<uint8_t>(value);
      break;
    case 2:
      reinterpret_cast<uint16_t *>(cells)[at] = static_cast<uint16_t>(value);
      break;
    case 4:
      reinterpret_cast<uint32_t *>(cells)[at] = static_cast<uint32_t>(value);
      break;
    default:
      reinterpret_cast<uint64_t *>(cells)[at] = value;
  }
}

// ---------------------------------------------------------------------------------------------
// Byte strings

template <typename T>
inline T Load(const std::byte *from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

/// Equality of two strings of `size` bytes, sizeof(T) <= size <= 2 * sizeof(T).
template <typename T>
inline bool SameEnds(const std::byte *a, const std::byte *b, uint32_t size) {
  const uint32_t last = size - static_cast<uint32_t>(sizeof(T));
  return ((Load<T>(a) ^ Load<T>(b)) | (Load<T>(a + last) ^ Load<T>(b + last))) == 0;
}

/// Most strings are short: calling memcmp would cost more than comparing.
inline bool SameBytes(const ByteView &a, const ByteView &b) {
  if (a.size != b.size) return false;
  if (a.size >= 8)
    return a.size <= 16 ? SameEnds<uint64_t>(a.data, b.data, a.size)
                        : memcmp(a.data, b.data, a.size) == 0;
  if (a.size >= 4) return SameEnds<uint32_t>(a.data, b.data, a.size);
  if (a.size >= 2) return SameEnds<uint16_t>(a.data, b.data, a.size);
  return a.size == 0 || *a.data == *b.data;
}

inline uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint32_t HashBytes(const ByteView &value) {
  constexpr uint64_t kFirst = 0x9e3779b97f4a7c15, kSecond = 0xd6e8feb86659fd93;
  uint64_t hash = kFirst ^ value.size;
  uint32_t at = 0;
  for (; at + 8 <= value.size; at += 8) hash = Mix(hash ^ Load<uint64_t>(value.data + at), kSecond);
  if (at < value.size) {
    uint64_t rest = 0;
    memcpy(&rest, value.data + at, value.size - at);
    hash = Mix(hash ^ rest, kSecond);
  }
  return static_cast<uint32_t>(Mix(hash, kFirst));
}

/// Copies a value into the arena; returns where it starts, header included.
std::byte *PutArena(RowBuffer *buffer, BufferColumn *column, const ByteView &value) {
  const size_t header = column->is_varlena() ? VARHDRSZ : 0;
  const size_t size = MAXALIGN(header + value.size);
  std::byte *to;
  if (size > kArenaBlock / 8) {
    to = static_cast<std::byte *>(AllocateData(buffer, size));
  } else {
    if (size > column->arena_left) {
      column->arena = static_cast<std::byte *>(AllocateData(buffer, kArenaBlock));
      column->arena_left = kArenaBlock;
    }
    to = column->arena;
    column->arena += size;
    column->arena_left -= size;
  }
  if (header != 0) SET_VARSIZE(to, header + value.size);
  memcpy(to + header, value.data, value.size);
  column->arena_bytes += value.size;
  return to;
}

/// Gives the column's cells another width: `convert` maps the old cell's code to the new content.
template <typename Convert>
void RewriteCells(RowBuffer *buffer, BufferColumn *column, uint8_t width, Convert &&convert) {
  const uint8_t old_width = column->cell_width;
  for (int32_t block = 0; block < buffer->block_count; block++) {
    const uint32_t size = BlockSize(buffer, block);
    const uint32_t used = block + 1 < buffer->block_count ? size : buffer->position + buffer->ahead;
    auto *cells = static_cast<std::byte *>(AllocateData(buffer, size_t{size} * width));
    column->cell_width = old_width;
    for (uint32_t at = 0; at < used; at++)
      StoreCell(cells, at, width, convert(column->Code(int64_t{block} * kBlockRows + at)));
    pfree(column->blocks[block]);
    buffer->memory -= size_t{size} * old_width;
    column->blocks[block] = cells;
  }
  column->cell_width = width;
  buffer->row_width += width - old_width;
}

void FreeDictionary(RowBuffer *buffer, BufferColumn *column) {
  if (column->entries != nullptr) {
    pfree(column->entries);
    pfree(column->successor);
    pfree(column->hashes);
    buffer->memory -= size_t{column->entry_capacity} * (sizeof(ByteView) + 2 * sizeof(uint32_t));
    if (column->last_row != nullptr) {
      pfree(column->last_row);
      buffer->memory -= size_t{column->entry_capacity} * sizeof(uint32_t);
    }
  }
  if (column->slots != nullptr) {
    pfree(column->slots);
    buffer->memory -= (size_t{column->slot_mask} + 1) * sizeof(uint32_t);
  }
  column->entries = nullptr;
  column->successor = column->last_row = column->hashes = column->slots = nullptr;
  column->entry_count = column->entry_capacity = column->last_code = column->slot_mask = 0;
}

/// The column's values hardly repeat: from now on they are kept one by one.
void TurnToPointers(RowBuffer *buffer, BufferColumn *column) {
  const size_t header = column->is_varlena() ? VARHDRSZ : 0;
  RewriteCells(buffer, column, sizeof(void *), [&](uint32_t code) {
    // The cell of a NULL holds code 0, whatever that is.
    return reinterpret_cast<uint64_t>(column->entries[code].data - header);
  });
  column->kind = CellKind::kPointer;
  FreeDictionary(buffer, column);
}

void GrowDictionary(RowBuffer *buffer, BufferColumn *column) {
  const size_t old_capacity = column->entry_capacity;
  const size_t capacity = old_capacity == 0 ? 64 : old_capacity * 2;
  const auto grow = [&]<typename T>(T *&array) {
    array =
        static_cast<T *>(GrowData(buffer, array, old_capacity * sizeof(T), capacity * sizeof(T)));
  };
  grow(column->entries);
  grow(column->successor);
  grow(column->hashes);
  if (column == &buffer->columns[std::max(buffer->leader, 0)]) grow(column->last_row);
  column->entry_capacity = static_cast<uint32_t>(capacity);

  const size_t slot_count = capacity * 2;
  const size_t old_slots = column->slots == nullptr ? 0 : size_t{column->slot_mask} + 1;
  if (column->slots != nullptr) pfree(column->slots);
  buffer->memory += (slot_count - old_slots) * sizeof(uint32_t);
  column->slots = static_cast<uint32_t *>(MemoryContextAllocExtended(
      buffer->data_context, slot_count * sizeof(uint32_t), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
  column->slot_mask = static_cast<uint32_t>(slot_count - 1);
  for (uint32_t entry = 0; entry < column->entry_count; entry++) {
    uint32_t slot = column->hashes[entry] & column->slot_mask;
    while (column->slots[slot] != 0) slot = (slot + 1) & column->slot_mask;
    column->slots[slot] = entry + 1;
  }
}

/// The code of a value that is neither the last one nor its successor. UINT32_MAX: the column has
/// turned to pointers.
pg_noinline uint32_t FindOrAddEntry(RowBuffer *buffer, BufferColumn *column,
                                    const ByteView &value) {
  const uint32_t hash = HashBytes(value);
  if (column->slots != nullptr) {
    for (uint32_t slot = hash & column->slot_mask; column->slots[slot] != 0;
         slot = (slot + 1) & column->slot_mask) {
      const uint32_t entry = column->slots[slot] - 1;
      if (column->hashes[entry] == hash && SameBytes(column->entries[entry], value)) return entry;
    }
  }
  const uint32_t code = column->entry_count;
  if ((code >= kDictionaryFloor && code > buffer->row_count / 4) ||
      column->arena_bytes > kDictionaryBytes) {
    TurnToPointers(buffer, column);
    return UINT32_MAX;
  }
  if (code > (column->cell_width == 1 ? UINT8_MAX : UINT16_MAX) && column->cell_width < 4)
    RewriteCells(buffer, column, static_cast<uint8_t>(column->cell_width * 2),
                 [](uint32_t old) { return uint64_t{old}; });
  if (code == column->entry_capacity) GrowDictionary(buffer, column);
  const std::byte *stored = PutArena(buffer, column, value);
  column->entries[code] = column->Payload(stored);
  column->successor[code] = 0;
  if (column->last_row != nullptr) column->last_row[code] = 0;
  column->hashes[code] = hash;
  column->entry_count++;
  uint32_t slot = hash & column->slot_mask;
  while (column->slots[slot] != 0) slot = (slot + 1) & column->slot_mask;
  column->slots[slot] = code + 1;
  return code;
}

/// guess: any code of the column, 0 when it has none.
inline uint32_t Intern(RowBuffer *buffer, BufferColumn *column, const ByteView &value,
                       uint32_t guess) {
  const uint32_t last = column->last_code;
  uint32_t code = UINT32_MAX;
  if (likely(column->entry_count != 0)) {
    const uint32_t next = column->successor[last];
    if (SameBytes(column->entries[guess], value))
      code = guess;
    else if (SameBytes(column->entries[next], value))
      code = next;
    else if (SameBytes(column->entries[last], value))
      return last;
  }
  if (code == UINT32_MAX) code = FindOrAddEntry(buffer, column, value);
  if (likely(code != UINT32_MAX)) {
    column->successor[last] = code;
    column->last_code = code;
  }
  return code;
}

inline void AppendBytes(RowBuffer *buffer, BufferColumn *column, int32_t block, uint32_t at,
                        const ByteView &value, uint32_t guess) {
  uint64_t cell;
  if (column->kind == CellKind::kCode &&
      (cell = Intern(buffer, column, value, guess)) != UINT32_MAX) {
    StoreCell(column->blocks[block], at, column->cell_width, cell);
    return;
  }
  cell = reinterpret_cast<uint64_t>(PutArena(buffer, column, value));
  reinterpret_cast<uint64_t *>(column->blocks[block])[at] = cell;
}

/// The bytes of a Datum; DatumToBytes for those that are compressed or stored elsewhere.
inline ByteView ViewOf(Datum value, const DatumClass &type, void **detoasted) {
  const auto *pointer = reinterpret_cast<const std::byte *>(DatumGetPointer(value));
  if (type.length != -1 && type.width != 0) return {pointer, type.width};
  if (likely(VARATT_IS_4B_U(pointer)))
    return {pointer + VARHDRSZ, static_cast<uint32_t>(VARSIZE_4B(pointer) - VARHDRSZ)};
  if (VARATT_IS_SHORT(pointer) && !VARATT_IS_EXTERNAL(pointer))
    return {pointer + VARHDRSZ_SHORT,
            static_cast<uint32_t>(VARSIZE_SHORT(pointer) - VARHDRSZ_SHORT)};
  return DatumToBytes(value, type, detoasted);
}

// ---------------------------------------------------------------------------------------------

void SetUpColumn(BufferColumn *column) {
  column->blocks = nullptr;
  column->null_blocks = nullptr;
  column->null_count = 0;
  column->entries = nullptr;
  column->successor = column->last_row = column->hashes = column->slots = nullptr;
  column->entry_count = column->entry_capacity = column->last_code = column->slot_mask = 0;
  column->arena = nullptr;
  column->arena_left = 0;
  column->arena_bytes = 0;
  if (IsBytes(column->type.type)) {
    column->kind = CellKind::kCode;
    column->cell_width = 1;
  } else {
    column->kind = CellKind::kValue;
    column->cell_width = static_cast<uint8_t>(column->type.length);
  }
}

void SetUpRows(RowBuffer *buffer) {
  buffer->row_width = 0;
  for (int i = 0; i < buffer->column_count; i++) {
    SetUpColumn(&buffer->columns[i]);
    buffer->row_width += buffer->columns[i].cell_width;
  }
  buffer->row_count = 0;
  buffer->position = buffer->ahead = buffer->capacity = 0;
  buffer->block_count = buffer->block_capacity = 0;
  buffer->memory = 0;
  buffer->last_time = INT64_MIN;
  buffer->time_ordered = true;
}

void SetTimeLimits(RowBuffer *buffer, Oid time_type) {
  switch (time_type) {
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
      buffer->time_low = DT_NOBEGIN + 1;
      buffer->time_high = DT_NOEND - 1;
      break;
    case DATEOID:
      buffer->time_low = int64_t{DATEVAL_NOBEGIN} + 1;
      buffer->time_high = int64_t{DATEVAL_NOEND} - 1;
      break;
    default:
      buffer->time_low = INT64_MIN;
      buffer->time_high = INT64_MAX;
  }
}

/// Counts the appended rows and notes whether their times go forward.
void CountRows(RowBuffer *buffer, uint32_t count) {
  if (buffer->time_column >= 0 && buffer->time_ordered) {
    for (int64_t row = buffer->row_count; row < buffer->row_count + count; row++) {
      if (!buffer->HasFiniteTime(row)) continue;
      const int64_t time = buffer->columns[buffer->time_column].Integer(row);
      if (time < buffer->last_time) {
        buffer->time_ordered = false;
        break;
      }
      buffer->last_time = time;
    }
  }
  buffer->row_count += count;
  buffer->position += count;
}

/// Appends rows [from, from + count) of one column at the last block's position.
void AppendColumn(RowBuffer *buffer, BufferColumn *column, const Vector &vector, uint32_t from,
                  uint32_t count) {
  const int32_t block = buffer->block_count - 1;
  const uint32_t to = buffer->position;
  ByteView last{};
  uint64_t last_cell = 0;
  bool has_last = false;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t row = from + i;
    if (vector.IsNull(row)) {
      SetNull(buffer, column, block, to + i);
      continue;
    }
    uint64_t value;
    switch (vector.type) {
      case PhysicalType::kFloat64:
        value = std::bit_cast<uint64_t>(vector.doubles[row]);
        break;
      case PhysicalType::kFloat32:
        value = std::bit_cast<uint32_t>(vector.floats[row]);
        break;
      default:
        if (IsBytes(vector.type)) {
          const ByteView &bytes = vector.bytes[row];
          // Decoded dictionaries repeat the address with the value.
          if (has_last && column->kind == CellKind::kCode && bytes.data == last.data &&
              bytes.size == last.size) {
            StoreCell(column->blocks[block], to + i, column->cell_width, last_cell);
            continue;
          }
          buffer->ahead = i;
          AppendBytes(buffer, column, block, to + i, bytes, column->last_code);
          last = bytes;
          last_cell = column->last_code;
          has_last = true;
          continue;
        }
        value = static_cast<uint64_t>(vector.integers[row]);
    }
    StoreCell(column->blocks[block], to + i, column->cell_width, value);
  }
  buffer->ahead = 0;
}

/// Appends `count` times the value of a column that was added after the rows were written.
void AppendMissing(RowBuffer *buffer, BufferColumn *column, uint32_t count) {
  const int32_t block = buffer->block_count - 1;
  bool is_null;
  const Datum value = getmissingattr(buffer->descriptor, column->attribute, &is_null);
  void *detoasted = nullptr;
  ByteView bytes{};
  if (!is_null && column->kind != CellKind::kValue) bytes = ViewOf(value, column->type, &detoasted);
  for (uint32_t at = buffer->position; at < buffer->position + count; at++) {
    if (is_null)
      SetNull(buffer, column, block, at);
    else if (column->kind == CellKind::kValue)
      StoreCell(column->blocks[block], at, column->cell_width, static_cast<uint64_t>(value));
    else {
      buffer->ahead = at - buffer->position;
      AppendBytes(buffer, column, block, at, bytes, column->last_code);
    }
  }
  buffer->ahead = 0;
  if (detoasted != nullptr) pfree(detoasted);
}

}  // namespace

RowBuffer *RowBufferCreate(Relation relation, const TableOptions *options, MemoryContext parent) {
  const MemoryContext context =
      AllocSetContextCreate(parent, "tsext row buffer", ALLOCSET_SMALL_SIZES);
  const MemoryContext old_context = MemoryContextSwitchTo(context);
  auto *buffer = static_cast<RowBuffer *>(palloc0(sizeof(RowBuffer)));
  buffer->context = context;
  buffer->data_context =
      AllocSetContextCreate(context, "tsext buffered rows", ALLOCSET_DEFAULT_SIZES);
  // A copy: the relcache's may be rebuilt, and missing values live in it.
  buffer->descriptor = CreateTupleDescCopyConstr(RelationGetDescr(relation));
  const int attribute_count = buffer->descriptor->natts;
  buffer->columns =
      static_cast<BufferColumn *>(palloc0(sizeof(BufferColumn) * (attribute_count + 1)));
  buffer->column_of = static_cast<int16_t *>(palloc(sizeof(int16_t) * (attribute_count + 1)));
  buffer->time_column = -1;
  buffer->leader = -1;
  for (int i = 0; i < attribute_count; i++) {
    const Form_pg_attribute attribute = TupleDescAttr(buffer->descriptor, i);
    buffer->column_of[i] = -1;
    if (attribute->attisdropped) continue;
    BufferColumn &column = buffer->columns[buffer->column_count];
    column.attribute = attribute->attnum;
    column.type = ClassOf(attribute);
    if (buffer->leader < 0 && IsBytes(column.type.type)) buffer->leader = buffer->column_count;
    if (attribute->attnum == options->time_attribute) buffer->time_column = buffer->column_count;
    buffer->column_of[i] = static_cast<int16_t>(buffer->column_count++);
  }
  if (buffer->time_column >= 0) SetTimeLimits(buffer, options->time_type);
  SetUpRows(buffer);
  MemoryContextSwitchTo(old_context);
  return buffer;
}

bool RowBufferTakes(const RowBuffer *buffer, TupleTableSlot *slot) {
  if (buffer->time_column < 0) return true;
  const BufferColumn &column = buffer->columns[buffer->time_column];
  bool is_null;
  const Datum value = slot_getattr(slot, column.attribute, &is_null);
  if (is_null) return false;
  const int64_t time = DatumToInteger(value, column.type);
  return time >= buffer->time_low && time <= buffer->time_high;
}

void RowBufferAppend(RowBuffer *buffer, TupleTableSlot *slot) {
  slot_getallattrs(slot);
  NeedRoom(buffer);
  const int32_t block = buffer->block_count - 1;
  const uint32_t at = buffer->position;
  int64_t echo = 0;  // a row that is likely to have the same strings
  for (int i = 0; i < buffer->column_count; i++) {
    BufferColumn *column = &buffer->columns[i];
    const int index = column->attribute - 1;
    if (slot->tts_isnull[index]) {
      SetNull(buffer, column, block, at);
    } else if (column->kind == CellKind::kValue) {
      // The low bytes of a by-value Datum are the value.
      if (likely(column->cell_width == sizeof(Datum)))
        reinterpret_cast<Datum *>(column->blocks[block])[at] = slot->tts_values[index];
      else
        StoreCell(column->blocks[block], at, column->cell_width,
                  static_cast<uint64_t>(slot->tts_values[index]));
    } else {
      void *detoasted = nullptr;
      const ByteView bytes = ViewOf(slot->tts_values[index], column->type, &detoasted);
      const bool is_leader = i == buffer->leader;
      const uint32_t guess =
          is_leader || column->kind != CellKind::kCode ? column->last_code : column->Code(echo);
      AppendBytes(buffer, column, block, at, bytes, guess);
      if (is_leader && column->kind == CellKind::kCode) {
        uint32_t &last_row = column->last_row[column->last_code];
        echo = last_row;
        last_row = static_cast<uint32_t>(buffer->row_count);
      }
      if (unlikely(detoasted != nullptr)) pfree(detoasted);
    }
  }
  CountRows(buffer, 1);
}

void RowBufferAppendVectors(RowBuffer *buffer, const Vector *const *vectors, uint32_t from,
                            uint32_t count) {
  while (count > 0) {
    NeedRoom(buffer);
    const uint32_t part = std::min(count, buffer->capacity - buffer->position);
    for (int i = 0; i < buffer->column_count; i++) {
      BufferColumn *column = &buffer->columns[i];
      const Vector *vector = vectors[column->attribute - 1];
      if (vector == nullptr)
        AppendMissing(buffer, column, part);
      else
        AppendColumn(buffer, column, *vector, from, part);
    }
    CountRows(buffer, part);
    from += part;
    count -= part;
  }
}

int64_t RowBufferRows(const RowBuffer *buffer) {
  return buffer->row_count;
}

size_t RowBufferMemory(const RowBuffer *buffer) {
  const size_t sort = kSortBytes + (buffer->time_ordered ? 0 : kDisorderBytes);
  // What no row has touched is not in memory.
  const size_t untouched = size_t{buffer->capacity - buffer->position} * buffer->row_width;
  return buffer->memory - untouched + static_cast<size_t>(buffer->row_count) * sort;
}

int64_t RowBufferTime(const RowBuffer *buffer, int64_t row) {
  return buffer->time_column < 0 ? 0 : buffer->columns[buffer->time_column].Integer(row);
}

void RowBufferGetRow(const RowBuffer *buffer, int64_t row, TupleTableSlot *slot) {
  ExecClearTuple(slot);
  const int attribute_count = slot->tts_tupleDescriptor->natts;
  for (int i = 0; i < attribute_count; i++) {
    slot->tts_values[i] = 0;
    slot->tts_isnull[i] = true;
  }
  for (int i = 0; i < buffer->column_count; i++) {
    const BufferColumn &column = buffer->columns[i];
    if (column.IsNull(row)) continue;
    const int index = column.attribute - 1;
    slot->tts_isnull[index] = false;
    switch (column.kind) {
      case CellKind::kValue:
        slot->tts_values[index] = IntegerToDatum(column.Integer(row), column.type);
        break;
      case CellKind::kCode:
        slot->tts_values[index] = PointerGetDatum(column.entries[column.Code(row)].data -
                                                  (column.is_varlena() ? VARHDRSZ : 0));
        break;
      case CellKind::kPointer:
        slot->tts_values[index] = PointerGetDatum(column.Pointer(row));
        break;
    }
  }
  ExecStoreVirtualTuple(slot);
}

void RowBufferReset(RowBuffer *buffer) {
  MemoryContextReset(buffer->data_context);
  SetUpRows(buffer);
}

void RowBufferKeep(RowBuffer *buffer, const int64_t *rows, int64_t count) {
  RowBuffer old = *buffer;
  old.columns = static_cast<BufferColumn *>(
      MemoryContextAlloc(old.data_context, sizeof(BufferColumn) * (old.column_count + 1)));
  std::copy_n(buffer->columns, old.column_count, old.columns);
  buffer->data_context =
      AllocSetContextCreate(buffer->context, "tsext buffered rows", ALLOCSET_DEFAULT_SIZES);
  SetUpRows(buffer);
  TupleTableSlot *slot = MakeSingleTupleTableSlot(buffer->descriptor, &TTSOpsVirtual);
  for (int64_t i = 0; i < count; i++) {
    RowBufferGetRow(&old, rows[i], slot);
    RowBufferAppend(buffer, slot);
  }
  ExecDropSingleTupleTableSlot(slot);
  MemoryContextDelete(old.data_context);
}

void RowBufferDestroy(RowBuffer *buffer) {
  MemoryContextDelete(buffer->context);
}

}  // namespace tsext::pg
