#pragma once

// The inside of a RowBuffer, for row_buffer.cpp and the code that sorts and encodes its rows.
//
// Rows lie in blocks of 65,536. A column has an array of cells a block, all of one width:
//
//   value    the value itself, in as many bytes as its type has: 1, 2, 4 or 8
//   code     index into the column's dictionary of distinct byte strings: 1, 2 or 4 bytes, widened
//            when the dictionary outgrows them
//   pointer  address of the value in the column's arena: byte strings that hardly repeat
//
// A column of a bytes class starts with codes and turns to pointers, for good, when its dictionary
// has more than kDictionaryFloor entries and more than a quarter of the rows, or gets very large.

#include <cstdint>

#include "tsext/types.hpp"

#include "pg/base/datum.hpp"
#include "pg/table/row_buffer.hpp"

namespace tsext::pg {

inline constexpr int kBlockShift = 16;
inline constexpr uint32_t kBlockRows = 1U << kBlockShift;
inline constexpr uint32_t kBlockMask = kBlockRows - 1;
inline constexpr uint32_t kDictionaryFloor = 4096;
inline constexpr int64_t kDictionaryBytes = int64_t{64} * 1024 * 1024;

enum class CellKind : uint8_t { kValue, kCode, kPointer };

struct BufferColumn {
  AttrNumber attribute;
  CellKind kind;
  uint8_t cell_width;
  DatumClass type;
  std::byte **blocks;      // cells of each block
  uint64_t **null_blocks;  // bitmap of each block, nullptr while it has no NULL
  int64_t null_count;

  // kCode. Two guesses save most hashing where devices report in turn: the code that followed the
  // last one the time before, and the code in the row where the buffer's leader had its value last.
  ByteView *entries;
  uint32_t *successor;  // by code
  uint32_t *last_row;   // by code; of the leader only
  uint32_t *hashes;
  uint32_t entry_count, entry_capacity;
  uint32_t last_code;
  uint32_t *slots;  // open addressing; entry + 1, 0 = free
  uint32_t slot_mask;

  // Values as PostgreSQL wants them: varlenas with a 4-byte header, others as they are; MAXALIGNed.
  std::byte *arena;
  size_t arena_left;
  int64_t arena_bytes;  // payload of all values put there

  std::byte *Cell(int64_t row) const {
    return blocks[row >> kBlockShift] + (row & kBlockMask) * cell_width;
  }
  bool IsNull(int64_t row) const {
    const uint64_t *nulls = null_blocks[row >> kBlockShift];
    const auto at = static_cast<uint32_t>(row & kBlockMask);
    return nulls != nullptr && ((nulls[at / 64] >> (at % 64)) & 1) != 0;
  }
  bool is_varlena() const { return type.length == -1; }
  /// The payload of a value in the arena.
  ByteView Payload(const std::byte *value) const {
    if (!is_varlena()) return {value, type.width};
    return {value + VARHDRSZ, static_cast<uint32_t>(VARSIZE(value) - VARHDRSZ)};
  }
  uint32_t Code(int64_t row) const {
    const std::byte *cell = Cell(row);
    switch (cell_width) {
      case 1:
        return *reinterpret_cast<const uint8_t *>(cell);
      case 2:
        return *reinterpret_cast<const uint16_t *>(cell);
      default:
        return *reinterpret_cast<const uint32_t *>(cell);
    }
  }
  const std::byte *Pointer(int64_t row) const {
    return *reinterpret_cast<const std::byte *const *>(Cell(row));
  }
  /// Bytes of a value that is not NULL; bytes classes.
  ByteView Bytes(int64_t row) const {
    return kind == CellKind::kCode ? entries[Code(row)] : Payload(Pointer(row));
  }
  /// A value that is not NULL; integer classes, sign-extended, and the bits of floats.
  int64_t Integer(int64_t row) const {
    const std::byte *cell = Cell(row);
    switch (cell_width) {
      case 1:
        return *reinterpret_cast<const int8_t *>(cell);
      case 2:
        return *reinterpret_cast<const int16_t *>(cell);
      case 4:
        return *reinterpret_cast<const int32_t *>(cell);
      default:
        return *reinterpret_cast<const int64_t *>(cell);
    }
  }
};

struct RowBuffer {
  MemoryContext context;       // of the struct and what describes the columns
  MemoryContext data_context;  // of rows
  TupleDesc descriptor;
  int column_count;
  BufferColumn *columns;        // of every attribute that is not dropped, in their order
  int16_t *column_of;           // by attribute number - 1; -1 = dropped
  int time_column;              // index into columns, -1 = none
  int leader;                   // the first column of a bytes class, -1 = none
  int64_t time_low, time_high;  // times outside are infinite
  int64_t row_count;
  uint32_t position;  // of the next row in the last block
  uint32_t ahead;     // cells behind `position` that the column being appended to has already
  uint32_t capacity;  // of the last block
  int32_t block_count, block_capacity;
  uint32_t row_width;  // bytes of a row's cells
  size_t memory;       // bytes in data_context
  int64_t last_time;   // of the last row with a finite time
  bool time_ordered;   // times never went back so far

  // Segment-by columns chosen from these rows; they stay for the rows to come (a statement's later
  // rows must be sorted like its first ones).
  bool segment_by_chosen;
  int segment_by_count;
  AttrNumber segment_by[kMaxSortColumns];

  /// False for a dropped attribute.
  bool HasColumn(AttrNumber attribute) const { return column_of[attribute - 1] >= 0; }
  const BufferColumn &Column(AttrNumber attribute) const {
    return columns[column_of[attribute - 1]];
  }
  /// InvalidAttrNumber when there is no time column.
  AttrNumber TimeAttribute() const {
    return time_column < 0 ? AttrNumber{InvalidAttrNumber} : columns[time_column].attribute;
  }
  bool HasFiniteTime(int64_t row) const {
    const BufferColumn &column = columns[time_column];
    if (column.IsNull(row)) return false;
    const int64_t time = column.Integer(row);
    return time >= time_low && time <= time_high;
  }
};

}  // namespace tsext::pg
